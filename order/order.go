// Package order is what a provider signs when it orders: the digests of its documents, in their order. The provider makes
// it with a key that the front never has, the SAM verifies it with the key that operators registered, and whoever holds
// the evidence verifies it again: so an owned front cannot put another document into a provider's order.
//
// An order is a compact JWS (RFC 7515 §7.1) with the header
//
//	{"alg":"ES256","kid":"…","typ":"tekend-order+jws"}
//
// and the payload of [Order]. Package order stands on the lowest floor because front, SAM, verifiers and the provider's
// own tools must agree on every byte.
package order

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/strictjson"
)

const (
	// Version is the member v of an order.
	Version = 1
	// Type is the header's typ (RFC 8725 §3.11): no other JWS of the provider's key can pass for an order.
	Type = "tekend-order+jws"
	// MaxLength of an order, in bytes: MaxDocuments with two digests each, in base64, are below 60 kB. With all three they
	// would not fit beside the documents into a message to the SAM.
	MaxLength = 64 << 10
	// MaxDocuments of an order.
	MaxDocuments = 250
	// MaxLife is the longest time from iat to exp.
	MaxLife = 60 * 24 * time.Hour
	// Skew is how far iat may lie ahead of the reader's clock.
	Skew = time.Minute
)

// Reasons why an order is refused. They say nothing of what is in it.
var (
	ErrFormat    = errors.New("order: not a compact JWS of the format")
	ErrKey       = errors.New("order: signed with a key that is not registered")
	ErrSignature = errors.New("order: the signature does not verify")
	ErrTime      = errors.New("order: not valid yet, not valid any more, or valid for too long")
	ErrDocuments = errors.New("order: the documents are not those of the order")
)

// Document names one document of an order by its digests, base64url without padding, one at least. Of a file that is sent,
// they are of the whole file as the provider has it; SHA256 serves most persons, SHA384 those whose certificate is for a
// P-384 key, and who is not served cannot order from them. Of an order of hashes there is the digest that is ordered: of the
// ByteRange of a prepared PDF, of the content of a detached signature.
type Document struct {
	SHA256 string `json:"sha256,omitempty"`
	SHA384 string `json:"sha384,omitempty"`
	SHA512 string `json:"sha512,omitempty"`
}

// NewDocument takes the digests of one file; sha384 may be nil.
func NewDocument(sha256, sha384 []byte) Document {
	return Document{SHA256: b64.EncodeToString(sha256), SHA384: b64.EncodeToString(sha384)}
}

// NewDigest takes the one digest of a document in an order of hashes, by SHA-256, SHA-384 or SHA-512.
func NewDigest(hash crypto.Hash, digest []byte) (Document, error) {
	var d Document
	text := d.by(hash)
	if text == nil || len(digest) != hash.Size() {
		return Document{}, fmt.Errorf("order: not a digest by SHA-256, SHA-384 or SHA-512: %d bytes", len(digest))
	}
	*text = b64.EncodeToString(digest)
	return d, nil
}

// by is the member for a hash; nil when there is none.
func (d *Document) by(hash crypto.Hash) *string {
	switch hash {
	case crypto.SHA256:
		return &d.SHA256
	case crypto.SHA384:
		return &d.SHA384
	case crypto.SHA512:
		return &d.SHA512
	}
	return nil
}

// check: one digest at least, and each as long as its hash makes them.
func (d Document) check() error {
	if d == (Document{}) {
		return ErrFormat
	}
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		b, err := b64.DecodeString(*d.by(h))
		if err != nil || len(b) != 0 && len(b) != h.Size() {
			return ErrFormat
		}
	}
	return nil
}

// Order is the payload. Iat and Exp are seconds since 1970, UTC.
type Order struct {
	V         int        `json:"v"`
	Iss       string     `json:"iss"` // the provider's name, as operators registered it
	Jti       string     `json:"jti"` // the provider's own name of the order, opaque, 1 to 64 characters
	Iat       int64      `json:"iat"`
	Exp       int64      `json:"exp"` // confirmations are asked for until then
	Documents []Document `json:"documents"`
}

// Key is a provider's registered public key.
type Key struct {
	ID     string           // kid: see [KeyID]
	Public crypto.PublicKey // P-256, P-384, Ed25519, or RSA of at least 3072 bits
}

// New makes the order of the named provider.
func New(provider string, docs []Document, now time.Time, life time.Duration) Order {
	return Order{V: Version, Iss: provider, Jti: rand.Text(), Iat: now.Unix(), Exp: now.Add(life).Unix(), Documents: docs}
}

var b64 = base64.RawURLEncoding.Strict()

// algorithms are all that are accepted. Of RSA only PSS.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.PS256, jose.EdDSA}

// algorithm is the one that goes with a key; there is no choice, so nothing can be downgraded.
func algorithm(pub crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= 3072 && n <= 8192 {
			return jose.PS256, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	}
	return "", errors.New("order: a provider's key must be P-256, P-384, Ed25519, or RSA of 3072 to 8192 bits")
}

