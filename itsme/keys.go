package itsme

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme/token"
)

// minModulus and exponent are the rules for RSA keys on both sides
// (specs/itsme.md §1.4): at least 2048 bits, e = AQAB.
const (
	minModulus = 2048
	exponent   = 65537
)

type keySet struct {
	*token.KeySet
	at   time.Time // before it was asked for
	url  string
	body []byte // as it came
}

// readKeySet reads the set that itsme publishes; the rules are token.ReadKeySet's.
func readKeySet(b []byte) (*keySet, error) {
	set, err := token.ReadKeySet(b)
	if err != nil {
		return nil, err
	}
	return &keySet{KeySet: set}, nil
}

// readAnswer reads a 200 answer; limited has already bounded it.
func readAnswer(resp *http.Response) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: status %d", ErrUnreachable, resp.StatusCode)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return b, nil
}

// PublicKey is one entry of our public key set; use is "sig" or "enc".
func PublicKey(pub any, kid, use string) jose.JSONWebKey {
	alg := string(jose.RS256)
	if use == "enc" {
		alg = string(jose.RSA_OAEP_256)
	}
	return jose.JSONWebKey{Key: pub, KeyID: kid, Use: use, Algorithm: alg}
}

// PublicJWKS is our public key set for one itsme client: a signing and an
// encryption key. While the encryption key is being changed, append the new
// one with PublicKey; itsme picks one at random (specs/itsme.md §1.4).
func PublicJWKS(sig, enc any, sigKID, encKID string) jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{PublicKey(sig, sigKID, "sig"), PublicKey(enc, encKID, "enc")}}
}

// CheckJWKS says whether itsme would take this set of ours: at least two keys,
// one of each use, RSA, e = AQAB, at least 2048 bits, each with its own kid,
// nothing private (specs/itsme.md §1.4).
func CheckJWKS(set jose.JSONWebKeySet) error {
	uses, kids := map[string]int{}, map[string]bool{}
	for _, k := range set.Keys {
		pub, ok := k.Key.(*rsa.PublicKey)
		switch {
		case !ok:
			return errors.New("itsme key set: only public RSA keys")
		case pub.N.BitLen() < minModulus || pub.E != exponent:
			return fmt.Errorf("itsme key set: RSA keys need %d bits and the exponent 65537", minModulus)
		case k.KeyID == "" || kids[k.KeyID]:
			return errors.New("itsme key set: every key needs a kid of its own")
		}
		kids[k.KeyID] = true
		uses[k.Use]++
	}
	if uses["sig"] == 0 || uses["enc"] == 0 || len(uses) != 2 {
		return errors.New(`itsme key set: needs keys with use "sig" and "enc", and no others`)
	}
	return nil
}

// jwksMaxAge is the time itsme may keep our key set; less than 30 minutes has
// no effect (specs/itsme.md §1.4).
const jwksMaxAge = 30 * time.Minute

// JWKSHandler serves our public key sets: GET /jwks/{name}. It answers from
// memory: itsme expects the set within a second (specs/itsme.md §1.3).
func JWKSHandler(sets map[string]jose.JSONWebKeySet) (http.Handler, error) {
	mux := http.NewServeMux()
	for name, set := range sets {
		if err := CheckJWKS(set); err != nil {
			return nil, err
		}
		if name == "" || strings.ContainsAny(name, "/{} ") {
			return nil, errors.New("itsme key set: unusable name")
		}
		body, err := json.Marshal(set)
		if err != nil {
			return nil, fmt.Errorf("itsme key set: %w", err)
		}
		mux.HandleFunc("GET /jwks/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(jwksMaxAge.Seconds())))
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(body)
		})
	}
	return mux, nil
}
