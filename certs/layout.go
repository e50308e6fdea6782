package certs

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// extension ::= SEQUENCE { extnID OBJECT IDENTIFIER,
//
//	critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }   (RFC 5280 §4.1)
type extension struct {
	oid      asn1.ObjectIdentifier
	critical bool
	value    []byte
}

// layout is a certificate before it is signed, field by field. It is written
// by hand because crypto/x509 neither writes policy qualifiers nor lets us
// sign the very bytes that were linted.
type layout struct {
	version             int
	serial              *big.Int
	sig                 algorithm
	issuer              []byte
	notBefore, notAfter time.Time
	subject             name
	spki                []byte
	extensions          []extension
}

// newLayout fills in what every profile shares.
func newLayout(issuer *x509.Certificate, o Order) (*layout, error) {
	if err := o.check(issuer); err != nil {
		return nil, err
	}
	spki, err := SPKI(o.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := CheckNewKey(o.PublicKey); err != nil {
		return nil, err
	}
	l := &layout{version: 2, notBefore: o.NotBefore.UTC().Truncate(time.Second), notAfter: o.NotAfter.UTC().Truncate(time.Second), subject: o.Subject.attributes(), spki: spki}
	if l.serial, err = newSerial(); err != nil {
		return nil, err
	}
	signerKey := o.PublicKey
	if issuer != nil {
		signerKey, l.issuer = issuer.PublicKey, issuer.RawSubject
	} else if l.issuer, err = l.subject.encode(); err != nil {
		return nil, err
	}
	if l.sig, err = signingAlgorithm(signerKey); err != nil {
		return nil, err
	}
	f, err := newForm(issuer, o, spki)
	if err != nil {
		return nil, err
	}
	l.extensions, err = f.extensions()
	return l, err
}

// newSerial makes a serial number of 126 random bits and one set bit above
// them: positive, 16 octets, never with a leading zero octet (RFC 5280
// §4.1.2.2, EN 319 411-1 GEN-6.3.3-02A).
func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b), nil
}

// encode gives the TBSCertificate.
//
//	TBSCertificate ::= SEQUENCE { version [0] EXPLICIT INTEGER DEFAULT v1,
//	  serialNumber INTEGER, signature AlgorithmIdentifier, issuer Name,
//	  validity SEQUENCE { notBefore Time, notAfter Time }, subject Name,
//	  subjectPublicKeyInfo SubjectPublicKeyInfo, extensions [3] EXPLICIT
//	  SEQUENCE OF Extension OPTIONAL }                        (RFC 5280 §4.1)
func (l *layout) encode() ([]byte, error) {
	subject, err := l.subject.encode()
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if l.version > 0 {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(l.version)) })
		}
		b.AddASN1BigInt(l.serial)
		l.sig.identifier(b)
		b.AddBytes(l.issuer)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, l.notBefore)
			addTime(b, l.notAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(l.spki)
		if len(l.extensions) > 0 {
			b.AddASN1(cbasn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					for _, e := range l.extensions {
						e.encode(b)
					}
				})
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	return der, nil
}

func (e extension) encode(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.oid)
		if e.critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.value)
	})
}

// addTime writes UTCTime before 2050 and GeneralizedTime from then on (RFC
// 5280 §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// identifier writes the AlgorithmIdentifier: parameters are absent for ECDSA
// (RFC 5758 §3.2) and NULL for RSA (RFC 4055 §5).
func (a algorithm) identifier(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.oid)
		if familyOf(a.sig) == "RSA" {
			b.AddASN1NULL()
		}
	})
}

// assemble puts a signature to a TBSCertificate.
//
//	Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm
//	  AlgorithmIdentifier, signatureValue BIT STRING }        (RFC 5280 §4.1)
func assemble(tbs []byte, a algorithm, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		a.identifier(b)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assemble certificate: %w", err)
	}
	return der, nil
}

// sameBytes guards the promise that what was linted is what was signed.
func sameBytes(a, b []byte) error {
	if !bytes.Equal(a, b) {
		return fmt.Errorf("the signed bytes are not the linted ones")
	}
	return nil
}
