package certs

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OCSP by RFC 6960 and its profile RFC 5019. The encoder is our own because
// golang.org/x/crypto/ocsp can neither read nor write a nonce. What both sides
// share stands here; requests in ocsp_request.go, answers in ocsp_answer.go,
// reading an answer in ocsp_read.go.

// Limits of what is read, before anything is parsed.
const (
	// MaxOCSPRequest bounds a request, in bytes: twenty single requests of 170
	// bytes, a nonce and a signature with two certificates fit.
	MaxOCSPRequest = 16 << 10
	// MaxOCSPResponse bounds a response, in bytes.
	MaxOCSPResponse = 64 << 10
	// MaxOCSPSingles bounds the certificates asked for in one request: each
	// costs a look-up, and clients ask for one.
	MaxOCSPSingles = 20
	// MaxOCSPNonce bounds a nonce, in octets (RFC 9654 §2.1); the least is 1.
	MaxOCSPNonce = 128

	maxOCSPExtensions = 16
	maxOCSPSerial     = 20 // octets, RFC 5280 §4.1.2.2
)

// OCSPResponseStatus is how an answer as a whole went (RFC 6960 §4.2.1).
type OCSPResponseStatus int

// The statuses we send; 4 is not used and 5 (sigRequired) never applies,
// because unsigned requests are welcome.
const (
	OCSPSuccessful   OCSPResponseStatus = 0
	OCSPMalformed    OCSPResponseStatus = 1
	OCSPInternal     OCSPResponseStatus = 2
	OCSPTryLater     OCSPResponseStatus = 3
	OCSPUnauthorized OCSPResponseStatus = 6 // RFC 5019 §2.2.3: not our certificates
)

// OCSPError is a refusal in the protocol's own words. Reason is for logs and
// holds nothing of what the other side sent.
type OCSPError struct {
	Status OCSPResponseStatus
	Reason string
}

func (e *OCSPError) Error() string { return fmt.Sprintf("OCSP status %d: %s", e.Status, e.Reason) }

func malformed(reason string) error { return &OCSPError{OCSPMalformed, reason} }

// CertState is what an answer says of one certificate. The zero value is
// "unknown": nothing was proven.
type CertState int

// The states of RFC 6960 §2.2.
const (
	StatusUnknown CertState = iota
	StatusGood
	StatusRevoked
)

func (s CertState) String() string {
	switch s {
	case StatusGood:
		return "good"
	case StatusRevoked:
		return "revoked"
	}
	return "unknown"
}

// CertID names a certificate by the digests of its issuer's name and key and
// by its serial number (RFC 6960 §4.1.1). DER are the exact bytes, which an
// answer repeats. Hash is 0 when the digest algorithm is none that we know;
// such an id is of no issuer.
type CertID struct {
	Hash              crypto.Hash
	NameHash, KeyHash []byte
	Serial            *big.Int
	DER               []byte
}

// ocspHashes are the digest algorithms of a CertID. It identifies, it protects
// nothing: SHA-1 is what every client sends.
var ocspHashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{{oidSHA1, crypto.SHA1}, {oidSHA256, crypto.SHA256}, {oidSHA384, crypto.SHA384}, {oidSHA512, crypto.SHA512}}

// IDOf gives the id of cert, issued by issuer, under a digest algorithm (SHA-1
// or SHA-2).
func IDOf(cert, issuer *x509.Certificate, hash crypto.Hash) (CertID, error) {
	id := CertID{Hash: hash, Serial: cert.SerialNumber}
	var err error
	if id.NameHash, id.KeyHash, err = issuerHashes(issuer, hash); err != nil {
		return CertID{}, err
	}
	id.DER, err = id.encode()
	return id, err
}

// Of tells whether the id names a certificate of issuer: both digests are the
// issuer's.
func (id CertID) Of(issuer *x509.Certificate) bool {
	name, key, err := issuerHashes(issuer, id.Hash)
	return err == nil && subtle.ConstantTimeCompare(name, id.NameHash) == 1 && subtle.ConstantTimeCompare(key, id.KeyHash) == 1
}

// issuerHashes are the digests of the issuer's DER name and of the bits of its
// public key, without tag, length and unused bits.
func issuerHashes(issuer *x509.Certificate, hash crypto.Hash) (name, key []byte, err error) {
	known := false
	for _, h := range ocspHashes {
		known = known || h.hash == hash
	}
	if !known || !hash.Available() {
		return nil, nil, fmt.Errorf("OCSP: digest algorithm %d is not known", uint(hash))
	}
	bits, err := keyBits(issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, nil, err
	}
	digest := func(b []byte) []byte {
		h := hash.New()
		h.Write(b)
		return h.Sum(nil)
	}
	return digest(issuer.RawSubject), digest(bits), nil
}

