package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Profile is the kind of a certificate. The zero value is none.
type Profile int

// The profiles we issue.
const (
	// Root is the self-signed sandbox root: trust anchor, issues the issuing CA
	// and the time-stamping unit.
	Root Profile = iota + 1
	// IssuingCA issues certificates of natural persons and nothing else.
	IssuingCA
	// TSU is a time-stamping unit (RFC 3161 §2.3, EN 319 422): the root issues
	// it, so that the root's CRL is its revocation information.
	TSU
	// NaturalPerson is a qualified certificate with its key in a qualified
	// remote device, QCP-n-qscd (EN 319 412-2, specs/eidas.md §2.1).
	NaturalPerson
)

func (p Profile) String() string {
	switch p {
	case Root:
		return "root"
	case IssuingCA:
		return "issuing CA"
	case TSU:
		return "time-stamping unit"
	case NaturalPerson:
		return "natural person"
	}
	return "no profile"
}

// isCA tells whether certificates of the profile sign others.
func (p Profile) isCA() bool { return p == Root || p == IssuingCA }

// PDS is a disclosure statement: an https URL and the language of the text
// behind it, two lower-case letters (EN 319 412-5 §4.3.4).
type PDS struct {
	URL      string `yaml:"url"`
	Language string `yaml:"language"`
}

// Publication says where what belongs to a certificate is published.
type Publication struct {
	IssuerURL string // http URL of the issuer's certificate, DER (not for a root)
	CRLURL    string // http URL of the issuer's CRL, DER (not for a root)
	CPSURL    string // URL of the practice statement: the CPS qualifier of our own policy
	PDS       []PDS  // natural person only; one must be in English
}

// PublishedBy gives the URLs below base (e.g. "http://127.0.0.1:8080/pki") for
// what the named issuer ("root" or "issuing-ca") signs; cps is the CPS URL.
func PublishedBy(base, issuer, cps string) Publication {
	base = strings.TrimSuffix(base, "/")
	return Publication{IssuerURL: base + "/ca/" + issuer + ".crt", CRLURL: base + "/crl/" + issuer + ".crl", CPSURL: cps}
}

// Order says what a certificate is to contain; the rest is fixed by the
// profile. Times are cut to seconds.
type Order struct {
	Profile             Profile
	Subject             Subject
	PublicKey           crypto.PublicKey
	NotBefore, NotAfter time.Time
	PrivateKeyEnd       time.Time // TSU only: end of privateKeyUsagePeriod, after which it stamps no more
	Publication         Publication
	Identified          bool // natural person: state QcIdentMethod "notified eID means" (eIDAS2-acd)
}

func (o Order) extensions(issuer *x509.Certificate, spki []byte) ([]extension, error) {
	ski, err := keyIdentifier(spki)
	if err != nil {
		return nil, err
	}
	var e extensionsBuilder
	authority := ski // a root names itself: RFC 5280 would let it be silent, zlint not
	if issuer != nil {
		authority = issuer.SubjectKeyId
	}
	e.authorityKey(authority)
	e.add(oidExtSKI, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(ski) })
	switch o.Profile {
	case Root:
		e.basicConstraints(-1)
		e.keyUsage(5, 6)
		return e.done() // where a root is published, its users know already
	case IssuingCA:
		e.basicConstraints(0)
		e.keyUsage(5, 6)
		e.policies(policy{oidPolicyAny, ""})
	case TSU:
		e.keyUsage(0)
		e.add(oidExtEKU, true, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidEKUTimeStamping) })
		})
		e.policies(policy{oidPolicyNCPPlus, ""}, policy{PolicyTestTSU, o.Publication.CPSURL})
		if !o.PrivateKeyEnd.IsZero() {
			e.keyPeriod(o.NotBefore, o.PrivateKeyEnd)
		}
	case NaturalPerson:
		e.keyUsage(1)
		e.policies(policy{PolicyQCPNaturalQSCD, ""}, policy{PolicyTestPerson, o.Publication.CPSURL})
		e.qcStatements(o)
	default:
		return nil, fmt.Errorf("no profile %d", o.Profile)
	}
	e.published(o.Publication)
	return e.done()
}

