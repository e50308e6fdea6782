package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
)

// Issuer is a CA: its certificate and the key that signs, which may be in a
// token. Cert is nil while the root certifies itself.
type Issuer struct {
	Cert   *x509.Certificate
	Signer crypto.Signer
}

// LintError says why a certificate or CRL was not signed.
type LintError struct{ Findings []Finding }

func (e *LintError) Error() string {
	parts := make([]string, 0, len(e.Findings))
	for _, f := range e.Findings {
		parts = append(parts, f.String())
	}
	return "not signed, the lint objects: " + strings.Join(parts, "; ")
}

// Prepared is a certificate that passed the lint and waits for its one
// signature: the only way to an issuer's key is through it.
type Prepared struct {
	tbs    []byte
	sig    algorithm
	issuer *x509.Certificate // nil: self-signed
	spent  atomic.Bool

	// Serial is the certificate's serial number.
	Serial *big.Int
}

// SerialHex gives a serial number as our messages write it: lower-case
// hexadecimal, two digits for each octet.
func SerialHex(serial *big.Int) string { return hex.EncodeToString(serial.Bytes()) }

// TBSSHA256 names what will be signed: hexadecimal SHA-256 of the DER
// TBSCertificate.
func (p *Prepared) TBSSHA256() string {
	sum := sha256.Sum256(p.tbs)
	return hex.EncodeToString(sum[:])
}

// Prepare builds a certificate by its profile and lints it: a twin with the
// same TBSCertificate, signed by a throw-away key with the same algorithm, is
// judged by zlint (RFC 5280 and ETSI) and by our own rules. Findings come as a
// *LintError. issuer is nil for a root. Nothing is signed with a key that counts.
func Prepare(issuer *x509.Certificate, o Order) (*Prepared, error) {
	l, err := newLayout(issuer, o)
	if err != nil {
		return nil, fmt.Errorf("build certificate: %w", err)
	}
	return l.prepare(issuer, o)
}

func (l *layout) prepare(issuer *x509.Certificate, o Order) (*Prepared, error) {
	tbs, err := l.encode()
	if err != nil {
		return nil, err
	}
	twin, err := l.twin(tbs)
	if err != nil {
		return nil, err
	}
	if found := lintOrder(o, twin, issuer); len(found) > 0 {
		return nil, &LintError{found}
	}
	parsed, err := x509.ParseCertificate(twin)
	if err != nil {
		return nil, fmt.Errorf("read the linted twin: %w", err)
	}
	if err := sameBytes(parsed.RawTBSCertificate, tbs); err != nil {
		return nil, err
	}
	return &Prepared{tbs: tbs, sig: l.sig, issuer: issuer, Serial: l.serial}, nil
}

// twin signs the same bytes with a key that is worth nothing.
func (l *layout) twin(tbs []byte) ([]byte, error) {
	key, err := throwAway(l.sig)
	if err != nil {
		return nil, err
	}
	signature, err := signDigest(key, l.sig, tbs)
	if err != nil {
		return nil, err
	}
	return assemble(tbs, l.sig, signature)
}

// rsaThrowAway is made once: a 3072-bit key costs a second.
var rsaThrowAway = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func throwAway(a algorithm) (crypto.Signer, error) {
	var key crypto.Signer
	var err error
	switch {
	case familyOf(a.sig) == "RSA":
		key, err = rsaThrowAway()
	case a.hash == crypto.SHA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("make throw-away key: %w", err)
	}
	return key, nil
}

func signDigest(key crypto.Signer, a algorithm, data []byte) ([]byte, error) {
	h := a.hash.New()
	h.Write(data)
	signature, err := key.Sign(rand.Reader, h.Sum(nil), a.hash)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// ErrSpent: a Prepared was used twice.
var ErrSpent = errors.New("this certificate was given to the key already")

// Sign has the linted bytes signed, once in the life of a Prepared, and
// returns the DER certificate after it was read back: the same bytes, and a
// signature that verifies with the issuer's public key.
func (p *Prepared) Sign(key crypto.Signer) ([]byte, error) {
	if p.spent.Swap(true) {
		return nil, ErrSpent
	}
	if p.issuer != nil && !SameKey(key.Public(), p.issuer.PublicKey) {
		return nil, errors.New("the key is not the issuer's")
	}
	signature, err := signDigest(key, p.sig, p.tbs)
	if err != nil {
		return nil, err
	}
	der, err := assemble(p.tbs, p.sig, signature)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the signed certificate: %w", err)
	}
	if err := sameBytes(cert.RawTBSCertificate, p.tbs); err != nil {
		return nil, err
	}
	parent := p.issuer
	if parent == nil {
		parent = cert
	}
	if err := parent.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return nil, fmt.Errorf("the new signature does not verify: %w", err)
	}
	return der, nil
}

// Issue prepares and signs in one step, for ceremonies and tests; a role that
// must record its intent between the two calls Prepare and Sign.
func Issue(issuer Issuer, o Order) ([]byte, error) {
	p, err := Prepare(issuer.Cert, o)
	if err != nil {
		return nil, err
	}
	return p.Sign(issuer.Signer)
}