// CertID ::= SEQUENCE { hashAlgorithm AlgorithmIdentifier, issuerNameHash
//
//	OCTET STRING, issuerKeyHash OCTET STRING, serialNumber INTEGER }
//
// The parameters are NULL, as every client writes them (RFC 4055 §2.1 wants
// both forms read).
func (id CertID) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, h := range ocspHashes {
				if h.hash == id.Hash {
					b.AddASN1ObjectIdentifier(h.oid)
				}
			}
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(id.NameHash)
		b.AddASN1OctetString(id.KeyHash)
		b.AddASN1BigInt(id.Serial)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode CertID: %w", err)
	}
	return der, nil
}

// readCertID reads one from the front of s.
func readCertID(s *cryptobyte.String) (CertID, bool) {
	var whole, body, alg, name, key, rest cryptobyte.String
	var oid asn1.ObjectIdentifier
	var has bool
	id := CertID{Serial: new(big.Int)}
	if !s.ReadASN1Element(&whole, cbasn1.SEQUENCE) {
		return CertID{}, false
	}
	id.DER = bytes.Clone(whole)
	if !whole.ReadASN1(&body, cbasn1.SEQUENCE) || !body.ReadASN1(&alg, cbasn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&oid) ||
		!alg.ReadOptionalASN1(&rest, &has, cbasn1.NULL) || !alg.Empty() || len(rest) > 0 ||
		!body.ReadASN1(&name, cbasn1.OCTET_STRING) || !body.ReadASN1(&key, cbasn1.OCTET_STRING) ||
		!body.ReadASN1Integer(id.Serial) || !body.Empty() {
		return CertID{}, false
	}
	id.NameHash, id.KeyHash = bytes.Clone(name), bytes.Clone(key)
	for _, h := range ocspHashes {
		if h.oid.Equal(oid) {
			id.Hash = h.hash
		}
	}
	short := id.Hash == 0 || len(name) == id.Hash.Size() && len(key) == id.Hash.Size()
	return id, short && len(id.Serial.Bytes()) <= maxOCSPSerial && len(name) <= 64 && len(key) <= 64
}

// ocspExtensions is what we read of an Extensions field.
type ocspExtensions struct {
	nonce         []byte
	archiveCutoff time.Time
	certHash      certHash
}

var errUnknownCritical = malformed("a critical extension is not known")

// readOCSPExtensions reads Extensions (RFC 5280 §4.1). None stands twice; a
// critical one that we do not know is refused (RFC 6960 §4.4).
func readOCSPExtensions(der cryptobyte.String) (ocspExtensions, error) {
	var found ocspExtensions
	var list cryptobyte.String
	if !der.ReadASN1(&list, cbasn1.SEQUENCE) || !der.Empty() || list.Empty() {
		return found, malformed("extensions")
	}
	var seen []asn1.ObjectIdentifier
	for !list.Empty() {
		var one, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if len(seen) == maxOCSPExtensions || !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&oid) ||
			one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) ||
			!one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return found, malformed("extensions")
		}
		for _, s := range seen {
			if s.Equal(oid) {
				return found, malformed("an extension stands twice")
			}
		}
		seen = append(seen, oid)
		switch {
		case oid.Equal(oidOCSPNonce):
			var n cryptobyte.String
			if !value.ReadASN1(&n, cbasn1.OCTET_STRING) || !value.Empty() || len(n) == 0 || len(n) > MaxOCSPNonce {
				return found, malformed("the nonce is not 1 to 128 octets")
			}
			found.nonce = bytes.Clone(n)
		case oid.Equal(oidOCSPArchiveCutoff):
			if !value.ReadASN1GeneralizedTime(&found.archiveCutoff) || !value.Empty() {
				return found, malformed("archive cut-off")
			}
		case oid.Equal(oidOCSPCertHash):
			if !found.certHash.read(value) {
				return found, malformed("certHash")
			}
		case critical:
			return found, errUnknownCritical
		}
	}
	return found, nil
}

// addNonce writes the nonce extension (RFC 9654 §2.1): an OCTET STRING inside
// the extension's own.
func addNonce(b *cryptobyte.Builder, nonce []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidOCSPNonce)
		b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
	})
}
