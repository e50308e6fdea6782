package certs

import (
	"encoding/asn1"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// This file says what stands in our certificates; nothing else does. From it
// certificates are built (form.extensions) and judged (rules.go): an extension
// that is missing, that differs from a fixed value, that is critical where the
// table is not, or that is not in the table is a finding.

// fact is what a profile fixes outside extensions.
type fact struct {
	title string
	// person: the subject is a natural person (EN 319 412-2 §4.2.4), else a legal
	// person with its organizationIdentifier (EN 319 412-3 §4.2.1).
	person bool
	// longest is the longest life; zero: as long as the issuer.
	longest time.Duration
	// standard are the policies of standards, testPolicy the issuer's own if the
	// order names none; nil: the profile has none of its own.
	standard   []asn1.ObjectIdentifier
	testPolicy asn1.ObjectIdentifier
}

const day = 24 * time.Hour

// profiles: subject (§2.1, §2.5), longest life (§2.1: three years as the market
// has them; §2.4: the 24 hours of Regulation 910/2014 Art 24(3); §2.6: 90
// days), policies (EN 319 411-2 QCP-n-qscd; EN 319 421 TIS-8.1-01 NCP+).
// Paragraphs are those of specs/eidas.md.
var profiles = map[Profile]fact{
	Root:          {title: "root"},
	IssuingCA:     {title: "issuing CA", standard: oids{oidPolicyAny}},
	TSU:           {title: "time-stamping unit", standard: oids{oidPolicyNCPPlus}, testPolicy: PolicyTestTSU},
	Responder:     {title: "OCSP responder", longest: 90 * day},
	NaturalPerson: {title: "natural person", person: true, longest: 3*365*day + day, standard: oids{PolicyQCPNaturalQSCD}, testPolicy: PolicyTestPerson},
	OneTime:       {title: "natural person, one-time", person: true, longest: day, standard: oids{PolicyQCPNaturalQSCD}, testPolicy: PolicyTestPerson},
}

type oids = []asn1.ObjectIdentifier

// row is one extension: whether it is critical, what it holds in each profile
// that has it, the lint rule that speaks of it, and where it is asked for.
type row struct {
	rule     string
	oid      asn1.ObjectIdentifier
	critical bool
	clause   string
	in       map[Profile]content
}

// content writes an extension's value. fixed: it is the same in every
// certificate, and the lint compares the bytes. when, if not nil, tells whether
// the order asks for the extension.
type content struct {
	write func(b *cryptobyte.Builder, f *form)
	fixed bool
	when  func(f *form) bool
}

const (
	critical    = true
	notCritical = false
)

// table is in the order in which the extensions stand.
var table = []row{
	{"authority-key", oidExtAKI, notCritical, "EN 319 412-2 GEN-4.3.1-1; RFC 5280 §4.2.1.1", all(varying(authorityKey))},
	{"subject-key", oidExtSKI, notCritical, "RFC 5280 §4.2.1.2", all(varying(subjectKey))},
	{"basic-constraints", oidExtBasic, critical, "RFC 5280 §4.2.1.9; specs/eidas.md §2.5", map[Profile]content{
		Root:      basicConstraints(noPathLength),
		IssuingCA: basicConstraints(0),
	}},
	{"key-usage", oidExtKeyUsage, critical, "EN 319 412-2 NAT-4.3.2-1 (type A); RFC 5280 §4.2.1.3; specs/eidas.md §2.5 to §2.7", map[Profile]content{
		Root:          keyUsage(keyCertSign, cRLSign),
		IssuingCA:     keyUsage(keyCertSign, cRLSign),
		TSU:           keyUsage(digitalSignature),
		Responder:     keyUsage(digitalSignature),
		NaturalPerson: keyUsage(contentCommitment),
		OneTime:       keyUsage(contentCommitment),
	}},
	{"extended-key-usage", oidExtEKU, critical, "RFC 3161 §2.3; EN 319 422", map[Profile]content{
		TSU: fixed(oidSequence(oidEKUTimeStamping)),
	}},
	{"extended-key-usage", oidExtEKU, notCritical, "RFC 6960 §4.2.2.2", map[Profile]content{
		Responder: fixed(oidSequence(oidEKUOCSPSigning)),
	}},
	{"policies", oidExtPolicies, notCritical, "EN 319 412-2 GEN-4.3.3-2; EN 319 411-2; EN 319 421 TIS-8.1-01; RFC 5280 §4.2.1.4", map[Profile]content{
		IssuingCA:     fixed(anyPolicy),
		TSU:           varying(certificatePolicies),
		NaturalPerson: varying(certificatePolicies),
		OneTime:       varying(certificatePolicies),
	}},
	{"key-period", oidExtKeyPeriod, notCritical, "EN 319 421 7.6; RFC 3280 §4.2.1.4", map[Profile]content{
		TSU: {write: keyPeriod, when: func(f *form) bool { return !f.PrivateKeyEnd.IsZero() }},
	}},
	{"qc-statements", oidExtQcStatements, notCritical, "EN 319 412-5 QCS-4.1-02; RFC 3739 §3.2.6", persons(varying(qcStatements))},
	{"ocsp-nocheck", oidExtOCSPNoCheck, notCritical, "RFC 6960 §4.2.2.2.1", map[Profile]content{
		Responder: fixed(null),
	}},
	{"validity-assured", oidExtValidityAssured, notCritical, "EN 319 412-1 §5.2; specs/eidas.md §2.4", map[Profile]content{
		OneTime: fixed(null),
	}},
	{"no-revocation", oidExtNoRevAvail, notCritical, "RFC 9608 §2; EN 319 412-2 GEN-4.3.11-2A", map[Profile]content{
		OneTime: fixed(null),
	}},
	{"crl-address", oidExtCRLDP, notCritical, "EN 319 412-2 GEN-4.3.11-2; RFC 5280 §4.2.1.13", map[Profile]content{
		IssuingCA:     varying(crlAddress),
		TSU:           varying(crlAddress),
		NaturalPerson: varying(crlAddress),
	}},
	{"issuer-address", oidExtAIA, notCritical, "EN 319 412-2 GEN-4.4.1-2, -6; RFC 5280 §4.2.2.1", map[Profile]content{
		IssuingCA:     varying(informationAccess),
		TSU:           varying(informationAccess),
		Responder:     varying(informationAccess),
		NaturalPerson: varying(informationAccess), // and the OCSP address
		OneTime:       varying(informationAccess),
	}},
}

// statementRow is one statement of a qualified certificate: whether it is there
// and what it says.
type statementRow struct {
	rule   string
	oid    asn1.ObjectIdentifier
	clause string
	when   func(f *form) bool // nil: always
	info   func(f *form) cryptobyte.BuilderContinuation
}

// statementTable is in the order in which the statements stand; those that it
// does not list (limit, retention, legislation of third countries) are not ours.
var statementTable = []statementRow{
	{"qc-semantics", oidQcSemantics, "EN 319 412-1 §5.1: with a serial number of an ETSI scheme, and only then",
		func(f *form) bool { return f.LegalBasis != "" }, says(oidSequence(oidSemanticsNatural))},
	{"qc-compliance", oidQcCompliance, "EN 319 412-5 §4.2.1; EN 319 411-2 GEN-6.6.1-02", nil, says(nil)},
	{"qc-sscd", oidQcSSCD, "EN 319 412-5 §4.2.2; EN 319 411-2 GEN-6.6.1-03", nil, says(nil)},
	{"qc-type", oidQcType, "EN 319 412-5 §4.2.3: esign", nil, says(oidSequence(oidQcTypeESign))},
	{"qc-pds", oidQcPDS, "EN 319 412-5 §4.3.4", nil, func(f *form) cryptobyte.BuilderContinuation { return pdsList(f.Publication.PDS) }},
	{"qc-ident-method", oidQcIdentMethod, "EN 319 412-5 V2.6.1: a notified eID means",
		func(f *form) bool { return f.Identified }, says(oidSequence(oidQcIdentNotified))},
}

func says(info cryptobyte.BuilderContinuation) func(*form) cryptobyte.BuilderContinuation {
	return func(*form) cryptobyte.BuilderContinuation { return info }
}

func fixed(write cryptobyte.BuilderContinuation) content {
	return content{write: func(b *cryptobyte.Builder, _ *form) { write(b) }, fixed: true}
}

func varying(write func(b *cryptobyte.Builder, f *form)) content { return content{write: write} }

func all(c content) map[Profile]content {
	return map[Profile]content{Root: c, IssuingCA: c, TSU: c, Responder: c, NaturalPerson: c, OneTime: c}
}

func persons(c content) map[Profile]content {
	return map[Profile]content{NaturalPerson: c, OneTime: c}
}
