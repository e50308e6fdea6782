// Package cms reads and writes CMS signatures (RFC 5652) of the kinds that
// this service needs: PAdES and CAdES baseline (EN 319 142-1, EN 319 122-1) and
// RFC 3161 time-stamp tokens.
//
// Writing has two phases, because the key is elsewhere: [SignedAttributes] or
// [Algorithm.CAdESAttributes] gives the bytes whose digest is to be signed,
// [Assemble] puts the value in, after it has verified it; [Frame] does so round a
// content of any size. Validation data and archive time-stamps come with the
// [Parts], or later with [AddValidationData] and [AddArchiveTimeStamp]: what is
// signed or stamped is never encoded a second time.
//
// Reading ([Parse], [ParseAt], [SignerInfo.VerifyValue], [VerifyArchive]) works on
// bytes that nobody vouches for, within a [Budget], without recursion, and
// hashes what it found, never what it would have written.
package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
)

// Parts is everything that a signature is made of.
type Parts struct {
	SignedAttrs    []byte              // from [SignedAttributes] or [Algorithm.CAdESAttributes]
	Value          []byte              // over [Attributes.DTBS] of SignedAttrs, by their [Algorithm]
	Certificate    *x509.Certificate   // the signer's
	Chain          []*x509.Certificate // its issuers, to be embedded too
	TimeStampToken []byte              // signature time-stamp, DER ContentInfo; nil for level B-B

	// For CAdES B-LT: the validation data that go into the SignedData, DER. One
	// that is there already is not written twice.
	ExtraCertificates [][]byte // Certificate
	OCSPs             [][]byte // OCSPResponse
	CRLs              [][]byte // CertificateList
	// For CAdES B-LTA: values of archive-time-stamp-v3, from [WithHashIndex].
	Archive [][]byte
}

// Assemble makes the DER ContentInfo of a detached signature. Before anything
// else it checks that the signed attributes are ours and name the certificate,
// that the value verifies, and that each archive time-stamp is over these parts;
// equal parts give equal bytes.
func Assemble(p Parts) ([]byte, error) {
	a, err := p.check()
	if err != nil {
		return nil, err
	}
	der, err := p.encode(a.scheme, content{kind: OIDData, certs: true})
	if err != nil {
		return nil, err
	}
	return der, p.checkArchive(der, a)
}

// Frame is [Assemble] for an attached signature over a content of contentSize
// octets: before ‖ content ‖ after is the ContentInfo, and the content is never
// in memory.
func Frame(p Parts, contentSize int64) (before, after []byte, err error) {
	if contentSize < 0 || contentSize > maxContent {
		return nil, nil, errf(CodeTooLarge, "a content of %d octets", contentSize)
	}
	a, err := p.check()
	if err != nil {
		return nil, nil, err
	}
	if len(p.Archive) > 0 {
		der, err := p.encode(a.scheme, content{kind: OIDData, certs: true})
		if err != nil {
			return nil, nil, err
		}
		if err := p.checkArchive(der, a); err != nil {
			return nil, nil, err
		}
	}
	return p.frame(a.scheme, content{kind: OIDData, certs: true}, contentSize)
}

// check is what is held before bytes are made.
func (p Parts) check() (Attributes, error) {
	a, err := ParseSignedAttributes(p.SignedAttrs)
	if err != nil {
		return a, err
	}
	if err := a.Check(p.Certificate); err != nil {
		return a, err
	}
	if err := a.scheme.verify(p.Certificate.PublicKey, a.DTBS(p.SignedAttrs), p.Value); err != nil {
		return a, err
	}
	if p.TimeStampToken != nil {
		if _, err := parseToken(p.TimeStampToken); err != nil {
			return a, err
		}
	}
	return a, nil
}

