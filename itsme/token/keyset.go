package token

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"tekend/strictjson"
)

// MaxKeySet bounds a key set, in bytes: a handful of RSA keys is below 5 kB,
// certificates beside them make some tens of kB.
const MaxKeySet = 256 << 10

// maxKeys bounds a key set; itsme has a handful.
const maxKeys = 64

// exponent is the only one that is taken (specs/itsme.md §1.4).
const exponent = 65537

// KeySet holds the usable keys of a JWK set. It implements Keys for a set
// that was kept, which has no age.
type KeySet struct {
	Signing    map[string]jose.JSONWebKey // by kid
	Encryption *jose.JSONWebKey           // the first usable one, or nil
}

// ReadKeySet takes the usable RSA keys out of a JWK set (RFC 7517 §5): public,
// at least 2048 bits, e = 65537, with a kid, for RS256 or RSA-OAEP-256. Others
// are passed over, as §5 says; a signing kid that stands twice makes the set
// ambiguous, and one without a signing key is of no use: both are refused.
func ReadKeySet(b []byte) (*KeySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.DecodeLoose(b, MaxKeySet, &doc); err != nil {
		return nil, err
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	set := &KeySet{Signing: map[string]jose.JSONWebKey{}}
	for _, raw := range doc.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &k) != nil {
			continue
		}
		pub, ok := k.Key.(*rsa.PublicKey) // a private or symmetric key is not one
		if !ok || k.KeyID == "" || pub.N.BitLen() < minModulus || pub.E != exponent {
			continue
		}
		switch {
		case k.Use == "enc" && (k.Algorithm == "" || k.Algorithm == string(jose.RSA_OAEP_256)):
			if set.Encryption == nil {
				set.Encryption = &k
			}
		case (k.Use == "sig" || k.Use == "") && (k.Algorithm == "" || k.Algorithm == string(jose.RS256)):
			if _, twice := set.Signing[k.KeyID]; twice {
				return nil, errors.New("one kid stands for two signing keys")
			}
			set.Signing[k.KeyID] = k
		}
	}
	if len(set.Signing) == 0 {
		return nil, errors.New("no usable signing key")
	}
	return set, nil
}

// Key implements Keys.
func (s *KeySet) Key(_ context.Context, kid string) (*jose.JSONWebKey, error) {
	k, ok := s.Signing[kid]
	if !ok {
		return nil, ErrUnknownKey
	}
	return &k, nil
}
