// Package consent holds what a person's confirmation commits to, as bytes that
// the front, the sam, the ca and any later verifier must compute alike: the
// manifest in canonical JSON, the text that itsme shows, the root and check
// code of the documents, and the nonce (specs/itsme.md §3.3, §9.2 B-1, B-2).
//
// It has no state, no clock and no network.
package consent

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Version stands in every manifest and in front of every hash.
const Version = "itsme-bind/1"

// Operations of a manifest. A token that answers one of them is refused by the
// others.
const (
	OpEnrol  = "enrol"
	OpSign   = "sign"
	OpRevoke = "revoke"
)

// MaxDocs is the largest number of documents of one confirmation. About 105
// with the longest labels stand in the text by name (SignText).
const MaxDocs = 250

// MaxManifest bounds a manifest, in bytes: MaxDocs hashes by SHA-512 with the
// longest labels and the longest text, each character of two bytes, are below 117 kB.
const MaxManifest = 120 << 10

var b64 = base64.RawURLEncoding

// Nonce is the commitment to a manifest: base64url(SHA-256("itsme-bind/1
// nonce" ‖ 0 ‖ manifest)), 43 characters (B-1).
func Nonce(manifest []byte) string {
	return b64.EncodeToString(hash("nonce", manifest))
}

// Root is the hash over what a person can compare: algorithm, digest and label
// of each document in the order shown (B-2). DTBS is not part of it, and Origin is
// not: one digest under one label has one check code, wherever it came from.
func Root(docs []Doc) (string, error) {
	if err := checkDocs(docs); err != nil {
		return "", err
	}
	var w writer
	w.raw("[")
	for i, d := range docs {
		if i > 0 {
			w.raw(",")
		}
		d.DTBS, d.Origin = "", ""
		w.doc(d)
	}
	w.raw("]")
	return b64.EncodeToString(hash("root", w.out)), w.err
}

func hash(what string, b []byte) []byte {
	h := sha256.New()
	h.Write([]byte(Version + " " + what + "\x00"))
	h.Write(b)
	return h.Sum(nil)
}

// Crockford is Crockford's base 32 in lower case: without i, l, o and u.
const Crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// CheckCode is the first 80 bits of a root as xxxx-xxxx-xxxx-xxxx (B-2).
func CheckCode(root string) (string, error) {
	b, err := decode32(root)
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	return Code(b, 16, 4), nil
}

// Code writes the first bits of b, five for each of chars characters, as
// Crockford's base 32 in groups with hyphens between them. b has as many bits.
func Code(b []byte, chars, group int) string {
	var code strings.Builder
	bits, n, next := 0, 0, 0
	for i := range chars {
		for n < 5 {
			bits, n = bits<<8|int(b[next]), n+8
			next++
		}
		n -= 5
		if i > 0 && i%group == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(Crockford[bits>>n&31])
		bits &= 1<<n - 1
	}
	return code.String()
}

func decode32(s string) ([]byte, error) { return decode(s, sha256.Size) }

// decode reads the base64url of n bytes in its only spelling.
func decode(s string, n int) ([]byte, error) {
	b, err := b64.Strict().DecodeString(s)
	if err != nil || len(b) != n || strings.ContainsAny(s, "\r\n") {
		return nil, fmt.Errorf("must be the base64url of %d bytes, without padding", n)
	}
	return b, nil
}