// KeyID is the kid of a key: its JWK thumbprint (RFC 7638) with SHA-256, so that nobody has to agree on names. It fails
// for a key that is not accepted.
func KeyID(pub crypto.PublicKey) (string, error) {
	if _, err := algorithm(pub); err != nil {
		return "", err
	}
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("order: %w", err)
	}
	return b64.EncodeToString(sum), nil
}

// KeySet writes keys as a JWK set (RFC 7517 §5), ordered as they are: what a verifier needs later.
func KeySet(keys []Key) ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		alg, err := algorithm(k.Public)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public, KeyID: k.ID, Algorithm: string(alg), Use: "sig"})
	}
	b, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	return b, nil
}

// ReadKeySet reads what KeySet wrote. A kid that is not the key's own is refused.
func ReadKeySet(b []byte) ([]Key, error) {
	var set jose.JSONWebKeySet
	if len(b) > MaxLength || json.Unmarshal(b, &set) != nil {
		return nil, ErrFormat
	}
	var keys []Key
	for _, k := range set.Keys {
		id, err := KeyID(k.Key)
		if err != nil || id != k.KeyID {
			return nil, ErrKey
		}
		keys = append(keys, Key{ID: id, Public: k.Key})
	}
	return keys, nil
}

// Sign makes the compact JWS of o.
func Sign(o Order, key crypto.Signer) (string, error) {
	if err := o.check(); err != nil {
		return "", err
	}
	alg, err := algorithm(key.Public())
	if err != nil {
		return "", err
	}
	kid, err := KeyID(key.Public())
	if err != nil {
		return "", err
	}
	opts := (&jose.SignerOptions{}).WithType(Type)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
	if err != nil {
		return "", fmt.Errorf("order: %w", err)
	}
	payload, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("order: %w", err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("order: %w", err)
	}
	compact, err := jws.CompactSerialize()
	if err == nil && len(compact) > MaxLength {
		err = fmt.Errorf("order: longer than %d bytes: leave digests out that the person's certificate does not need", MaxLength)
	}
	return compact, err
}

type header struct {
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	Typ string `json:"typ"`
}

// Verify reads an order that one of keys signed, and whose iss is name. It does not judge the time: see [Order.At].
func Verify(compact, name string, keys []Key) (Order, error) {
	h, o, err := read(compact)
	if err != nil {
		return Order{}, err
	}
	var key *Key
	for i := range keys {
		if subtle.ConstantTimeCompare([]byte(keys[i].ID), []byte(h.Kid)) == 1 {
			key = &keys[i]
		}
	}
	if key == nil || o.Iss != name {
		return Order{}, ErrKey
	}
	alg, err := algorithm(key.Public)
	if err != nil || string(alg) != h.Alg {
		return Order{}, ErrKey
	}
	jws, err := jose.ParseSignedCompact(compact, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return Order{}, ErrFormat
	}
	if _, err := jws.Verify(key.Public); err != nil {
		return Order{}, ErrSignature
	}
	return o, nil
}

// Peek reads an order without verifying it: for a front that tells its client of a mistake early.
func Peek(compact string) (Order, error) {
	_, o, err := read(compact)
	return o, err
}

func read(compact string) (h header, o Order, err error) {
	if len(compact) > MaxLength {
		return h, o, ErrFormat
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return h, o, ErrFormat
	}
	if err := decode(parts[0], &h); err != nil || h.Typ != Type {
		return h, o, ErrFormat
	}
	if err := decode(parts[1], &o); err != nil {
		return h, o, ErrFormat
	}
	if _, err := b64.DecodeString(parts[2]); err != nil {
		return h, o, ErrFormat
	}
	return h, o, o.check()
}

func decode(part string, v any) error {
	b, err := b64.DecodeString(part)
	if err != nil {
		return err
	}
	return strictjson.Decode(b, MaxLength, v)
}

// check holds o to the format.
func (o Order) check() error {
	if o.V != Version || !visible(o.Iss) || !visible(o.Jti) || len(o.Documents) == 0 || len(o.Documents) > MaxDocuments {
		return ErrFormat
	}
	if o.Iat <= 0 || o.Exp <= o.Iat || o.Exp-o.Iat > int64(MaxLife/time.Second) {
		return ErrTime
	}
	for _, d := range o.Documents {
		if err := d.check(); err != nil {
			return err
		}
	}
	return nil
}

// visible: 1 to 64 visible ASCII characters.
func visible(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool { return c < '!' || c > '~' })
}

// At refuses an order that is not valid at the moment.
func (o Order) At(now time.Time) error {
	if now.Add(Skew).Unix() < o.Iat || now.Unix() >= o.Exp {
		return ErrTime
	}
	return nil
}

// Covers refuses documents that are not exactly those of the order, in its order. digests are by hash: SHA-256, SHA-384 or
// SHA-512.
func (o Order) Covers(hash crypto.Hash, digests [][]byte) error {
	if len(digests) != len(o.Documents) {
		return ErrDocuments
	}
	for i, d := range digests {
		text := o.Documents[i].by(hash)
		if text == nil {
			return ErrDocuments
		}
		want, err := b64.DecodeString(*text)
		if err != nil || len(want) == 0 || subtle.ConstantTimeCompare(want, d) != 1 {
			return ErrDocuments
		}
	}
	return nil
}
