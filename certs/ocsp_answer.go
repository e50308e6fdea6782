package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SingleStatus is what an answer says of one certificate. Times are cut to
// seconds. RevokedAt and Reason (RFC 5280 §5.3.1; 0: none is written) belong
// to StatusRevoked. ArchiveCutoff is the date from which on the responder
// answers for expired certificates (RFC 6960 §4.4.4; zero: not said).
type SingleStatus struct {
	ID                     CertID
	State                  CertState
	RevokedAt              time.Time
	Reason                 int
	ThisUpdate, NextUpdate time.Time // NextUpdate may be zero in an answer that we read
	ArchiveCutoff          time.Time

	certHash certHash
}

// OCSPResponder answers for the certificates of Issuer: with a delegated
// certificate (profile OCSPResponder), or with Cert the issuer's own.
type OCSPResponder struct {
	Cert   *x509.Certificate
	Signer crypto.Signer
	Issuer *x509.Certificate
}

// OCSPErrorResponse is an answer without content: why there is none. It is not
// signed.
//
//	OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED,
//	  responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }   (RFC 6960 §4.2.1)
func OCSPErrorResponse(status OCSPResponseStatus) []byte {
	return []byte{0x30, 3, 0x0a, 1, byte(status)}
}

// Answer signs an answer, once, about the given certificates; nonce repeats
// the request's and may be nil. The value is verified with the responder's
// public key, and what leaves was read back: the same statements under a
// responder that the issuer vouches for at producedAt.
func (r OCSPResponder) Answer(singles []SingleStatus, producedAt time.Time, nonce []byte) ([]byte, error) {
	if !SameKey(r.Signer.Public(), r.Cert.PublicKey) {
		return nil, errors.New("OCSP: the key is not the responder's")
	}
	if err := checkSingles(singles, nonce); err != nil {
		return nil, err
	}
	alg, err := signingAlgorithm(r.Cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	data, err := r.responseData(singles, producedAt.UTC().Truncate(time.Second), nonce)
	if err != nil {
		return nil, fmt.Errorf("encode OCSP answer: %w", err)
	}
	signature, err := signDigest(r.Signer, alg, data)
	if err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	der, err := r.wrap(data, alg, signature)
	if err != nil {
		return nil, fmt.Errorf("encode OCSP answer: %w", err)
	}
	return der, r.readBack(der, data, producedAt)
}

// checkSingles refuses what RFC 6960 has no words for.
func checkSingles(singles []SingleStatus, nonce []byte) error {
	if len(singles) == 0 || len(singles) > MaxOCSPSingles || len(nonce) > MaxOCSPNonce {
		return errors.New("OCSP: no certificate, too many, or too long a nonce")
	}
	for _, s := range singles {
		switch {
		case len(s.ID.DER) == 0:
			return errors.New("OCSP: a status without its certificate's id")
		case !s.ThisUpdate.Before(s.NextUpdate):
			return errors.New("OCSP: nextUpdate is not after thisUpdate")
		case s.State == StatusRevoked && (s.RevokedAt.IsZero() || !reasonAllowed(s.Reason)):
			return errors.New("OCSP: a revocation without its time, or with no reason code that we use")
		}
	}
	return nil
}

// ResponseData ::= SEQUENCE { version [0] EXPLICIT INTEGER DEFAULT v1,
//
//	responderID CHOICE { byName [1] EXPLICIT Name, byKey [2] EXPLICIT OCTET
//	STRING }, producedAt GeneralizedTime, responses SEQUENCE OF SingleResponse,
//	responseExtensions [1] EXPLICIT Extensions OPTIONAL }   (RFC 6960 §4.2.1)
func (r OCSPResponder) responseData(singles []SingleStatus, producedAt time.Time, nonce []byte) ([]byte, error) {
	id, err := keyIdentifier(r.Cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1OctetString(id) })
		b.AddASN1GeneralizedTime(producedAt)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, s := range singles {
				s.encode(b)
			}
		})
		if len(nonce) > 0 {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addNonce(b, nonce) })
			})
		}
	})
	return b.Bytes()
}

// SingleResponse ::= SEQUENCE { certID CertID, certStatus CHOICE { good [0]
//
//	IMPLICIT NULL, revoked [1] IMPLICIT RevokedInfo, unknown [2] IMPLICIT NULL },
//	thisUpdate GeneralizedTime, nextUpdate [0] EXPLICIT GeneralizedTime OPTIONAL,
//	singleExtensions [1] EXPLICIT Extensions OPTIONAL }
//
// RevokedInfo ::= SEQUENCE { revocationTime GeneralizedTime,
//
//	revocationReason [0] EXPLICIT ENUMERATED OPTIONAL }
func (s SingleStatus) encode(b *cryptobyte.Builder) {
	at := func(b *cryptobyte.Builder, t time.Time) { b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second)) }
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(s.ID.DER)
		switch s.State {
		case StatusGood:
			b.AddBytes([]byte{0x80, 0})
		case StatusRevoked:
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				at(b, s.RevokedAt)
				if s.Reason != 0 {
					b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.Reason)) })
				}
			})
		default:
			b.AddBytes([]byte{0x82, 0})
		}
		at(b, s.ThisUpdate)
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { at(b, s.NextUpdate) })
		if !s.ArchiveCutoff.IsZero() {
			b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidOCSPArchiveCutoff)
						b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) { at(b, s.ArchiveCutoff) })
					})
				})
			})
		}
	})
}

// BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData,
//
//	signatureAlgorithm AlgorithmIdentifier, signature BIT STRING,
//	certs [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }   (RFC 6960 §4.2.1)
//
// ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
func (r OCSPResponder) wrap(data []byte, a algorithm, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(OCSPSuccessful))
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidOCSPBasic)
				b.AddASN1(cbasn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						a.identifier(b)
						b.AddASN1BitString(signature)
						if bytes.Equal(r.Cert.Raw, r.Issuer.Raw) {
							return
						}
						b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
							b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(r.Cert.Raw) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}

// readBack parses what will leave and verifies it as a client would.
func (r OCSPResponder) readBack(der, data []byte, at time.Time) error {
	read, err := ParseOCSPResponse(der)
	if err != nil {
		return fmt.Errorf("read the signed OCSP answer: %w", err)
	}
	if !bytes.Equal(read.data, data) {
		return errors.New("the signed OCSP answer holds other statements")
	}
	return read.Verify(r.Issuer, at)
}
