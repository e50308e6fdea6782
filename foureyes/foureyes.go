// Package foureyes lets a thing be done only when two operators have said so.
//
// What shall be done is a text, the subject, that both can read and that holds
// a random id, so that no two are alike. Each operator signs over its digest
// with an Ed25519 key of his own; an approval lives at most a quarter of an
// hour. Who acts on a decision must make the subject's id unusable in the same
// step, so that an approval counts once (reliability §2 no. 42).
package foureyes

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of an approval.
const (
	MaxValid = 15 * time.Minute // longest life
	MaxSkew  = time.Minute      // an approval may be dated this far ahead of the verifier's clock
	MaxText  = 4 << 10          // bytes of an approval
	Needed   = 2                // different operators
)

// Operator is somebody who may approve, as configured.
type Operator struct {
	// Name is for the people who read the configuration; records hold the key's id alone.
	Name string `yaml:"name"`
	// Key is the public key: base64url (no padding) of its 32 bytes, as `tekend-trusted operator keygen` prints it.
	Key string `yaml:"key"`
}

// Operators are the configured ones, by key id.
type Operators map[string]ed25519.PublicKey

// Errors say why a decision does not stand.
var (
	ErrMalformed = errors.New("not an approval")
	ErrSubject   = errors.New("the approval is for something else")
	ErrExpired   = errors.New("the approval is not valid now")
	ErrUnknown   = errors.New("the approval is not of a configured operator")
	ErrSignature = errors.New("the approval's signature is wrong")
	ErrTooFew    = errors.New("approvals of two different operators are needed")
)

var b64 = base64.RawURLEncoding

// KeyID names a key: base64url of the first 12 bytes of its SHA-256.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return b64.EncodeToString(sum[:12])
}

// Load checks the configured operators: names and keys each once. Fewer than
// two are allowed; then nothing can be decided.
func Load(list []Operator) (Operators, error) {
	all, names := Operators{}, map[string]bool{}
	for _, o := range list {
		key, err := b64.Strict().DecodeString(o.Key)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("operators: the key of %q is not the base64url of 32 bytes", o.Name)
		}
		id := KeyID(key)
		if _, twice := all[id]; twice || names[o.Name] || o.Name == "" {
			return nil, fmt.Errorf("operators: %q: each operator needs a name and a key of his own", o.Name)
		}
		all[id], names[o.Name] = key, true
	}
	return all, nil
}

// Approval is one operator's word.
type Approval struct {
	Digest [sha256.Size]byte // SHA-256 of the subject
	ID     string            // random, so that no two approvals are alike
	Key    string            // KeyID
	From   time.Time         // whole seconds, UTC
	Until  time.Time
	sig    []byte
}

const head = "tekend-approval/1"

// signed is what the signature covers: everything before its line.
func (a Approval) signed() string {
	return fmt.Sprintf("%s\nsubject: %s\nid: %s\nkey: %s\nfrom: %s\nuntil: %s\n", head, b64.EncodeToString(a.Digest[:]), a.ID, a.Key,
		a.From.UTC().Format(time.RFC3339), a.Until.UTC().Format(time.RFC3339))
}

// String is the approval as it is handed on: seven lines of text.
func (a Approval) String() string {
	return a.signed() + "signature: " + b64.EncodeToString(a.sig) + "\n"
}

// Hash names the approval in records: base64url of the SHA-256 of its text.
func (a Approval) Hash() string {
	sum := sha256.Sum256([]byte(a.String()))
	return b64.EncodeToString(sum[:])
}

// Approve signs for a subject. valid is at least a second and at most MaxValid.
func Approve(key ed25519.PrivateKey, subject string, now time.Time, valid time.Duration) (Approval, error) {
	if valid < time.Second || valid > MaxValid {
		return Approval{}, fmt.Errorf("an approval is valid for 1s to %v", MaxValid)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return Approval{}, errors.New("not an Ed25519 key")
	}
	from := now.UTC().Truncate(time.Second)
	a := Approval{Digest: sha256.Sum256([]byte(subject)), ID: rand.Text(), Key: KeyID(public), From: from, Until: from.Add(valid.Truncate(time.Second))}
	a.sig = ed25519.Sign(key, []byte(a.signed()))
	return a, nil
}

// Parse reads an approval. Only the exact form that String writes is one.
func Parse(text string) (Approval, error) {
	var a Approval
	lines := strings.Split(text, "\n")
	if len(text) > MaxText || len(lines) != 8 || lines[0] != head || lines[7] != "" {
		return a, ErrMalformed
	}
	values := map[string]string{}
	for _, l := range lines[1:7] {
		name, value, ok := strings.Cut(l, ": ")
		if !ok {
			return a, ErrMalformed
		}
		values[name] = value
	}
	digest, err := b64.DecodeString(values["subject"])
	if err != nil || len(digest) != sha256.Size {
		return a, ErrMalformed
	}
	copy(a.Digest[:], digest)
	a.ID, a.Key = values["id"], values["key"]
	var errs [3]error
	a.From, errs[0] = time.Parse(time.RFC3339, values["from"])
	a.Until, errs[1] = time.Parse(time.RFC3339, values["until"])
	a.sig, errs[2] = b64.DecodeString(values["signature"])
	if errors.Join(errs[:]...) != nil || a.String() != text {
		return Approval{}, ErrMalformed
	}
	return a, nil
}

// check says why a is no approval of subject at the time now.
func (o Operators) check(a Approval, subject string, now time.Time) error {
	digest := sha256.Sum256([]byte(subject))
	key, known := o[a.Key]
	life := a.Until.Sub(a.From)
	switch {
	case !known:
		return ErrUnknown
	case !ed25519.Verify(key, []byte(a.signed()), a.sig):
		return ErrSignature
	case subtle.ConstantTimeCompare(digest[:], a.Digest[:]) != 1:
		return ErrSubject
	case life <= 0 || life > MaxValid || !now.Before(a.Until) || now.Before(a.From.Add(-MaxSkew)):
		return ErrExpired
	}
	return nil
}

// Decide wants good approvals of the subject by two different operators. Any
// bad one among them makes it refuse: nobody should hand it in.
func (o Operators) Decide(subject string, approvals []string, now time.Time) ([]Approval, error) {
	var good []Approval
	who := map[string]bool{}
	for i, text := range approvals {
		a, err := Parse(text)
		if err == nil {
			err = o.check(a, subject, now)
		}
		if err != nil {
			return nil, fmt.Errorf("approval %d: %w", i+1, err)
		}
		good = append(good, a)
		who[a.Key] = true
	}
	if len(who) < Needed || len(who) != len(good) {
		return nil, ErrTooFew
	}
	return good, nil
}
