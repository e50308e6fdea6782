package certs

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// form is an order with what the extensions need besides: the identifiers of
// the new key and of the issuer's.
type form struct {
	Order
	subjectKeyID, authorityKeyID []byte
}

func newForm(issuer *x509.Certificate, o Order, spki []byte) (*form, error) {
	id, err := keyIdentifier(spki)
	if err != nil {
		return nil, err
	}
	f := &form{o, id, id} // a root names itself: RFC 5280 would let it be silent, zlint not
	if issuer != nil {
		f.authorityKeyID = issuer.SubjectKeyId
	}
	return f, nil
}

// extensions builds those of the table that the profile has.
func (f *form) extensions() ([]extension, error) {
	var list []extension
	for _, r := range table {
		c, has := r.in[f.Profile]
		if !has || c.when != nil && !c.when(f) {
			continue
		}
		e, err := newExtension(r.oid, r.critical, func(b *cryptobyte.Builder) { c.write(b, f) })
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func newExtension(oid asn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) (extension, error) {
	var b cryptobyte.Builder
	value(&b)
	der, err := b.Bytes()
	if err != nil {
		return extension{}, fmt.Errorf("encode extension %v: %w", oid, err)
	}
	return extension{oid, critical, der}, nil
}

func null(b *cryptobyte.Builder) { b.AddASN1NULL() }

// AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OCTET STRING … }
func authorityKey(b *cryptobyte.Builder, f *form) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(f.authorityKeyID) })
	})
}

// SubjectKeyIdentifier ::= OCTET STRING
func subjectKey(b *cryptobyte.Builder, f *form) { b.AddASN1OctetString(f.subjectKeyID) }

const noPathLength = -1

// BasicConstraints ::= SEQUENCE { cA BOOLEAN, pathLenConstraint INTEGER OPTIONAL }
func basicConstraints(pathLen int) content {
	return fixed(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Boolean(true)
			if pathLen != noPathLength {
				b.AddASN1Int64(int64(pathLen))
			}
		})
	})
}

// The bits of KeyUsage that we use.
const (
	digitalSignature  = 0
	contentCommitment = 1
	keyCertSign       = 5
	cRLSign           = 6
)

// KeyUsage ::= BIT STRING { digitalSignature(0), contentCommitment(1), …,
// keyCertSign(5), cRLSign(6), … }; DER cuts trailing zero bits.
func keyUsage(bits ...int) content {
	var value byte
	last := 0
	for _, bit := range bits {
		value |= 0x80 >> bit
		last = max(last, bit)
	}
	return fixed(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(uint8(7 - last))
			b.AddUint8(value)
		})
	})
}

// PrivateKeyUsagePeriod ::= SEQUENCE { notBefore [0] GeneralizedTime OPTIONAL,
// notAfter [1] GeneralizedTime OPTIONAL }   (RFC 3280 §4.2.1.4)
func keyPeriod(b *cryptobyte.Builder, f *form) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, t := range []time.Time{f.NotBefore, f.PrivateKeyEnd} {
			b.AddASN1(cbasn1.Tag(uint8(i)).ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddBytes([]byte(t.UTC().Format("20060102150405Z")))
			})
		}
	})
}

// policy is a PolicyInformation; cps "" is without qualifier.
type policy struct {
	oid asn1.ObjectIdentifier
	cps string
}

func anyPolicy(b *cryptobyte.Builder) { policySequence(b, policy{oidPolicyAny, ""}) }

// certificatePolicies are those of the standards, then the issuer's own with
// the address of its practice statement.
func certificatePolicies(b *cryptobyte.Builder, f *form) {
	var list []policy
	for _, oid := range profiles[f.Profile].standard {
		list = append(list, policy{oid, ""})
	}
	policySequence(b, append(list, policy{f.policy(), f.Publication.CPSURL})...)
}

// certificatePolicies ::= SEQUENCE OF PolicyInformation   (RFC 5280 §4.2.1.4)
// PolicyInformation ::= SEQUENCE { policyIdentifier OBJECT IDENTIFIER,
//
//	policyQualifiers SEQUENCE OF SEQUENCE { id, qualifier } OPTIONAL }
//
// CPSuri ::= IA5String
func policySequence(b *cryptobyte.Builder, list ...policy) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, p := range list {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(p.oid)
				if p.cps == "" {
					return
				}
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidPolicyCPS)
						b.AddASN1(cbasn1.IA5String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.cps)) })
					})
				})
			})
		}
	})
}

// uniformResourceIdentifier [6] IA5String of GeneralName (RFC 5280 §4.2.1.6)
func addURI(b *cryptobyte.Builder, u string) {
	b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(u)) })
}

// DistributionPointName ::= [0] CHOICE { fullName [0] GeneralNames, … }, with
// the tag of the field that holds it.
func addPointName(b *cryptobyte.Builder, u string) {
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { addURI(b, u) })
	})
}

// CRLDistributionPoints ::= SEQUENCE OF SEQUENCE { distributionPoint [0]
//
//	DistributionPointName OPTIONAL, … }   (RFC 5280 §4.2.1.13)
func crlAddress(b *cryptobyte.Builder, f *form) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { addPointName(b, f.Publication.CRLURL) })
	})
}

// AuthorityInfoAccessSyntax ::= SEQUENCE OF SEQUENCE { accessMethod OBJECT
//
//	IDENTIFIER, accessLocation GeneralName }   (RFC 5280 §4.2.2.1)
func informationAccess(b *cryptobyte.Builder, f *form) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		access := func(method asn1.ObjectIdentifier, u string) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(method)
				addURI(b, u)
			})
		}
		access(oidAccessCAIssuers, f.Publication.IssuerURL)
		if f.Profile == NaturalPerson {
			access(oidAccessOCSP, f.Publication.OCSPURL)
		}
	})
}
