package certs

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

var p256 = elliptic.P256()

// mutation breaks one row of a profile; rule is our finding, zlint lists what
// zlint finds besides. Nothing else may be found.
type mutation struct {
	row    string
	rule   string
	zlint  []string
	change func(l *layout)
}

func drop(oid asn1.ObjectIdentifier) func(*layout) {
	return func(l *layout) {
		l.extensions = slices.DeleteFunc(l.extensions, func(e extension) bool { return e.oid.Equal(oid) })
	}
}

func criticalIs(oid asn1.ObjectIdentifier, c bool) func(*layout) {
	return func(l *layout) {
		for i := range l.extensions {
			if l.extensions[i].oid.Equal(oid) {
				l.extensions[i].critical = c
			}
		}
	}
}

// replace puts an extension in the place of the one with the same identifier,
// or at the end.
func replace(oid asn1.ObjectIdentifier, crit bool, value cryptobyte.BuilderContinuation) func(*layout) {
	return func(l *layout) {
		e, err := newExtension(oid, crit, value)
		if err != nil {
			e.value = nil
		}
		for i := range l.extensions {
			if l.extensions[i].oid.Equal(oid) {
				l.extensions[i] = e
				return
			}
		}
		l.extensions = append(l.extensions, e)
	}
}

func withPolicies(list ...policy) func(*layout) {
	return replace(oidExtPolicies, false, func(b *cryptobyte.Builder) { policySequence(b, list...) })
}

func withContent(oid asn1.ObjectIdentifier, c content) func(*layout) {
	return replace(oid, true, func(b *cryptobyte.Builder) { c.write(b, &form{}) })
}

func withUsage(bits ...int) func(*layout) { return withContent(oidExtKeyUsage, keyUsage(bits...)) }

func attr(oid asn1.ObjectIdentifier, change func(a *attribute)) func(*layout) {
	return func(l *layout) {
		for i := range l.subject {
			if l.subject[i].oid.Equal(oid) {
				change(&l.subject[i])
			}
		}
	}
}

func dropAttr(oids ...asn1.ObjectIdentifier) func(*layout) {
	return func(l *layout) {
		l.subject = slices.DeleteFunc(l.subject, func(a attribute) bool { return slices.ContainsFunc(oids, a.oid.Equal) })
	}
}

func addAttr(a attribute) func(*layout) {
	return func(l *layout) { l.subject = append(l.subject, a) }
}

// statements replaces the qcStatements.
func statements(list ...cryptobyte.BuilderContinuation) func(*layout) {
	return replace(oidExtQcStatements, false, statementSequence(list...))
}

var (
	qcOK        = statement(oidQcCompliance, nil)
	sscdOK      = statement(oidQcSSCD, nil)
	typeOK      = statement(oidQcType, oidSequence(oidQcTypeESign))
	pdsOK       = statement(oidQcPDS, pdsList([]PDS{{"https://sandbox.tekend.example/pds/en", "en"}}))
	semanticsOK = statement(oidQcSemantics, oidSequence(oidSemanticsNatural))
	typeSeal    = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 2}
)

func raw(oid asn1.ObjectIdentifier, crit bool, value []byte) func(*layout) {
	return func(l *layout) { l.extensions = append(l.extensions, extension{oid, crit, value}) }
}

