// Package tsa is the time-stamp protocol of RFC 3161: what a client asks and
// how it proves the answer, and the reading of requests for a server.
//
// Foreign bytes are read by our own parser only (package cms for the
// signature), within a budget. digitorus/timestamp writes the client's
// requests; docs/decisions/0003 says why it does no more.
package tsa

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"tekend/certs"
	"tekend/cms"
)

// Token is a time-stamp token as found; nothing in it is proven before
// [Token.Verify].
type Token struct {
	Raw      []byte // DER ContentInfo
	GenTime  time.Time
	Policy   string // dotted
	Serial   *big.Int
	Imprint  []byte
	Hash     crypto.Hash // of the imprint
	Nonce    *big.Int    // nil: none
	Accuracy time.Duration
	// Qualified: it says of itself that it is a qualified electronic time-stamp (EN 319 422 §9.1); a trusted list decides.
	Qualified   bool
	Certificate *x509.Certificate // the unit's, nil when it is not embedded

	info     Info
	sd       *cms.SignedData
	embedded []*x509.Certificate
}

// MaxToken bounds a token, in bytes: one with fifteen certificates has 20 kB;
// some carry revocation lists.
const MaxToken = 1 << 20

// ParseToken reads a TimeStampToken: a CMS SignedData around a TSTInfo, with
// exactly one SignerInfo. Errors: *[Error], which may wrap a *cms.Error.
func ParseToken(der []byte) (*Token, error) {
	sd, err := cms.Parse(der, cms.Budget{Bytes: MaxToken})
	if err != nil {
		return nil, wrap(CodeMalformed, err)
	}
	if !sd.ContentType.Equal(cms.OIDTSTInfo) || !sd.HasContent {
		return nil, errf(CodeContentType, "the content is not a TSTInfo")
	}
	if len(sd.SignerInfos) != 1 {
		return nil, errf(CodeSigners, "%d signatures", len(sd.SignerInfos))
	}
	info, err := readInfo(sd.Content)
	if err != nil {
		return nil, err
	}
	t := &Token{
		Raw: der, GenTime: info.GenTime, Policy: info.Policy.String(), Serial: info.Serial, Imprint: info.Imprint.Digest,
		Hash: info.Imprint.Hash, Nonce: info.Nonce, Accuracy: info.Accuracy, Qualified: info.Qualified, info: info, sd: sd,
	}
	for _, raw := range sd.Certificates {
		if c, err := cms.ReadCertificate(raw); err == nil {
			t.embedded = append(t.embedded, c)
		}
	}
	if c, err := sd.SignerCertificate(0); err == nil {
		t.Certificate = c
	}
	return t, nil
}

// VerifyOptions is what a token is held against.
type VerifyOptions struct {
	Imprint       []byte              // the digest that must be stamped
	Hash          crypto.Hash         // its algorithm
	Nonce         *big.Int            // the nonce that must be in it; nil: any or none
	Policies      []string            // allowed policies, dotted; empty: any
	Roots         *x509.CertPool      // trust anchors for time-stamping
	Intermediates []*x509.Certificate // beside the embedded ones; also searched for the unit's certificate
	// At is the present. The path must be good at genTime, and still at At.
	At time.Time
	// MaxSkew > 0 asks for a fresh token: genTime within At ± MaxSkew. With 0
	// genTime must only not be after At.
	MaxSkew time.Duration
}

// Verify makes every check of specs/ades.md §8 but revocation: imprint, nonce,
// policy, extensions, time, the CMS signature, signing-certificate, key usage,
// algorithms, path. nil means that the token proves that the imprint existed
// at GenTime, as far as the roots are trusted. Errors: *[Error].
func (t *Token) Verify(o VerifyOptions) error {
	if err := t.checkInfo(o); err != nil {
		return err
	}
	cert, err := t.certificate(o.Intermediates)
	if err != nil {
		return err
	}
	if err := t.checkSignature(cert, o.At); err != nil {
		return err
	}
	if err := checkUsage(cert); err != nil {
		return err
	}
	return t.checkPath(cert, o)
}

