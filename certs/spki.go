package certs

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // a key's name, RFC 5280 §4.2.1.2 (1); nothing is protected by it
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
)

// SPKI gives the DER SubjectPublicKeyInfo of a key (RFC 5280 §4.1.2.7).
func SPKI(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return der, nil
}

// SPKISHA256 names a public key: base64url without padding of the SHA-256 of
// its DER SubjectPublicKeyInfo, 43 characters. Applications and certificates
// are compared by it.
func SPKISHA256(pub crypto.PublicKey) (string, error) {
	der, err := SPKI(pub)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// SameKey tells whether two public keys have the same SubjectPublicKeyInfo.
func SameKey(a, b crypto.PublicKey) bool {
	x, err1 := SPKI(a)
	y, err2 := SPKI(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// keyIdentifier is the SHA-1 of the public key's bits (RFC 5280 §4.2.1.2 (1)).
func keyIdentifier(spki []byte) ([]byte, error) {
	bits, err := keyBits(spki)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(bits) //nolint:gosec // see above
	return sum[:], nil
}

// keyBits gives the bits of the public key, without tag, length and unused bits.
//
//	SubjectPublicKeyInfo ::= SEQUENCE { algorithm AlgorithmIdentifier,
//	                                    subjectPublicKey BIT STRING }
func keyBits(spki []byte) ([]byte, error) {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if rest, err := asn1.Unmarshal(spki, &info); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return info.Key.Bytes, nil
}
