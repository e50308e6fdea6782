package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"time"
)

// Algorithm is how one signature is made, by the name that stands in our
// messages: a family and a hash. The hash is the one of the content, of the
// signed attributes and of the value alike: with two, readers disagree about
// which is meant (RFC 5652 §5.4 has one digestAlgorithm for both).
type Algorithm string

// The algorithms that we sign with. Which of them still count is for
// certs.CheckAlgorithm. An ECDSA value is a DER Ecdsa-Sig-Value; where the hash
// is longer than the curve's order its leftmost bits count (FIPS 186-5 §6.4.1).
// RSASSA-PSS is with one hash throughout and a salt of its length (RFC 4056 §3).
const (
	ECDSAWithSHA256 Algorithm = "ecdsa-with-SHA256"
	ECDSAWithSHA384 Algorithm = "ecdsa-with-SHA384"
	ECDSAWithSHA512 Algorithm = "ecdsa-with-SHA512"
	RSAWithSHA256   Algorithm = "sha256WithRSAEncryption" // PKCS #1 v1.5
	RSAWithSHA384   Algorithm = "sha384WithRSAEncryption"
	RSAWithSHA512   Algorithm = "sha512WithRSAEncryption"
	PSSWithSHA256   Algorithm = "RSASSA-PSS-SHA256"
	PSSWithSHA384   Algorithm = "RSASSA-PSS-SHA384"
	PSSWithSHA512   Algorithm = "RSASSA-PSS-SHA512"
)

var ours = []Algorithm{
	ECDSAWithSHA256, ECDSAWithSHA384, ECDSAWithSHA512, RSAWithSHA256, RSAWithSHA384, RSAWithSHA512,
	PSSWithSHA256, PSSWithSHA384, PSSWithSHA512,
}

// AlgorithmOf is the usual algorithm of a key: for RSA PKCS #1 v1.5, because
// nothing in such a key says PSS; for an EC key the hash as strong as the curve.
// Others of the family: [Algorithm.WithHash].
func AlgorithmOf(pub crypto.PublicKey) (Algorithm, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return ECDSAWithSHA256, nil
		case 384:
			return ECDSAWithSHA384, nil
		}
	case *rsa.PublicKey:
		return RSAWithSHA256, nil
	}
	return "", errf(CodeAlgorithm, "no signature algorithm for a %T", pub)
}

// WithHash is the algorithm of the same family with another hash: SHA-256,
// SHA-384 or SHA-512; for others, and for a name that is not one of ours, an
// *[Error].
func (a Algorithm) WithHash(h crypto.Hash) (Algorithm, error) {
	s, err := a.scheme()
	if err != nil {
		return "", err
	}
	for _, o := range ours {
		if t, err := o.scheme(); err == nil && t.family == s.family && t.hash == h {
			return o, nil
		}
	}
	return "", errf(CodeAlgorithm, "we do not sign with %s and that hash", s.family)
}

// Fits tells whether a key can sign by the algorithm: an EC key on P-256 or
// P-384 by ECDSA, an RSA key by PKCS #1 v1.5 and PSS, each with any hash.
func (a Algorithm) Fits(pub crypto.PublicKey) bool {
	s, err := a.scheme()
	if err != nil {
		return false
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		bits := k.Curve.Params().BitSize
		return s.family == "EC" && (bits == 256 || bits == 384)
	case *rsa.PublicKey:
		return s.family == "RSA" || s.family == "PSS"
	}
	return false
}

// Hash is the digest algorithm; 0 for a name that is not one of ours.
func (a Algorithm) Hash() crypto.Hash {
	s, err := a.scheme()
	if err != nil {
		return 0
	}
	return s.hash
}

// X509 is the algorithm in the words of crypto/x509, for certs.CheckAlgorithm.
func (a Algorithm) X509() x509.SignatureAlgorithm {
	s, err := a.scheme()
	if err != nil {
		return x509.UnknownSignatureAlgorithm
	}
	return s.x509
}

// Options are what a crypto.Signer wants to hear to sign by the algorithm.
func (a Algorithm) Options() crypto.SignerOpts {
	s, err := a.scheme()
	if err != nil {
		return crypto.Hash(0)
	}
	if s.family == "PSS" {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	return s.hash
}

// Verify tells whether value is one by the algorithm over a digest of its hash;
// otherwise an *[Error].
func (a Algorithm) Verify(pub crypto.PublicKey, digest, value []byte) error {
	s, err := a.scheme()
	if err != nil {
		return err
	}
	if !a.Fits(pub) || len(digest) != s.hash.Size() {
		return errf(CodeAlgorithmMismatch, "%s with this key or a digest of %d bytes", a, len(digest))
	}
	return s.verify(pub, digest, value)
}

// SignedAttributes is [SignedAttributes] by this algorithm: messageDigest is by
// its [Algorithm.Hash], and so must be the digest of the result that the key
// signs. The certificate's key must fit.
func (a Algorithm) SignedAttributes(messageDigest []byte, cert *x509.Certificate) ([]byte, error) {
	return a.contentAttributes(Attributes{ContentType: OIDData, MessageDigest: messageDigest}, cert)
}

// CAdESAttributes builds the signed attributes of a CAdES baseline signature
// (EN 319 122-1 §6.3): those of [Algorithm.SignedAttributes], signing-time in
// whole seconds (the years 1950 to 9999), and mime-type when mimeType is not
// "": a type and subtype as RFC 6838 §4.2 has them, without parameters.
func (a Algorithm) CAdESAttributes(messageDigest []byte, cert *x509.Certificate, signingTime time.Time, mimeType string) ([]byte, error) {
	if signingTime.IsZero() {
		return nil, errf(CodeAttributes, "no signing-time")
	}
	return a.contentAttributes(Attributes{
		ContentType: OIDData, MessageDigest: messageDigest, SigningTime: signingTime.UTC().Truncate(time.Second), MimeType: mimeType,
	}, cert)
}

// contentAttributes encodes the attributes with what the algorithm and the
// certificate add.
func (a Algorithm) contentAttributes(attrs Attributes, cert *x509.Certificate) ([]byte, error) {
	sch, err := a.scheme()
	if err != nil {
		return nil, err
	}
	if !a.Fits(cert.PublicKey) {
		return nil, errf(CodeAlgorithmMismatch, "the certificate's key does not sign by %s", a)
	}
	hash := sha256.Sum256(cert.Raw)
	attrs.CertHash, attrs.IssuerDER, attrs.Serial = hash[:], cert.RawIssuer, cert.SerialNumber
	attrs.Algorithm, attrs.scheme = sch.name, sch
	return attrs.encode()
}

// Size is [Size] by this algorithm.
func (a Algorithm) Size(cert *x509.Certificate, chain []*x509.Certificate, timeStampSize int) (int, error) {
	sch, err := a.scheme()
	if err != nil {
		return 0, err
	}
	attrs, err := a.SignedAttributes(make([]byte, sch.hash.Size()), cert)
	if err != nil {
		return 0, err
	}
	p := Parts{SignedAttrs: attrs, Value: make([]byte, maxValue(cert.PublicKey)), Certificate: cert, Chain: chain}
	if timeStampSize > 0 {
		p.TimeStampToken = make([]byte, timeStampSize)
	}
	der, err := p.encode(sch, content{kind: OIDData, certs: true})
	return len(der), err
}
