package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
)

// Algorithm is how we sign, by the name that stands in our messages. A key has
// one for life. Its hash is the one of the content, of the signed attributes and
// of the value alike: with two, readers disagree about which is meant (RFC 5652
// §5.4 has one digestAlgorithm for both).
type Algorithm string

// The algorithms that we sign with. Which of them still count is for
// certs.CheckAlgorithm.
const (
	ECDSAWithSHA256 Algorithm = "ecdsa-with-SHA256"       // P-256; DER Ecdsa-Sig-Value
	ECDSAWithSHA384 Algorithm = "ecdsa-with-SHA384"       // P-384; DER Ecdsa-Sig-Value
	RSAWithSHA256   Algorithm = "sha256WithRSAEncryption" // PKCS #1 v1.5
	PSSWithSHA256   Algorithm = "RSASSA-PSS-SHA256"       // MGF1 with SHA-256, 32 bytes of salt (RFC 4056 §3)
)

var ours = []Algorithm{ECDSAWithSHA256, ECDSAWithSHA384, RSAWithSHA256, PSSWithSHA256}

// AlgorithmOf is the usual algorithm of a key: for RSA PKCS #1 v1.5, because
// nothing in such a key says PSS; for an EC key the hash as strong as the curve.
func AlgorithmOf(pub crypto.PublicKey) (Algorithm, error) {
	for _, a := range ours {
		if a.Fits(pub) {
			return a, nil
		}
	}
	return "", errf(CodeAlgorithm, "no signature algorithm for a %T", pub)
}

// Fits tells whether a key can sign by the algorithm.
func (a Algorithm) Fits(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		bits := k.Curve.Params().BitSize
		return a == ECDSAWithSHA256 && bits == 256 || a == ECDSAWithSHA384 && bits == 384
	case *rsa.PublicKey:
		return a == RSAWithSHA256 || a == PSSWithSHA256
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
	if a == PSSWithSHA256 {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	return a.Hash()
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
	return a.contentAttributes(OIDData, messageDigest, cert)
}

func (a Algorithm) contentAttributes(contentType asn1.ObjectIdentifier, messageDigest []byte, cert *x509.Certificate) ([]byte, error) {
	sch, err := a.scheme()
	if err != nil {
		return nil, err
	}
	if !a.Fits(cert.PublicKey) {
		return nil, errf(CodeAlgorithmMismatch, "the certificate's key does not sign by %s", a)
	}
	hash := sha256.Sum256(cert.Raw)
	attrs := Attributes{
		ContentType: contentType, MessageDigest: messageDigest, CertHash: hash[:],
		IssuerDER: cert.RawIssuer, Serial: cert.SerialNumber, Algorithm: sch.name, scheme: sch,
	}
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
