package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Profile is the kind of a certificate. The zero value is none.
type Profile int

// The profiles we issue; what is in them says profile_table.go.
const (
	// Root is the self-signed trust anchor: it issues issuing CAs and
	// time-stamping units.
	Root Profile = iota + 1
	// IssuingCA issues certificates of natural persons and of the OCSP responder
	// that answers for them, and nothing else.
	IssuingCA
	// TSU is a time-stamping unit (RFC 3161 §2.3, EN 319 422): the root issues
	// it, so that the root's CRL is its revocation information.
	TSU
	// NaturalPerson is a qualified certificate with its key in a qualified
	// remote device, QCP-n-qscd (EN 319 412-2, specs/eidas.md §2.1).
	NaturalPerson
	// OneTime is the same for one confirmation: it lives at most a day, is
	// assured to be valid as long, and has no revocation information (EN 319
	// 412-1 validity-assured, RFC 9608, specs/eidas.md §2.4).
	OneTime
	// Responder answers for its issuer's certificates (RFC 6960 §4.2.2.2,
	// specs/eidas.md §2.6).
	Responder
)

func (p Profile) String() string {
	if f, ok := profiles[p]; ok {
		return f.title
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
	CRLURL    string // http URL of the issuer's CRL, DER (not for a root, a one-time certificate or a responder)
	OCSPURL   string // http URL of the OCSP responder: natural person only; the root's certificates have a CRL alone
	CPSURL    string // URL of the practice statement: the CPS qualifier of our own policy
	PDS       []PDS  // natural person only; one must be in English
}

// PublishedBy gives the URLs below base (e.g. "http://127.0.0.1:8080/pki") for
// what the named issuer ("root", "issuing-ca", "issuing-ca-2", …) signs; cps is
// the CPS URL. What the root signs has no OCSP address: its key is offline.
func PublishedBy(base, issuer, cps string) Publication {
	base = strings.TrimSuffix(base, "/")
	p := Publication{IssuerURL: base + "/ca/" + issuer + ".crt", CRLURL: base + "/crl/" + issuer + ".crl", CPSURL: cps}
	if issuer != "root" {
		p.OCSPURL = base + "/ocsp"
	}
	return p
}

// Order says what a certificate is to contain; the rest is fixed by the
// profile. Times are cut to seconds.
type Order struct {
	Profile             Profile
	Subject             Subject
	PublicKey           crypto.PublicKey
	NotBefore, NotAfter time.Time
	// Signs is the algorithm by which the subject's key will sign documents, as its
	// certificate request shows; the certificate then ends before the algorithm does.
	// Zero: not told, and not looked at.
	Signs         x509.SignatureAlgorithm
	PrivateKeyEnd time.Time // TSU only: end of privateKeyUsagePeriod, after which it stamps no more
	Publication   Publication
	Identified    bool // natural person: state QcIdentMethod "notified eID means" (eIDAS2-acd)

	// Policy is the issuer's own certificate policy, for the profiles that have
	// one (TSU, NaturalPerson, OneTime). nil: our test policy.
	Policy asn1.ObjectIdentifier
	// Real: the certificate is to be used outside a sandbox. Its common name has
	// no SandboxMark, and Policy must be set, outside our test arc.
	Real bool
	// LegalBasis says which law allows a number of an ETSI scheme ("PNOBE-…",
	// EN 319 412-1 §5.1.3) as the subject's serial number. It is not written; with
	// it the number must follow a scheme and the certificate states the
	// semantics, without it the number must be opaque.
	LegalBasis string
}

// policy gives the issuer's own policy of the certificate, or nil.
func (o Order) policy() asn1.ObjectIdentifier {
	own := profiles[o.Profile].testPolicy
	if own != nil && o.Policy != nil {
		return o.Policy
	}
	return own
}

// check refuses orders that no profile allows.
func (o Order) check(issuer *x509.Certificate) error {
	facts, ok := profiles[o.Profile]
	switch {
	case !ok:
		return fmt.Errorf("no profile %d", o.Profile)
	case (issuer == nil) != (o.Profile == Root):
		return errors.New("a root, and only a root, has no issuer")
	case o.Real && facts.testPolicy != nil && (o.Policy == nil || below(o.Policy, oidTestArc)):
		return errors.New("a real certificate needs a policy of its issuer outside the test arc")
	case facts.person && (o.LegalBasis != "") != followsScheme(o.Subject.SerialNumber):
		return errors.New("a serial number of an ETSI scheme and its legal basis go together")
	}
	return nil
}

// below tells whether oid is arc or stands below it.
func below(oid, arc asn1.ObjectIdentifier) bool {
	return len(oid) >= len(arc) && oid[:len(arc)].Equal(arc)
}
