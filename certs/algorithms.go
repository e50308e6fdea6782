package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// forEver marks a mechanism for which TS 119 312 names no end.
var forEver = time.Time{}

// legacyEnd is the day from which TS 119 312 V1.5.1 (catalogue of 13 Oct 2024)
// no longer accepts its legacy mechanisms: RSA with PKCS #1 v1.5 of any size,
// RSASSA-PSS below 3000 bits, SHA-224.
var legacyEnd = time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)

// algorithm is one row of the table of accepted mechanisms: the signature
// algorithm, the smallest key in bits, and its end (zero: none).
type algorithm struct {
	sig     x509.SignatureAlgorithm
	oid     asn1.ObjectIdentifier // nil: RSASSA-PSS, which is told by its parameters
	hash    crypto.Hash
	minBits int
	end     time.Time
}

// algorithms is the one table of accepted signature algorithms, key sizes and
// end dates, read by signing, the ca, validate and docs/algorithms.md: TS 119 312 V1.5.1 as specs/eidas.md §2.8 gives it. EdDSA, DSA,
// SHA-1 and MD5 are not in it and so are refused. For one algorithm the rows
// stand with the largest size first.
var algorithms = []algorithm{
	{x509.ECDSAWithSHA256, oidECDSAWithSHA256, crypto.SHA256, 256, forEver},
	{x509.ECDSAWithSHA384, oidECDSAWithSHA384, crypto.SHA384, 256, forEver},
	{x509.ECDSAWithSHA512, oidECDSAWithSHA512, crypto.SHA512, 256, forEver},
	{x509.SHA256WithRSA, oidSHA256WithRSA, crypto.SHA256, 1900, legacyEnd},
	{x509.SHA384WithRSA, oidSHA384WithRSA, crypto.SHA384, 1900, legacyEnd},
	{x509.SHA512WithRSA, oidSHA512WithRSA, crypto.SHA512, 1900, legacyEnd},
	{x509.SHA256WithRSAPSS, nil, crypto.SHA256, 3000, forEver},
	{x509.SHA384WithRSAPSS, nil, crypto.SHA384, 3000, forEver},
	{x509.SHA512WithRSAPSS, nil, crypto.SHA512, 3000, forEver},
	{x509.SHA256WithRSAPSS, nil, crypto.SHA256, 1900, legacyEnd},
	{x509.SHA384WithRSAPSS, nil, crypto.SHA384, 1900, legacyEnd},
	{x509.SHA512WithRSAPSS, nil, crypto.SHA512, 1900, legacyEnd},
}

// keySize gives the size in bits of a key of a family we know, and the family.
func keySize(pub crypto.PublicKey) (family string, bits int) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return "EC", k.Curve.Params().BitSize
		}
	case *rsa.PublicKey:
		return "RSA", k.N.BitLen()
	}
	return "", 0
}

func familyOf(sig x509.SignatureAlgorithm) string {
	switch sig {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return "EC"
	default:
		return "RSA"
	}
}

// find is the row for a signature made with sig under pub.
func find(sig x509.SignatureAlgorithm, pub crypto.PublicKey) (algorithm, error) {
	family, bits := keySize(pub)
	return findSize(sig, family, bits)
}

