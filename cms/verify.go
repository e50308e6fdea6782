package cms

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Hash is the digest algorithm of the SignerInfo: of its content, of its
// signed attributes, and of the time-stamp's imprint if there is one.
func (si *SignerInfo) Hash() (crypto.Hash, error) {
	h, ok := HashByOID(si.digestAlgorithm.oid)
	if !ok {
		return 0, errf(CodeAlgorithm, "digest algorithm %v", si.digestAlgorithm.oid)
	}
	if !si.digestAlgorithm.plain() {
		return 0, errf(CodeMalformed, "a digest algorithm with parameters")
	}
	return h, nil
}

// SignatureAlgorithm is the mechanism of the SignerInfo in the words of
// crypto/x509, for the table of accepted algorithms; an *[Error] with the code
// unsupported_algorithm when we cannot compute with it.
func (si *SignerInfo) SignatureAlgorithm() (x509.SignatureAlgorithm, error) {
	h, err := si.Hash()
	if err != nil {
		return 0, err
	}
	s, err := schemeOf(si.signatureAlgorithm, h)
	return s.x509, err
}

// Values gives all values of the signed attributes of one type.
func (si *SignerInfo) Values(oid asn1.ObjectIdentifier) [][]byte { return values(si.Attributes, oid) }

// TimeStampTokens gives the signature time-stamps (EN 319 122-1 §5.3), DER
// ContentInfo each.
func (si *SignerInfo) TimeStampTokens() [][]byte { return values(si.Unsigned, OIDSignatureTimeStamp) }

func values(list []Attribute, oid asn1.ObjectIdentifier) [][]byte {
	var out [][]byte
	for _, a := range list {
		if a.Type.Equal(oid) {
			out = append(out, a.Values...)
		}
	}
	return out
}

// only gives the value of a signed attribute that must be there exactly once,
// with exactly one value (RFC 5652 §11).
func (si *SignerInfo) only(oid asn1.ObjectIdentifier, name string) ([]byte, error) {
	var found [][]byte
	n := 0
	for _, a := range si.Attributes {
		if a.Type.Equal(oid) {
			n++
			found = append(found, a.Values...)
		}
	}
	if n != 1 || len(found) != 1 {
		return nil, errf(CodeAttributes, "%s is there %d times with %d values, not once with one", name, n, len(found))
	}
	return found[0], nil
}

// CertIDs reads signing-certificate-v2, or version 1, of which there must be
// exactly one (EN 319 122-1 §5.2.2). The first entry names the signer's
// certificate.
func (si *SignerInfo) CertIDs() ([]CertID, error) {
	v1, v2 := len(si.Values(OIDSigningCertificate)), len(si.Values(OIDSigningCertificateV2))
	oid := OIDSigningCertificateV2
	if v1 == 1 && v2 == 0 {
		oid = OIDSigningCertificate
	} else if v1+v2 != 1 {
		return nil, errf(CodeAttributes, "signing-certificate is there %d times", v1+v2)
	}
	v, err := si.only(oid, "signing-certificate")
	if err != nil {
		return nil, err
	}
	return readCertIDs(Attribute{Type: oid, Values: [][]byte{v}})
}

// SignerCertificate gives the embedded certificate of the i-th SignerInfo: the
// one that sid names and that signing-certificate confirms. Without that
// attribute, or when no embedded certificate fits or can be read, it is an
// *[Error].
func (sd *SignedData) SignerCertificate(i int) (*x509.Certificate, error) {
	if i < 0 || i >= len(sd.SignerInfos) {
		return nil, errf(CodeNoCertificate, "no SignerInfo %d", i)
	}
	return sd.SignerInfos[i].FindCertificate(nil)
}

// FindCertificate is [SignedData.SignerCertificate] for one SignerInfo, with
// more DER certificates to search than the embedded ones.
func (si *SignerInfo) FindCertificate(more [][]byte) (*x509.Certificate, error) {
	ids, err := si.CertIDs()
	if err != nil {
		return nil, err
	}
	named := si.Named(more)
	for _, c := range named {
		if ids[0].Matches(c) {
			return c, nil
		}
	}
	if len(named) > 0 {
		return nil, errf(CodeCertificate, "signing-certificate names another certificate than the embedded one")
	}
	return nil, errf(CodeNoCertificate, "no readable certificate for the signer among %d", len(si.embedded.der)+len(more))
}

// Named gives the certificates that sid names, among the embedded ones and
// more DER ones. Without a signing-certificate attribute that is not proof of
// who signed: anybody can make a certificate with a name and number.
func (si *SignerInfo) Named(more [][]byte) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range append(si.embedded.all(), readable(more)...) {
		if si.names(c) {
			out = append(out, c)
		}
	}
	return out
}

// embedded are the certificates of a SignedData. They are parsed once, when
// they are first asked for: there can be many signers, and many certificates.
type embedded struct {
	der    [][]byte
	parsed func() []*x509.Certificate
}

