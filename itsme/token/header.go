package token

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"tekend/strictjson"
)

// What is accepted, and nothing is ever taken from a header alone. RSA-OAEP
// (SHA-1) was itsme's older habit (specs/itsme.md §0.2 no 9); it is only read
// through DecryptOlder.
var (
	keyAlgorithms      = []jose.KeyAlgorithm{jose.RSA_OAEP_256}
	olderKeyAlgorithms = []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP}
	contentEncryptions = []jose.ContentEncryption{jose.A128CBC_HS256, jose.A256GCM}
	signingAlgorithms  = []jose.SignatureAlgorithm{jose.RS256}
)

// kinds are the typ that an ID token of itsme may have, if it has one (specs/itsme.md §1.5): a token of another kind that
// itsme may sign with the same key is none (RFC 8725 §3.11).
var kinds = []string{"JWT", "JOSE"}

// maxHeader bounds a decoded JOSE header; itsme's are below 200 bytes.
const maxHeader = 4 << 10

// part is strict base64url without padding (RFC 7515 §2). The standard decoder
// passes over line breaks and spare bits; both would let one token have many
// spellings.
var part = base64.RawURLEncoding.Strict()

// split cuts a compact serialisation and answers nil for anything whose
// alphabet is wrong.
func split(raw string) []string {
	for i := range len(raw) {
		c := raw[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return nil
		}
	}
	return strings.Split(raw, ".")
}

type header struct {
	alg, enc, kid, cty string
	hasKID             bool
}

// readHeader reads a protected header strictly: no duplicates, nothing that
// changes how the token must be read (crit, b64, zip), no key that the token
// brings along.
func readHeader(encoded string) (header, error) {
	var h header
	if len(encoded) > base64.RawURLEncoding.EncodedLen(maxHeader) {
		return h, refuse(TooLong)
	}
	b, err := part.DecodeString(encoded)
	if err != nil {
		return h, refuse(Malformed)
	}
	members := map[string]json.RawMessage{}
	if err := strictjson.DecodeLoose(b, maxHeader, &members); err != nil || members == nil {
		return h, refuse(BadHeader)
	}
	for name := range members {
		switch strings.ToLower(name) {
		case "crit", "b64":
			return h, refuse(Critical)
		case "zip":
			return h, refuse(Compressed)
		case "jwk", "jku", "x5u", "x5c":
			return h, refuse(BadHeader)
		}
	}
	for name, to := range map[string]*string{"alg": &h.alg, "enc": &h.enc, "kid": &h.kid, "cty": &h.cty} {
		v, ok := members[name]
		if !ok {
			continue
		}
		s, ok := text(v)
		if !ok {
			return h, refuse(BadHeader)
		}
		*to = s
	}
	if v, ok := members["typ"]; ok {
		typ, ok := text(v)
		if !ok || !slices.Contains(kinds, strings.ToUpper(typ)) {
			return h, refuse(BadHeader)
		}
	}
	_, h.hasKID = members["kid"]
	return h, nil
}

// text reads a JSON string.
func text(v json.RawMessage) (string, bool) {
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(v, &s) == nil && len(s) <= maxText && clean(s)
}