func personMutations() []mutation {
	return []mutation{
		{"short serial", "serial", nil, func(l *layout) { l.serial = big.NewInt(4711) }},
		{"serial of 21 octets", "serial", []string{"e_serial_number_longer_than_20_octets"}, func(l *layout) { l.serial = new(big.Int).Lsh(big.NewInt(1), 166) }},
		{"issuer's name in other bytes", "issuer-name", nil, func(l *layout) { l.issuer = mustName(org("Tekend SANDBOX Issuing CA 2")) }},
		{"ends before it begins", "validity", nil, func(l *layout) { l.notAfter = l.notBefore.Add(-time.Second) }},
		{"longer than the CA", "validity", nil, func(l *layout) { l.notBefore, l.notAfter = l.notBefore.AddDate(9, 0, 0), l.notBefore.AddDate(11, 0, 0) }},
		{"longer than three years", "validity", nil, func(l *layout) { l.notAfter = l.notBefore.AddDate(3, 0, 2) }},
		{"country is no country", "subject-country", nil, attr(oidCountry, func(a *attribute) { a.value = "XX" })},
		{"no country", "subject-country", nil, dropAttr(oidCountry)},
		{"two countries", "subject-country", nil, addAttr(attribute{oidCountry, asn1.TagPrintableString, "NL"})},
		{"no names", "subject-name", nil, dropAttr(oidGivenName, oidSurname)},
		{"two surnames", "subject-name", nil, addAttr(attribute{oidSurname, asn1.TagUTF8String, "Peeters"})},
		{"no common name", "subject-common-name", nil, dropAttr(oidCommonName)},
		{"two common names", "subject-common-name", nil, addAttr(attribute{oidCommonName, asn1.TagUTF8String, "Jan (SANDBOX)"})},
		{"common name without SANDBOX", "sandbox", nil, attr(oidCommonName, func(a *attribute) { a.value = "Jan Jansen" })},
		{"pseudonym", "subject-pseudonym", nil, addAttr(attribute{oidPseudonym, asn1.TagUTF8String, "jj"})},
		{"no serial number", "subject-serial", nil, dropAttr(oidSerialNumber)},
		{"national number", "qc-semantics", nil, attr(oidSerialNumber, func(a *attribute) { a.value = "PNOBE-85073003328" })},
		{"serial number of half a scheme", "subject-serial", nil, attr(oidSerialNumber, func(a *attribute) { a.value = "PNOXX-85073003328" })},
		{"surname as PrintableString", "subject-encoding", nil, attr(oidSurname, func(a *attribute) { a.tag = asn1.TagPrintableString })},
		{"organisation of a person", "subject-attributes", nil, addAttr(attribute{oidOrganisation, asn1.TagUTF8String, "Firm"})},
		{"e-mail in the name", "subject-attributes", nil, addAttr(attribute{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, asn1.TagUTF8String, "uid"})},

		{"no authority key identifier", "authority-key", []string{"e_ext_authority_key_identifier_no_key_identifier"}, drop(oidExtAKI)},
		{"authority key of another CA", "authority-key", nil, replace(oidExtAKI, false, func(b *cryptobyte.Builder) { authorityKey(b, &form{authorityKeyID: make([]byte, 20)}) })},
		{"no subject key identifier", "subject-key", []string{"w_ext_subject_key_identifier_missing_sub_cert"}, drop(oidExtSKI)},
		{"no key usage", "key-usage", []string{"e_etsi_natural_person_key_usage_mandatory"}, drop(oidExtKeyUsage)},
		{"digitalSignature besides", "key-usage", []string{"w_etsi_natural_person_key_usage_preferred_values"}, withUsage(0, 1)},
		{"digitalSignature instead", "key-usage", nil, withUsage(0)},
		{"key usage not critical", "critical", []string{"w_ext_key_usage_not_critical"}, criticalIs(oidExtKeyUsage, false)},
		{"policies critical", "critical", nil, criticalIs(oidExtPolicies, true)},
		{"qcStatements critical", "critical", []string{"e_qcstatem_etsi_present_qcs_critical"}, criticalIs(oidExtQcStatements, true)},
		{"CA bit", "unexpected-extension", nil, raw(oidExtBasic, true, []byte{0x30, 3, 1, 1, 0xff})},
		{"no policies", "policies", nil, drop(oidExtPolicies)},
		{"QCP-n instead of QCP-n-qscd", "qc-policy", nil, withPolicies(policy{asn1.ObjectIdentifier{0, 4, 0, 194112, 1, 0}, ""}, policy{PolicyTestPerson, "https://x.example/cps"})},
		{"two policies of EN 319 411-2", "qc-policy", nil, withPolicies(policy{PolicyQCPNaturalQSCD, ""}, policy{asn1.ObjectIdentifier{0, 4, 0, 194112, 1, 0}, ""}, policy{PolicyTestPerson, "https://x.example/cps"})},
		{"no policy of our own", "own-policy", nil, withPolicies(policy{PolicyQCPNaturalQSCD, ""})},
		{"own policy without CPS", "own-policy", nil, withPolicies(policy{PolicyQCPNaturalQSCD, ""}, policy{PolicyTestPerson, ""})},
		{"a stranger's policy", "own-policy", nil, withPolicies(policy{PolicyQCPNaturalQSCD, ""}, policy{PolicyTestPerson, "https://x.example/cps"}, policy{oidPolicyAny, ""})},
		{"no CRL address", "crl-address", nil, drop(oidExtCRLDP)},
		{"no issuer address", "issuer-address", nil, drop(oidExtAIA)},
		{"two OCSP addresses", "ocsp-address", nil, access(oidAccessCAIssuers, oidAccessOCSP, oidAccessOCSP)},
		{"no OCSP address", "ocsp-address", nil, access(oidAccessCAIssuers)},
		{"only an OCSP address", "issuer-address", nil, access(oidAccessOCSP)},
		{"extended key usage", "unexpected-extension", []string{"e_key_usage_and_extended_key_usage_inconsistent"}, replace(oidExtEKU, false, oidSequence(oidEKUClientAuth))},
		{"alternative name", "unexpected-extension", nil, raw(oidExtSAN, false, []byte{0x30, 0x0b, 0x81, 0x09, 'a', '@', 'b', '.', 'e', 'x', 'a', 'm', 'p'})},
		{"noRevAvail", "unexpected-extension", nil, raw(oidExtNoRevAvail, false, []byte{5, 0})},
		{"validity assured", "unexpected-extension", nil, raw(oidExtValidityAssured, false, []byte{5, 0})},
		{"inhibitAnyPolicy", "unexpected-extension", nil, raw(oidExtInhibitAny, true, []byte{2, 1, 0})},
		{"unknown extension", "unexpected-extension", nil, raw(asn1.ObjectIdentifier{1, 2, 3, 4}, false, []byte{5, 0})},

		{"no qcStatements", "qc-statements", nil, drop(oidExtQcStatements)},
		{"no QcCompliance", "qc-compliance", []string{"e_qcstatem_mandatory_etsi_statems"}, statements(sscdOK, typeOK, pdsOK)},
		{"no QcSSCD", "qc-sscd", nil, statements(qcOK, typeOK, pdsOK)},
		{"no QcType", "qc-type", nil, statements(qcOK, sscdOK, pdsOK)},
		{"QcType eseal", "qc-type", nil, statements(qcOK, sscdOK, statement(oidQcType, oidSequence(typeSeal)), pdsOK)},
		{"QcType esign and eseal", "qc-type", []string{"e_qcstatem_qctype_oneonly"}, statements(qcOK, sscdOK, statement(oidQcType, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 18})
			b.AddASN1ObjectIdentifier(oidQcTypeESign)
			b.AddASN1ObjectIdentifier(typeSeal)
		}), pdsOK)},
		{"no QcPDS", "qc-pds", nil, statements(qcOK, sscdOK, typeOK)},
		{"QcPDS over http", "qc-pds", []string{"e_qcstatem_pds_must_have_https_only"}, statements(qcOK, sscdOK, typeOK, statement(oidQcPDS, pdsList([]PDS{{"http://x.example/pds", "en"}})))},
		{"QcPDS in capitals", "qc-pds", []string{"w_qcstatem_qcpds_lang_case"}, statements(qcOK, sscdOK, typeOK, statement(oidQcPDS, pdsList([]PDS{{"https://x.example/pds", "EN"}})))},
		{"QcPDS without English", "qc-pds", []string{"e_qcstatem_qcpds_valid"}, statements(qcOK, sscdOK, typeOK, statement(oidQcPDS, pdsList([]PDS{{"https://x.example/pds", "nl"}})))},
		{"QcIdentMethod of another kind", "qc-ident-method", nil, statements(qcOK, sscdOK, typeOK, pdsOK, statement(oidQcIdentMethod, oidSequence(typeSeal)))},
		{"QcCClegislation", "qc-legislation", nil, statements(qcOK, sscdOK, typeOK, pdsOK, statement(oidQcCClegislation, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 4, 0x13, 2, 'B', 'E'})
		}))},
		{"QcQSCDlegislation", "qc-qscd-legislation", nil, statements(qcOK, sscdOK, typeOK, pdsOK, statement(oidQcQSCDlegislation, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 4, 0x13, 2, 'C', 'H'})
		}))},
		{"semantics without scheme", "qc-semantics", nil, statements(semanticsOK, qcOK, sscdOK, typeOK, pdsOK)},
		{"statement twice", "qc-duplicate", []string{"e_duplicate_etsi_qcstatement"}, statements(qcOK, qcOK, sscdOK, typeOK, pdsOK)},
		{"unknown statement", "qc-unknown", nil, statements(qcOK, sscdOK, typeOK, pdsOK, statement(asn1.ObjectIdentifier{1, 2, 3}, nil))},
	}
}

