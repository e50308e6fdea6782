package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// state is what must survive a restart so that the same person stays the same
// person: the provider's keys, the salt of the subs, and how often an account
// was made anew.
type state struct {
	mu   sync.Mutex
	path string
	kept kept
}

type kept struct {
	V           int               `json:"v"`
	Salt        []byte            `json:"salt"`
	Keys        []jose.JSONWebKey `json:"keys"` // private; the last one of each use is in use
	NextKey     int               `json:"next_key"`
	Generations map[string]int    `json:"generations"`
}

func openState(path string) (*state, error) {
	s := &state{path: path}
	if path != "" {
		err := s.load()
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	s.kept = kept{V: 1, Salt: make([]byte, 32), NextKey: 1, Generations: map[string]int{}}
	_, _ = rand.Read(s.kept.Salt) // never fails: crypto/rand ends the program instead
	for _, use := range []string{"sig", "enc"} {
		if err := s.rotate(use, true); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *state) load() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("sandbox: state: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return errors.New("sandbox: state file is open to others; it holds keys and must have mode 0600")
	}
	b, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("sandbox: state: %w", err)
	}
	if err := json.Unmarshal(b, &s.kept); err != nil || s.kept.V != 1 || len(s.kept.Salt) < 16 {
		return errors.New("sandbox: state file is not one of ours")
	}
	if s.kept.Generations == nil {
		s.kept.Generations = map[string]int{}
	}
	for _, use := range []string{"sig", "enc"} {
		if _, err := s.key(use); err != nil {
			return err
		}
	}
	return nil
}

// save writes the file as a whole or not at all.
func (s *state) save() error {
	if s.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s.kept, "", " ")
	if err != nil {
		return fmt.Errorf("sandbox: state: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), ".state-*") // CreateTemp uses 0600
	if err != nil {
		return fmt.Errorf("sandbox: state: %w", err)
	}
	_, werr := f.Write(b)
	err = errors.Join(werr, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("sandbox: state: %w", err)
	}
	return nil
}

// rotate makes a new key of that use; the old ones stay published (and usable
// for decryption) only when keepOld is set.
func (s *state) rotate(use string, keepOld bool) error {
	priv, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("sandbox: make key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := jose.JSONWebKey{Key: priv, KeyID: fmt.Sprintf("%c%d", use[0], s.kept.NextKey), Use: use}
	var keys []jose.JSONWebKey
	for _, k := range s.kept.Keys {
		if keepOld || k.Use != use {
			keys = append(keys, k)
		}
	}
	s.kept.NextKey++
	s.kept.Keys = append(keys, key)
	return s.save()
}

// key is the newest private key of a use.
func (s *state) key(use string) (jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.kept.Keys) - 1; i >= 0; i-- {
		k := s.kept.Keys[i]
		if _, ok := k.Key.(*rsa.PrivateKey); ok && k.Use == use {
			return k, nil
		}
	}
	return jose.JSONWebKey{}, errors.New("sandbox: state file holds no key for " + use)
}

// public is the published key set.
func (s *state) public() jose.JSONWebKeySet {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range s.kept.Keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return set
}

// decryptionKeys are the private keys for one kid, or all when kid is empty.
func (s *state) decryptionKeys(kid string) []jose.JSONWebKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []jose.JSONWebKey
	for _, k := range s.kept.Keys {
		if k.Use == "enc" && (kid == "" || k.KeyID == kid) {
			keys = append(keys, k)
		}
	}
	return keys
}

// sub is pairwise: 36 characters of [0-9a-z] out of person, client and the
// account's generation (SB-52).
func (s *state) sub(person, client string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	mac := hmac.New(sha256.New, s.kept.Salt)
	_, _ = fmt.Fprintf(mac, "%s\x00%s\x00%d", person, client, s.kept.Generations[person])
	text := new(big.Int).SetBytes(mac.Sum(nil)).Text(36)
	for len(text) < 36 {
		text = "0" + text
	}
	return text[:36]
}

func (s *state) recreate(person string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Generations[person]++
	return s.save()
}