func (t *Token) checkInfo(o VerifyOptions) error {
	if err := t.checkImprint(o.Imprint, o.Hash); err != nil {
		return err
	}
	switch {
	case o.Nonce != nil && (t.Nonce == nil || t.Nonce.Cmp(o.Nonce) != 0):
		return errf(CodeNonce, "the token does not repeat the nonce")
	case len(o.Policies) > 0 && !slices.Contains(o.Policies, t.Policy):
		return errf(CodePolicy, "policy %s", t.Policy)
	case len(t.info.critical) > 0:
		return errf(CodeExtension, "critical extension %v", t.info.critical[0])
	case o.At.IsZero():
		return errf(CodeTime, "the present is not given")
	case t.GenTime.After(o.At.Add(o.MaxSkew)):
		return errf(CodeTime, "genTime is in the future")
	case o.MaxSkew > 0 && t.GenTime.Before(o.At.Add(-o.MaxSkew)):
		return errf(CodeTime, "genTime is in the past")
	}
	if err := certs.CheckHash(t.Hash, o.At); err != nil {
		return wrap(CodeAlgorithm, err)
	}
	return nil
}

func (t *Token) checkImprint(imprint []byte, h crypto.Hash) error {
	if t.Hash != h || len(imprint) == 0 || subtle.ConstantTimeCompare(t.Imprint, imprint) != 1 {
		return errf(CodeImprint, "the token is for another digest")
	}
	return nil
}

// certificate finds the unit's certificate; signing-certificate must confirm it.
func (t *Token) certificate(more []*x509.Certificate) (*x509.Certificate, error) {
	if t.Certificate != nil {
		return t.Certificate, nil
	}
	raw := make([][]byte, len(more))
	for i, c := range more {
		raw[i] = c.Raw
	}
	c, err := t.sd.SignerInfos[0].FindCertificate(raw)
	if err != nil {
		return nil, wrap(CodeCertificate, err)
	}
	return c, nil
}

func (t *Token) checkSignature(cert *x509.Certificate, at time.Time) error {
	if err := t.checkSigned(cert); err != nil {
		return err
	}
	si := &t.sd.SignerInfos[0]
	h, err := si.Hash()
	if err != nil {
		return wrap(CodeAlgorithm, err)
	}
	alg, err := si.SignatureAlgorithm()
	if err == nil {
		err = errors.Join(certs.CheckHash(h, at), certs.CheckAlgorithm(alg, cert.PublicKey, at))
	}
	if err != nil {
		return wrap(CodeAlgorithm, err)
	}
	return nil
}

// checkSigned: the value, and the name that the token gives its maker.
func (t *Token) checkSigned(cert *x509.Certificate) error {
	si := &t.sd.SignerInfos[0]
	h, err := si.Hash()
	if err != nil {
		return wrap(CodeAlgorithm, err)
	}
	w := h.New()
	w.Write(t.sd.Content)
	if err := si.VerifyValue(cert, w.Sum(nil)); err != nil {
		code := CodeValue
		if errors.Is(err, &cms.Error{Code: cms.CodeAlgorithm}) {
			code = CodeAlgorithm
		}
		return wrap(code, err)
	}
	if t.info.TSA != nil && !namesSubject(t.info.TSA, cert) {
		return errf(CodeName, "the tsa field names another one")
	}
	return nil
}

// namesSubject: RFC 3161 §2.4.2 says that tsa must be one of the names in the
// certificate. We compare the form that is in use, a directory name, with the
// subject; other forms are names that nobody here relies on.
func namesSubject(general []byte, cert *x509.Certificate) bool {
	s := cryptobyte.String(general)
	var name cryptobyte.String
	if !s.ReadASN1(&name, explicit(4)) {
		return true
	}
	return bytes.Equal(name, cert.RawSubject)
}

// checkUsage: RFC 3161 §2.3, EN 319 422 §6: the extension is critical and has
// only timeStamping.
func checkUsage(cert *x509.Certificate) error {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(cms.OIDExtKeyUsage) {
			continue
		}
		var list []asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(e.Value, &list)
		if err == nil && len(rest) == 0 && e.Critical && len(list) == 1 && list[0].Equal(cms.OIDEKUTimeStamping) {
			return nil
		}
	}
	return errf(CodeUsage, "timeStamping is not the sole and critical extended key usage")
}

func (t *Token) checkPath(cert *x509.Certificate, o VerifyOptions) error {
	bag := append(slices.Clone(t.embedded), o.Intermediates...)
	if err := certs.CheckPath(cert, bag, o.Roots, t.GenTime, certs.TimeStamping); err != nil {
		return wrap(CodePath, err)
	}
	if o.At.After(t.GenTime) {
		if err := certs.CheckPath(cert, bag, o.Roots, o.At, certs.TimeStamping); err != nil {
			return wrap(CodePathNow, err)
		}
	}
	return nil
}