// access is an AIA with these methods, each at http://x.exam/.
func access(methods ...asn1.ObjectIdentifier) func(*layout) {
	return replace(oidExtAIA, false, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0x30, byte(len(methods) * 28)})
		for _, oid := range methods {
			b.AddBytes([]byte{0x30, 26})
			b.AddASN1ObjectIdentifier(oid)
			b.AddBytes([]byte{0x86, 14})
			b.AddBytes([]byte("http://x.exam/"))
		}
	})
}

func mustName(s Subject) []byte {
	der, err := s.attributes().encode()
	if err != nil {
		return nil
	}
	return der
}

// TestEveryRowOfThePersonProfile: one broken certificate gives exactly that
// finding, nothing is signed with the CA's key, and every rule that applies to
// a person has a row.
func TestEveryRowOfThePersonProfile(t *testing.T) {
	p := newPKI(t, nil, nil)
	before := p.caKey.n.Load()
	key := ecKey(t, p256)
	seen := map[string]bool{}
	for _, m := range personMutations() {
		seen[m.rule] = true
		checkMutation(t, p.issuing, p.personOrder(t, key.Public()), m)
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the CA key signed %d times", n-before)
	}
	seen["sandbox-issuer"], seen["test-policy"] = true, true                                                   // TestRealAndSandboxDoNotMix
	seen["algorithm"], seen["public-key"], seen["version"], seen["issuer-attributes"] = true, true, true, true // tests of their own below
	seen["algorithm-end"] = true                                                                               // TestCertificatesDoNotOutliveTheirAlgorithm
	for _, r := range rules {
		if (r.profiles == nil || slices.Contains(r.profiles, NaturalPerson)) && !seen[r.id] {
			t.Errorf("rule %s has no mutation", r.id)
		}
	}
}

