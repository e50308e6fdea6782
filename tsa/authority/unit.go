package authority

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/certs"
	"tekend/cms"
	"tekend/tsa"
)

// Unit is a time-stamping unit: a key and the certificate that says so.
type Unit struct {
	// Signer is the unit's key.
	Signer crypto.Signer
	// Verifies: Signer lets no value out that its public key does not verify (package hsm promises it). Then a token is
	// held to the verified value byte for byte, instead of verifying it again.
	Verifies bool
	// Chain is the unit's certificate, then its issuers up to the trust anchor, which is not put into tokens.
	Chain []*x509.Certificate
	// From is when the unit takes over from the one before. The first unit's is not looked at.
	From time.Time
}

// unit is one that was proven.
type unit struct {
	Unit
	alg      cms.Algorithm
	cert     *x509.Certificate
	chain    []*x509.Certificate // its issuers but the anchor
	embedded []*x509.Certificate // both, in the order of a token: a SET, sorted
	roots    *x509.CertPool
	keyUntil time.Time // end of the certificate or of the private key, whichever is first
}

// newUnit proves that certificate and key are those of a time-stamping unit and belong together. The certificate must be good at the
// given time; whether the key is still for use is asked at each token.
func newUnit(u Unit, at time.Time) (*unit, error) {
	if u.Signer == nil || len(u.Chain) < 2 {
		return nil, errors.New("the key, or the chain from the unit to its trust anchor, is missing")
	}
	last := len(u.Chain) - 1
	n := &unit{Unit: u, cert: u.Chain[0], chain: slices.Clone(u.Chain[1:last]), roots: x509.NewCertPool()}
	n.roots.AddCert(u.Chain[last])
	n.embedded = slices.SortedFunc(slices.Values(u.Chain[:last]), func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	if err := n.checkCertificate(at); err != nil {
		return nil, fmt.Errorf("certificate of the unit: %w", err)
	}
	return n, n.checkKey()
}

// checkCertificate: path to the anchor; critical and sole timeStamping, and no other key usage (certs.TimeStamping); a key that we
// would certify.
func (u *unit) checkCertificate(at time.Time) error {
	path, err := certs.BuildPath(u.cert, u.chain, u.roots, at, certs.TimeStamping)
	if err != nil {
		return err
	}
	if err := certs.CheckNewKey(u.cert.PublicKey); err != nil {
		return err
	}
	if u.alg, err = cms.AlgorithmOf(u.cert.PublicKey); err != nil {
		return err
	}
	end, err := privateKeyEnd(u.cert)
	if err != nil {
		return err
	}
	u.keyUntil = end
	for _, c := range path { // a token must be good when it leaves
		if u.keyUntil.IsZero() || c.NotAfter.Before(u.keyUntil) {
			u.keyUntil = c.NotAfter
		}
	}
	return nil
}

// privateKeyEnd reads
//
//	PrivateKeyUsagePeriod ::= SEQUENCE { notBefore [0] GeneralizedTime OPTIONAL, notAfter [1] GeneralizedTime OPTIONAL }
func privateKeyEnd(c *x509.Certificate) (time.Time, error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(cms.OIDExtPrivateKeyPeriod) {
			continue
		}
		bad := errors.New("the extension privateKeyUsagePeriod is malformed")
		in := cryptobyte.String(e.Value)
		var seq, from, until cryptobyte.String
		var hasFrom, hasUntil bool
		if !in.ReadASN1(&seq, casn1.SEQUENCE) || !in.Empty() ||
			!seq.ReadOptionalASN1(&from, &hasFrom, casn1.Tag(0).ContextSpecific()) ||
			!seq.ReadOptionalASN1(&until, &hasUntil, casn1.Tag(1).ContextSpecific()) || !seq.Empty() {
			return time.Time{}, bad
		}
		if !hasUntil {
			return time.Time{}, nil
		}
		t, err := time.Parse("20060102150405Z", string(until))
		if err != nil {
			return time.Time{}, bad
		}
		return t, nil
	}
	return time.Time{}, nil
}

// digest is what the unit's algorithm hashes with.
func (u *unit) digest(b []byte) []byte {
	h := u.alg.Hash().New()
	h.Write(b)
	return h.Sum(nil)
}

// checkKey has the key sign a text that is no token and verifies the value with the certificate.
func (u *unit) checkKey() error {
	digest := u.digest([]byte("tekend tsa: is this the key of the certificate?"))
	v, err := u.Signer.Sign(rand.Reader, digest, u.alg.Options())
	if err != nil {
		return fmt.Errorf("try the key: %w", err)
	}
	if err := u.alg.Verify(u.cert.PublicKey, digest, v); err != nil {
		return errors.New("the key is not that of the certificate")
	}
	return nil
}

// token uses the key, and reads what it made before that leaves (TSA-09).
func (u *unit) token(info tsa.Info, certReq bool) ([]byte, error) {
	body, err := info.Encode()
	if err != nil {
		return nil, err
	}
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, u.digest(body), u.cert)
	if err != nil {
		return nil, err
	}
	value, err := u.Signer.Sign(rand.Reader, u.digest(attrs), u.alg.Options())
	if err != nil {
		return nil, fmt.Errorf("use the key: %w", err)
	}
	assemble := cms.AssembleToken
	if u.Verifies {
		assemble = cms.EncodeToken
	}
	parts := cms.Parts{SignedAttrs: attrs, Value: value, Certificate: u.cert, Chain: u.chain}
	token, err := assemble(body, parts, certReq)
	if err != nil {
		return nil, err
	}
	// The certificate's path was checked at the start, and its end is asked at each token.
	made := tsa.Made{Info: info, Body: body, SignedAttrs: attrs, Value: value}
	if certReq {
		made.Certificates = u.embedded
	}
	if err := made.Check(token); err != nil {
		return nil, fmt.Errorf("the token is withheld: %w", err)
	}
	return token, nil
}
