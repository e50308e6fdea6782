package certs

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// OCSPRequest is what a client asks: for these certificates, with this nonce
// (nil: none).
type OCSPRequest struct {
	IDs   []CertID
	Nonce []byte
}

// EncodeOCSPRequest writes an unsigned request. nonce may be nil, else it has
// 1 to 128 octets.
//
//	OCSPRequest ::= SEQUENCE { tbsRequest TBSRequest,
//	  optionalSignature [0] EXPLICIT Signature OPTIONAL }
//	TBSRequest ::= SEQUENCE { version [0] EXPLICIT INTEGER DEFAULT v1,
//	  requestorName [1] EXPLICIT GeneralName OPTIONAL,
//	  requestList SEQUENCE OF Request,
//	  requestExtensions [2] EXPLICIT Extensions OPTIONAL }
//	Request ::= SEQUENCE { reqCert CertID,
//	  singleRequestExtensions [0] EXPLICIT Extensions OPTIONAL } (RFC 6960 §4.1.1)
func EncodeOCSPRequest(ids []CertID, nonce []byte) ([]byte, error) {
	if len(ids) == 0 || len(ids) > MaxOCSPSingles || len(nonce) > MaxOCSPNonce {
		return nil, errors.New("OCSP request: no certificate, too many, or too long a nonce")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, id := range ids {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(id.DER) })
				}
			})
			if len(nonce) > 0 {
				b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addNonce(b, nonce) })
				})
			}
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode OCSP request: %w", err)
	}
	return der, nil
}

// ParseOCSPRequest reads a stranger's request: at most MaxOCSPRequest bytes
// and MaxOCSPSingles certificates, DER, nothing behind it. A signature is
// accepted and not looked at, and so is the requestor's name: everybody may
// ask (EN 319 411-1 CSS-6.3.10-03). Refusals are *OCSPError.
func ParseOCSPRequest(der []byte) (*OCSPRequest, error) {
	if len(der) > MaxOCSPRequest {
		return nil, malformed("too long")
	}
	outer := cryptobyte.String(der)
	var request, tbs, list, ignored cryptobyte.String
	var has bool
	if !outer.ReadASN1(&request, cbasn1.SEQUENCE) || !outer.Empty() ||
		!request.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!request.ReadOptionalASN1(&ignored, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) || !request.Empty() {
		return nil, malformed("not an OCSPRequest")
	}
	if has && !ignored.SkipASN1(cbasn1.SEQUENCE) || !ignored.Empty() {
		return nil, malformed("the signature is none")
	}
	if !readVersion1(&tbs) || !tbs.ReadOptionalASN1(&ignored, &has, cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		!tbs.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return nil, malformed("not a TBSRequest of version 1")
	}
	r := &OCSPRequest{}
	for !list.Empty() {
		if len(r.IDs) == MaxOCSPSingles {
			return nil, malformed("too many certificates")
		}
		id, err := readSingleRequest(&list)
		if err != nil {
			return nil, err
		}
		r.IDs = append(r.IDs, id)
	}
	extensions, err := readTaggedExtensions(&tbs, 2)
	if err != nil {
		return nil, err
	}
	if !tbs.Empty() {
		return nil, malformed("more than a TBSRequest")
	}
	r.Nonce = extensions.nonce
	return r, nil
}

func readSingleRequest(list *cryptobyte.String) (CertID, error) {
	var one cryptobyte.String
	if !list.ReadASN1(&one, cbasn1.SEQUENCE) {
		return CertID{}, malformed("not a Request")
	}
	id, ok := readCertID(&one)
	if !ok {
		return CertID{}, malformed("not a CertID")
	}
	if _, err := readTaggedExtensions(&one, 0); err != nil {
		return CertID{}, err
	}
	if !one.Empty() {
		return CertID{}, malformed("more than a Request")
	}
	return id, nil
}

// readVersion1 skips version [0] EXPLICIT INTEGER DEFAULT v1(0). Written out it
// is not DER; some clients do it, and it says nothing else.
func readVersion1(s *cryptobyte.String) bool {
	var explicit cryptobyte.String
	var has bool
	var v int
	if !s.ReadOptionalASN1(&explicit, &has, cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return false
	}
	return !has || explicit.ReadASN1Integer(&v) && v == 0 && explicit.Empty()
}

// readTaggedExtensions reads [tag] EXPLICIT Extensions OPTIONAL.
func readTaggedExtensions(s *cryptobyte.String, tag uint8) (ocspExtensions, error) {
	var explicit cryptobyte.String
	var has bool
	if !s.ReadOptionalASN1(&explicit, &has, cbasn1.Tag(tag).ContextSpecific().Constructed()) {
		return ocspExtensions{}, malformed("extensions")
	}
	if !has {
		return ocspExtensions{}, nil
	}
	return readOCSPExtensions(explicit)
}