func checkMutation(t *testing.T, issuer *x509.Certificate, o Order, m mutation) {
	t.Helper()
	l, err := newLayout(issuer, o)
	if err != nil {
		t.Fatal(err)
	}
	m.change(l)
	prepared, err := l.prepare(issuer, o)
	e, ok := errors.AsType[*LintError](err)
	if !ok || prepared != nil {
		t.Errorf("%s: %v, want a finding", m.row, err)
		return
	}
	var got []string
	for _, f := range e.Findings {
		got = append(got, f.Rule)
		if strings.Contains(f.Detail, "Jansen") || f.Clause == "" {
			t.Errorf("%s: finding tells a name or has no clause: %v", m.row, f)
		}
	}
	want := append([]string{m.rule}, m.zlint...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: findings %v, want %v", m.row, got, want)
	}
}

func TestRowsOfCAAndTSUProfiles(t *testing.T) {
	p := newPKI(t, nil, nil)
	key := ecKey(t, p256)
	ca, tsu, root := p.caOrder(), p.tsuOrder(key.Public()), p.rootOrder()
	for _, tc := range []struct {
		order Order
		mutation
	}{
		{root, mutation{"root without CA bit", "basic-constraints", []string{"e_ext_key_usage_cert_sign_without_ca", "n_ecdsa_ee_invalid_ku"}, drop(oidExtBasic)}},
		{root, mutation{"root with an address", "unexpected-extension", nil, withPolicies(policy{oidPolicyAny, ""})}},
		{ca, mutation{"issuing CA without organisation", "subject-organisation", nil, dropAttr(oidOrganisation)}},
		{ca, mutation{"issuing CA without path length", "basic-constraints", nil, withContent(oidExtBasic, basicConstraints(-1))}},
		{ca, mutation{"issuing CA with path length 1", "basic-constraints", nil, withContent(oidExtBasic, basicConstraints(1))}},
		{ca, mutation{"basic constraints not critical", "critical", []string{"e_basic_constraints_not_critical"}, criticalIs(oidExtBasic, false)}},
		{ca, mutation{"issuing CA that also signs documents", "key-usage", nil, withUsage(1, 5, 6)}},
		{ca, mutation{"issuing CA with an explicit policy", "policies", nil, withPolicies(policy{PolicyQCPNaturalQSCD, ""})}},
		{ca, mutation{"issuing CA without SANDBOX", "sandbox", nil, attr(oidCommonName, func(a *attribute) { a.value = "Tekend Issuing CA" })}},
		{ca, mutation{"issuing CA with noRevAvail", "unexpected-extension", nil, raw(oidExtNoRevAvail, false, []byte{5, 0})}},
		{tsu, mutation{"TSU without extended key usage", "extended-key-usage", nil, drop(oidExtEKU)}},
		{tsu, mutation{"TSU, extended key usage not critical", "critical", nil, criticalIs(oidExtEKU, false)}},
		{tsu, mutation{"TSU with a second purpose", "extended-key-usage", nil, replace(oidExtEKU, true, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 20})
			b.AddASN1ObjectIdentifier(oidEKUTimeStamping)
			b.AddASN1ObjectIdentifier(oidEKUClientAuth)
		})}},
		{tsu, mutation{"TSU without NCP+", "ncp-policy", nil, withPolicies(policy{PolicyTestTSU, "https://x.example/cps"})}},
		{tsu, mutation{"TSU without our policy", "own-policy", nil, withPolicies(policy{oidPolicyNCPPlus, ""})}},
		{tsu, mutation{"TSU key outlives its certificate", "key-period", nil, replace(oidExtKeyPeriod, false, func(b *cryptobyte.Builder) {
			keyPeriod(b, &form{Order: Order{NotBefore: tsu.NotBefore, PrivateKeyEnd: tsu.NotAfter.AddDate(0, 0, 1)}})
		})}},
		{tsu, mutation{"TSU for signing people's documents", "key-usage", nil, withUsage(1)}},
	} {
		issuer := p.root
		if tc.order.Profile == Root {
			issuer = nil
		}
		checkMutation(t, issuer, tc.order, tc.mutation)
	}
}