// extensionsBuilder collects extensions and the first error.
type extensionsBuilder struct {
	list []extension
	err  error
}

func (e *extensionsBuilder) done() ([]extension, error) { return e.list, e.err }

func (e *extensionsBuilder) add(oid asn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) {
	var b cryptobyte.Builder
	value(&b)
	der, err := b.Bytes()
	if err != nil && e.err == nil {
		e.err = fmt.Errorf("encode extension %v: %w", oid, err)
	}
	e.list = append(e.list, extension{oid, critical, der})
}

// AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OCTET STRING … }
func (e *extensionsBuilder) authorityKey(id []byte) {
	e.add(oidExtAKI, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
		})
	})
}

// BasicConstraints ::= SEQUENCE { cA BOOLEAN, pathLenConstraint INTEGER OPTIONAL }
func (e *extensionsBuilder) basicConstraints(pathLen int) {
	e.add(oidExtBasic, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Boolean(true)
			if pathLen >= 0 {
				b.AddASN1Int64(int64(pathLen))
			}
		})
	})
}

// KeyUsage ::= BIT STRING { digitalSignature(0), contentCommitment(1), …,
// keyCertSign(5), cRLSign(6), … }; DER cuts trailing zero bits.
func (e *extensionsBuilder) keyUsage(bits ...int) {
	var value byte
	last := 0
	for _, bit := range bits {
		value |= 0x80 >> bit
		last = max(last, bit)
	}
	e.add(oidExtKeyUsage, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(uint8(7 - last))
			b.AddUint8(value)
		})
	})
}

// PrivateKeyUsagePeriod ::= SEQUENCE { notBefore [0] GeneralizedTime OPTIONAL,
// notAfter [1] GeneralizedTime OPTIONAL }   (RFC 3280 §4.2.1.4)
func (e *extensionsBuilder) keyPeriod(from, to time.Time) {
	e.add(oidExtKeyPeriod, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i, t := range []time.Time{from, to} {
				b.AddASN1(cbasn1.Tag(uint8(i)).ContextSpecific(), func(b *cryptobyte.Builder) {
					b.AddBytes([]byte(t.UTC().Format("20060102150405Z")))
				})
			}
		})
	})
}

type policy struct {
	oid asn1.ObjectIdentifier
	cps string
}

// certificatePolicies ::= SEQUENCE OF PolicyInformation   (RFC 5280 §4.2.1.4)
// PolicyInformation ::= SEQUENCE { policyIdentifier OBJECT IDENTIFIER,
//
//	policyQualifiers SEQUENCE OF SEQUENCE { id, qualifier } OPTIONAL }
//
// CPSuri ::= IA5String
func (e *extensionsBuilder) policies(list ...policy) {
	e.add(oidExtPolicies, false, func(b *cryptobyte.Builder) {
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
	})
}

// published adds the CRL's and the issuer's addresses. There is no OCSP URL
// as long as there is no OCSP responder (docs/decisions/0012).
//
//	CRLDistributionPoints ::= SEQUENCE OF SEQUENCE { distributionPoint [0]
//	  { fullName [0] GeneralNames } }                   (RFC 5280 §4.2.1.13)
//	AuthorityInfoAccessSyntax ::= SEQUENCE OF SEQUENCE { accessMethod OBJECT
//	  IDENTIFIER, accessLocation GeneralName }          (RFC 5280 §4.2.2.1)
func (e *extensionsBuilder) published(p Publication) {
	uri := func(b *cryptobyte.Builder, u string) {
		b.AddASN1(cbasn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(u)) })
	}
	e.add(oidExtCRLDP, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { uri(b, p.CRLURL) })
				})
			})
		})
	})
	e.add(oidExtAIA, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidAccessCAIssuers)
				uri(b, p.IssuerURL)
			})
		})
	})
}
