package token

import (
	"crypto/rsa"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// Decrypt opens a nested token with our private keys and returns the compact
// JWS inside, unverified. RSA-OAEP-256 with A128CBC-HS256 or A256GCM only. The
// key is chosen by kid; a header without kid, which itsme was seen to send,
// makes all keys be tried (specs/itsme.md §1.5). Every failure of decryption
// has the same reason, so that nobody can ask us about paddings.
//
// Our encryption key is public: that a token could be decrypted proves nothing.
func Decrypt(raw string, keys []jose.JSONWebKey) (inner string, err error) {
	return decrypt(raw, keys, keyAlgorithms)
}

// DecryptOlder is Decrypt for an itsme that still wraps keys with RSA-OAEP and
// SHA-1 (specs/itsme.md §0.2 no 9). Use it only by explicit configuration.
func DecryptOlder(raw string, keys []jose.JSONWebKey) (inner string, err error) {
	return decrypt(raw, keys, olderKeyAlgorithms)
}

func decrypt(raw string, keys []jose.JSONWebKey, algs []jose.KeyAlgorithm) (string, error) {
	h, err := outer(raw)
	if err != nil {
		return "", err
	}
	if !slices.Contains(algs, jose.KeyAlgorithm(h.alg)) {
		return "", refuse(BadAlgorithm)
	}
	if !slices.Contains(contentEncryptions, jose.ContentEncryption(h.enc)) {
		return "", refuse(BadEncryption)
	}
	if h.cty != "" && !strings.EqualFold(h.cty, "JWT") {
		return "", refuse(BadHeader)
	}
	candidates := keysFor(h, keys)
	if len(candidates) == 0 {
		return "", refuse(BadKeyID)
	}
	obj, err := jose.ParseEncryptedCompact(raw, algs, contentEncryptions)
	if err != nil {
		return "", refuse(Malformed)
	}
	for _, key := range candidates {
		plain, err := obj.Decrypt(key)
		if err != nil {
			continue
		}
		if parts := split(string(plain)); len(parts) != 3 || parts[0] == "" || parts[1] == "" {
			return "", refuse(NotSigned)
		}
		return string(plain), nil
	}
	return "", refuse(CannotDecrypt)
}

// outer looks at the form of an encrypted token before anything is parsed.
func outer(raw string) (header, error) {
	if len(raw) > MaxToken {
		return header{}, refuse(TooLong)
	}
	if strings.HasPrefix(strings.TrimLeft(raw, " \t\r\n"), "{") {
		return header{}, refuse(Serialization)
	}
	parts := split(raw)
	switch {
	case len(parts) == 3:
		return header{}, refuse(NotEncrypted)
	case len(parts) != 5 || slices.Contains(parts, ""):
		return header{}, refuse(Malformed)
	}
	for _, p := range parts[1:] {
		if _, err := part.DecodeString(p); err != nil {
			return header{}, refuse(Malformed)
		}
	}
	return readHeader(parts[0])
}

func keysFor(h header, keys []jose.JSONWebKey) []*rsa.PrivateKey {
	var found []*rsa.PrivateKey
	for _, k := range keys {
		if priv, ok := k.Key.(*rsa.PrivateKey); ok && (!h.hasKID || k.KeyID == h.kid) {
			found = append(found, priv)
		}
	}
	return found
}