// TestVersion: readers do not look for extensions in a version 1 certificate,
// so more than one rule objects; the row's own must be among them.
func TestVersion(t *testing.T) {
	p := newPKI(t, nil, nil)
	l, err := newLayout(p.issuing, p.personOrder(t, ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	l.version = 0
	_, err = l.prepare(p.issuing, Order{Profile: NaturalPerson})
	e, ok := errors.AsType[*LintError](err)
	if !ok || !slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Rule == "version" }) {
		t.Errorf("%v", err)
	}
}

func TestIssuerAttributes(t *testing.T) {
	p := newPKI(t, nil, nil)
	l, err := newLayout(p.issuing, p.personOrder(t, ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	bare := *p.issuing
	bare.RawSubject = mustName(Subject{Country: "BE", Organisation: "Tekend SANDBOX", CommonName: "SANDBOX CA"})
	l.issuer = bare.RawSubject
	_, err = l.prepare(&bare, Order{Profile: NaturalPerson})
	if e, ok := errors.AsType[*LintError](err); !ok || len(e.Findings) != 1 || e.Findings[0].Rule != "issuer-attributes" {
		t.Errorf("%v", err)
	}
}

// TestKeysAndAlgorithms: keys outside the table are refused before a
// certificate is built, and a certificate with them is found by the lint.
func TestKeysAndAlgorithms(t *testing.T) {
	p := newPKI(t, nil, nil)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.PublicKey{"RSA-2048": weak.Public(), "P-224": ecKey(t, elliptic.P224()).Public(), "P-521": ecKey(t, elliptic.P521()).Public()} {
		if _, err := Prepare(p.issuing, p.personOrder(t, key)); err == nil {
			t.Errorf("%s is certified", name)
		}
		l, err := newLayout(p.issuing, p.personOrder(t, ecKey(t, p256).Public()))
		if err != nil {
			t.Fatal(err)
		}
		if l.spki, err = SPKI(key); err != nil {
			t.Fatal(err)
		}
		_, err = l.prepare(p.issuing, Order{Profile: NaturalPerson})
		e, ok := errors.AsType[*LintError](err)
		if !ok || !slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Rule == "public-key" }) {
			t.Errorf("%s: %v", name, err)
		}
	}
	checkMutation(t, p.issuing, p.personOrder(t, ecKey(t, p256).Public()), mutation{"signed with SHA-384", "algorithm", nil, func(l *layout) {
		l.sig = algorithm{x509.ECDSAWithSHA384, oidECDSAWithSHA384, crypto.SHA384, 256, forEver}
	}})
}

// TestSkippedLintsExist: an exception for a lint that does not exist (any
// more) would hide nothing and mislead.
func TestSkippedLintsExist(t *testing.T) {
	registry, err := lintRegistry()
	if err != nil {
		t.Fatal(err)
	}
	names := registry.Names()
	if len(names) < 100 {
		t.Errorf("only %d lints", len(names))
	}
	for skipped, why := range notApplied {
		if why == "" || slices.Contains(names, skipped) {
			t.Errorf("%s: reason %q, still applied %v", skipped, why, slices.Contains(names, skipped))
		}
	}
}