func findSize(sig x509.SignatureAlgorithm, family string, bits int) (algorithm, error) {
	for _, a := range algorithms {
		if a.sig == sig && familyOf(sig) == family && bits >= a.minBits {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("%v with a key of %d bits is not accepted (TS 119 312)", sig, bits)
}

// CheckAlgorithm tells whether a signature made with sig under pub counts at
// the given time: nil, or an error that names what is not accepted.
func CheckAlgorithm(sig x509.SignatureAlgorithm, pub crypto.PublicKey, at time.Time) error {
	a, err := find(sig, pub)
	if err == nil && !a.end.IsZero() && !at.Before(a.end) {
		_, bits := keySize(pub)
		err = fmt.Errorf("%v with %d bits is accepted only until %s (TS 119 312)", sig, bits, a.end.Format(time.DateOnly))
	}
	return err
}

// AlgorithmEnd is the moment from which a signature made with sig under pub no
// longer counts; zero when the table names none. What the table does not have is
// an error.
func AlgorithmEnd(sig x509.SignatureAlgorithm, pub crypto.PublicKey) (time.Time, error) {
	a, err := find(sig, pub)
	return a.end, err
}

// AlgorithmEndOf is AlgorithmEnd for keys that are not made yet, of so many bits.
func AlgorithmEndOf(sig x509.SignatureAlgorithm, bits int) (time.Time, error) {
	a, err := findSize(sig, familyOf(sig), bits)
	return a.end, err
}

// IssuerEnd is the moment from which what an issuer signs no longer counts, by
// the algorithm that its key signs certificates with; zero when there is none.
func IssuerEnd(issuer *x509.Certificate) (time.Time, error) {
	a, err := signingAlgorithm(issuer.PublicKey)
	return a.end, err
}

// LastNotAfter is the latest second at which a certificate may end that begins
// with the wanted one: not after an end of the algorithm by which its key will
// sign, nor of the one by which its issuer signs it. A certificate that outlives
// them says that signatures count which do not (specs/eidas.md §2.8 (a)).
func LastNotAfter(sig x509.SignatureAlgorithm, pub crypto.PublicKey, issuer *x509.Certificate, wanted time.Time) (time.Time, error) {
	own, err := AlgorithmEnd(sig, pub)
	if err != nil {
		return time.Time{}, err
	}
	above, err := IssuerEnd(issuer)
	if err != nil {
		return time.Time{}, err
	}
	for _, end := range []time.Time{own, above} {
		if !end.IsZero() && !wanted.Before(end) {
			wanted = end.Add(-time.Second)
		}
	}
	return wanted, nil
}

// Mechanism is one row of the table in words, for documents and reports.
type Mechanism struct {
	Name    string // as TS 119 312 calls it
	Hash    crypto.Hash
	MinBits int       // of the modulus or the curve's order
	End     time.Time // from then on not accepted; zero: none
	Signs   string    // what of ours signs by it, "" for nothing: it is only read
}

// Mechanisms gives the table, in its order.
func Mechanisms() []Mechanism {
	all := make([]Mechanism, len(algorithms))
	for i, a := range algorithms {
		m := Mechanism{Hash: a.hash, MinBits: a.minBits, End: a.end}
		usual := a.sig == x509.ECDSAWithSHA256 || a.sig == x509.ECDSAWithSHA384 || a.sig == x509.SHA256WithRSA
		switch {
		case familyOf(a.sig) == "EC":
			m.Name, m.Signs = "ECDSA", "people"
		case a.oid == nil:
			m.Name, m.Signs = "RSASSA-PSS", "people"
		default:
			m.Name, m.Signs = "RSA, PKCS #1 v1.5", "people"
		}
		switch {
		case a.minBits < 3000 && a.oid == nil: // no key of ours is as short
			m.Signs = ""
		case usual:
			m.Signs += ", services"
		}
		all[i] = m
	}
	return all
}

// hashes are the digest algorithms accepted alone, with their ends (zero: none). TS 119 312
// would also take SHA-224 until 2029 and SHA-3; nobody we know of uses them in
// signatures of documents.
var hashes = []struct {
	hash crypto.Hash
	end  time.Time
}{{crypto.SHA256, forEver}, {crypto.SHA384, forEver}, {crypto.SHA512, forEver}}

// CheckHash tells whether a digest algorithm counts at the given time.
func CheckHash(h crypto.Hash, at time.Time) error {
	for _, a := range hashes {
		if a.hash == h && (a.end.IsZero() || at.Before(a.end)) {
			return nil
		}
	}
	return fmt.Errorf("digest algorithm %d is not accepted (TS 119 312)", uint(h))
}

// CheckNewKey tells whether we certify or make a key of this kind: EC on P-256
// or P-384, or RSA of 3072 to 4096 bits with the exponent 65537.
func CheckNewKey(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("curve %s is not for new keys", k.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < 3072 || n > 4096 {
			return fmt.Errorf("RSA with %d bits is not for new keys", n)
		}
		if k.E != 65537 {
			return fmt.Errorf("RSA exponent %d is not for new keys", k.E)
		}
		return nil
	}
	return fmt.Errorf("keys of type %T are not accepted", pub)
}

// signingAlgorithm is the mechanism an issuer's key signs certificates and
// CRLs with: the hash as strong as the curve, SHA-256 for RSA.
func signingAlgorithm(pub crypto.PublicKey) (algorithm, error) {
	if err := CheckNewKey(pub); err != nil {
		return algorithm{}, err
	}
	want := x509.SHA256WithRSA
	if _, bits := keySize(pub); bits == 256 {
		want = x509.ECDSAWithSHA256
	} else if bits == 384 {
		want = x509.ECDSAWithSHA384
	}
	for _, a := range algorithms {
		if a.sig == want {
			return a, nil
		}
	}
	return algorithm{}, fmt.Errorf("%v is not in the table", want)
}

// algorithmOf reads a DER AlgorithmIdentifier of the table, with the parameters
// that identifier writes. Anything else, RSASSA-PSS too, is
// x509.UnknownSignatureAlgorithm.
func algorithmOf(der []byte) x509.SignatureAlgorithm {
	for _, a := range algorithms {
		if a.oid == nil {
			continue
		}
		var b cryptobyte.Builder
		a.identifier(&b)
		if want, err := b.Bytes(); err == nil && bytes.Equal(want, der) {
			return a.sig
		}
	}
	return x509.UnknownSignatureAlgorithm
}