func newEmbedded(der [][]byte) *embedded {
	return &embedded{der, sync.OnceValue(func() []*x509.Certificate { return readable(der) })}
}

// all gives them in the order found, without those that cannot be read.
func (e *embedded) all() []*x509.Certificate { return slices.Clip(e.parsed()) }

func readable(list [][]byte) (out []*x509.Certificate) {
	for _, der := range list {
		if c, err := ReadCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// ReadCertificate is x509.ParseCertificate for foreign bytes: a certificate with
// an RSA key that nobody could afford to verify with is an *[Error].
func ReadCertificate(der []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errf(CodeMalformed, "certificate: %v", err)
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > maxRSA {
		return nil, errf(CodeAlgorithm, "an RSA key of %d bits", k.N.BitLen())
	}
	return c, nil
}

// names tells whether sid names the certificate.
func (si *SignerInfo) names(c *x509.Certificate) bool {
	if si.Serial == nil {
		return len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, si.SubjectKeyID)
	}
	return si.Serial.Cmp(c.SerialNumber) == 0 && bytes.Equal(si.IssuerDER, c.RawIssuer)
}

// VerifyValue proves that the holder of cert's key signed a content with the
// given digest (made with [SignerInfo.Hash]): [SignerInfo.CheckContent], a
// signing-certificate and sid that match cert, and [SignerInfo.CheckValue]. It
// says nothing about cert, nor whether the algorithms are still good. Errors
// are *[Error].
func (si *SignerInfo) VerifyValue(cert *x509.Certificate, contentDigest []byte) error {
	if err := si.CheckContent(contentDigest); err != nil {
		return err
	}
	ids, err := si.CertIDs()
	if err != nil {
		return err
	}
	if !ids[0].Matches(cert) || !si.names(cert) {
		return errf(CodeCertificate, "the signature names another certificate")
	}
	return si.CheckValue(cert.PublicKey)
}

// CheckContent tells whether the signed attributes are about this content:
// there are some, and content-type and message-digest are each in them exactly
// once and right.
func (si *SignerInfo) CheckContent(contentDigest []byte) error {
	if len(si.SignedAttrs) == 0 || len(si.Attributes) == 0 {
		return errf(CodeNoAttributes, "a signature without signed attributes could be passed off as one over other content")
	}
	h, err := si.Hash()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(si.announced, si.digestAlgorithm.equal) {
		return errf(CodeAlgorithmMismatch, "digestAlgorithms does not have the digest algorithm of the signature")
	}
	v, err := si.only(OIDContentType, "content-type")
	if err != nil {
		return err
	}
	var kind asn1.ObjectIdentifier
	if s := cryptobyte.String(v); !s.ReadASN1ObjectIdentifier(&kind) || !s.Empty() || !kind.Equal(si.contentType) {
		return errf(CodeAttributes, "content-type is not the type of the content")
	}
	if v, err = si.only(OIDMessageDigest, "message-digest"); err != nil {
		return err
	}
	var md []byte
	if s := cryptobyte.String(v); !s.ReadASN1Bytes(&md, casn1.OCTET_STRING) || !s.Empty() || len(md) != h.Size() {
		return errf(CodeAttributes, "message-digest has a wrong form")
	}
	if subtle.ConstantTimeCompare(md, contentDigest) != 1 {
		return errf(CodeDigestMismatch, "message-digest is not the digest of the content")
	}
	return nil
}

// CheckValue tells whether the value is one of this key over the signed
// attributes, with algorithms that do not contradict each other.
func (si *SignerInfo) CheckValue(pub crypto.PublicKey) error {
	if len(si.SignedAttrs) == 0 {
		return errf(CodeNoAttributes, "no signed attributes")
	}
	h, err := si.Hash()
	if err != nil {
		return err
	}
	s, err := schemeOf(si.signatureAlgorithm, h)
	if err != nil {
		return err
	}
	if err := si.checkProtection(); err != nil {
		return err
	}
	digest := h.New()
	digest.Write(si.SignedAttrs)
	return s.verify(pub, digest.Sum(nil), si.Value)
}

// checkProtection compares CMSAlgorithmProtection, if it is there, with the
// algorithms outside the signed attributes (RFC 6211 §3).
func (si *SignerInfo) checkProtection() error {
	if !slices.ContainsFunc(si.Attributes, func(a Attribute) bool { return a.Type.Equal(OIDAlgorithmProtection) }) {
		return nil
	}
	v, err := si.only(OIDAlgorithmProtection, "CMSAlgorithmProtection")
	if err != nil {
		return err
	}
	digest, sig, err := readProtection(v)
	if err != nil {
		return err
	}
	if !digest.equal(si.digestAlgorithm) || !sig.equal(si.signatureAlgorithm) {
		return errf(CodeAlgorithmMismatch, "the signed algorithms are others")
	}
	return nil
}
