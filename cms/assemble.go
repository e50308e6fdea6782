// Package cms reads and writes CMS signatures (RFC 5652) of the kinds that
// this service needs: PAdES and CAdES baseline (EN 319 142-1, EN 319 122-1) and
// RFC 3161 time-stamp tokens.
//
// Writing has two phases, because the key is elsewhere: [SignedAttributes]
// gives the bytes whose digest is to be signed, [Assemble] puts the value in,
// after it has verified it. Reading ([Parse], [SignerInfo.VerifyValue]) works
// on bytes that nobody vouches for, within a [Budget], without recursion, and
// hashes what it found, never what it would have written.
package cms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Parts is everything that a detached signature is made of.
type Parts struct {
	SignedAttrs    []byte              // from [SignedAttributes]
	Value          []byte              // over [Attributes.DTBS] of SignedAttrs, by their [Algorithm]
	Certificate    *x509.Certificate   // the signer's
	Chain          []*x509.Certificate // its issuers, to be embedded too
	TimeStampToken []byte              // signature time-stamp, DER ContentInfo; nil for level B-B
}

// Assemble makes the DER ContentInfo of a detached signature. Before anything
// else it checks that the signed attributes are ours and name the certificate,
// and that the value verifies; equal parts give equal bytes.
func Assemble(p Parts) ([]byte, error) {
	a, err := ParseSignedAttributes(p.SignedAttrs)
	if err != nil {
		return nil, err
	}
	if err := a.Check(p.Certificate); err != nil {
		return nil, err
	}
	if err := a.scheme.verify(p.Certificate.PublicKey, a.DTBS(p.SignedAttrs), p.Value); err != nil {
		return nil, err
	}
	if p.TimeStampToken != nil {
		t, err := Parse(p.TimeStampToken, Budget{})
		if err != nil {
			return nil, err
		}
		if !t.ContentType.Equal(OIDTSTInfo) {
			return nil, errf(CodeMalformed, "the time-stamp is not a time-stamp token")
		}
	}
	return p.encode(a.scheme, content{kind: OIDData, certs: true})
}

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

// content is what a SignedData is about.
type content struct {
	kind   asn1.ObjectIdentifier
	octets []byte // nil: detached
	certs  bool   // embed certificates
}

// encode writes ContentInfo and SignedData; see [Parse] for the grammar.
// Version 1 for id-data, 3 for other contents (RFC 5652 §5.1).
func (p Parts) encode(sch scheme, c content) ([]byte, error) {
	certs, err := p.certificates()
	if err != nil {
		return nil, err
	}
	digestOID, _ := OIDOfHash(sch.hash)
	version := int64(1)
	if !c.kind.Equal(OIDData) {
		version = 3
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(OIDSignedData)
		b.AddASN1(context(0), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(version)
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { addDigestAlgorithm(b, casn1.SEQUENCE, digestOID) })
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(c.kind)
					if c.octets != nil {
						b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(c.octets) })
					}
				})
				if c.certs {
					b.AddBytes(certs)
				}
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { p.addSignerInfo(b, sch) })
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, errf(CodeMalformed, "encode: %v", err)
	}
	return der, nil
}

func (p Parts) certificates() ([]byte, error) {
	set := [][]byte{p.Certificate.Raw}
	for _, c := range p.Chain {
		known := false
		for _, have := range set {
			known = known || bytes.Equal(have, c.Raw)
		}
		if !known {
			set = append(set, c.Raw)
		}
	}
	return setOf(context(0), set)
}

func (p Parts) addSignerInfo(b *cryptobyte.Builder, sch scheme) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(p.Certificate.RawIssuer)
			b.AddASN1BigInt(p.Certificate.SerialNumber)
		})
		digestOID, _ := OIDOfHash(sch.hash)
		addDigestAlgorithm(b, casn1.SEQUENCE, digestOID)
		b.AddBytes(append([]byte{byte(context(0))}, p.SignedAttrs[1:]...))
		sch.addAlgorithm(b, casn1.SEQUENCE)
		b.AddASN1OctetString(p.Value)
		if p.TimeStampToken == nil {
			return
		}
		b.AddASN1(context(1), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(OIDSignatureTimeStamp)
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(p.TimeStampToken) })
			})
		})
	})
}