// checkArchive holds each archive time-stamp to the encoded signature. Without
// the content its imprint can be computed only when it is by the hash of the
// signature, because then message-digest is the digest that goes into it.
func (p Parts) checkArchive(der []byte, a Attributes) error {
	if len(p.Archive) == 0 {
		return nil
	}
	sd, err := Parse(der, WholeFile())
	if err != nil {
		return err
	}
	for _, token := range p.Archive {
		if _, err := VerifyArchive(sd, &sd.SignerInfos[0], token, a.contentDigest); err != nil && !errors.Is(err, errNoDigest) {
			return err
		}
	}
	return nil
}

// contentDigest is the message-digest, for its own hash.
func (a Attributes) contentDigest(h crypto.Hash) ([]byte, error) {
	if h != a.scheme.hash {
		return nil, errNoDigest
	}
	return a.MessageDigest, nil
}

var errNoDigest = errors.New("no digest of the content by this hash")

// AssembleToken makes the DER ContentInfo of a time-stamp token around a
// TSTInfo; p.SignedAttrs are from [ContentAttributes] with [OIDTSTInfo]. The
// certificates go in only with certReq (RFC 3161 §2.4.1). It verifies the
// value first.
func AssembleToken(tstInfo []byte, p Parts, certReq bool) ([]byte, error) {
	sch, err := tokenScheme(tstInfo, p)
	if err != nil {
		return nil, err
	}
	digest := sch.hash.New()
	digest.Write(p.SignedAttrs)
	if err := sch.verify(p.Certificate.PublicKey, digest.Sum(nil), p.Value); err != nil {
		return nil, err
	}
	return p.encodeToken(sch, tstInfo, certReq)
}

// EncodeToken is [AssembleToken] for who has just made the attributes over this
// TSTInfo, and has the value from a signer which has verified it with the
// certificate's key (package hsm lets no other out). To verify it a second time
// costs as much as the rest of the token.
func EncodeToken(tstInfo []byte, p Parts, certReq bool) ([]byte, error) {
	alg, err := AlgorithmOf(p.Certificate.PublicKey)
	if err != nil {
		return nil, err
	}
	sch, err := alg.scheme()
	if err != nil {
		return nil, err
	}
	return p.encodeToken(sch, tstInfo, certReq)
}

// tokenScheme checks that the signed attributes are those of the TSTInfo and
// the certificate.
func tokenScheme(tstInfo []byte, p Parts) (scheme, error) {
	alg, err := AlgorithmOf(p.Certificate.PublicKey)
	if err != nil {
		return scheme{}, err
	}
	sch, err := alg.scheme()
	if err != nil {
		return scheme{}, err
	}
	sum := sch.hash.New()
	sum.Write(tstInfo)
	want, err := ContentAttributes(OIDTSTInfo, sum.Sum(nil), p.Certificate)
	if err != nil {
		return scheme{}, err
	}
	if !bytes.Equal(want, p.SignedAttrs) {
		return scheme{}, errf(CodeAttributes, "not the attributes of this TSTInfo")
	}
	return sch, nil
}

func (p Parts) encodeToken(sch scheme, tstInfo []byte, certReq bool) ([]byte, error) {
	if !certReq {
		p.Chain = nil
	}
	return p.encode(sch, content{OIDTSTInfo, tstInfo, certReq})
}

// Size is the exact length in bytes of the DER that [Assemble] makes, with a
// signature value of the greatest length that the certificate's key can give
// and a time-stamp token of timeStampSize bytes (0: none).
func Size(cert *x509.Certificate, chain []*x509.Certificate, timeStampSize int) (int, error) {
	a, err := AlgorithmOf(cert.PublicKey)
	if err != nil {
		return 0, err
	}
	return a.Size(cert, chain, timeStampSize)
}

// maxValue: two INTEGERs of the curve's size with a leading zero each, or the
// modulus.
func maxValue(pub any) int {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		n := (k.Curve.Params().BitSize + 7) / 8
		body := 2 * (2 + n + 1)
		if body < 0x80 {
			return 2 + body
		}
		return 3 + body
	case *rsa.PublicKey:
		return k.Size()
	}
	return 0
}
