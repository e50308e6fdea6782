package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// TestTheTableIsWhole: every row has a rule, a clause and a profile; every
// profile has its facts; what the table says of an extension it says once.
func TestTheTableIsWhole(t *testing.T) {
	for _, r := range table {
		if r.rule == "" || r.clause == "" || len(r.in) == 0 {
			t.Errorf("row %v", r.oid)
		}
		for p, c := range r.in {
			if profiles[p].title == "" || c.write == nil {
				t.Errorf("row %v: profile %v", r.oid, p)
			}
			n := 0
			for _, other := range table {
				if _, has := other.in[p]; has && other.oid.Equal(r.oid) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%v stands %d times in %v", r.oid, n, p)
			}
		}
	}
	for p := Root; p <= Responder; p++ {
		if p.String() == "no profile" {
			t.Errorf("profile %d has no name", p)
		}
	}
	if Profile(0).String() != "no profile" || (Responder+1).String() != "no profile" {
		t.Error("a profile that is none has a name")
	}
}

// TestOneTime: the short-term profile says that it is valid for its whole life
// and that there is no revocation information, and gives no address of any.
func TestOneTime(t *testing.T) {
	p := newPKI(t, nil, nil)
	der, err := Issue(Issuer{p.issuing, p.caKey}, p.oneTimeOrder(t, ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, der)
	if len(c.CRLDistributionPoints) > 0 || len(c.OCSPServer) > 0 || len(c.IssuingCertificateURL) != 1 {
		t.Errorf("addresses: %v %v %v", c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL)
	}
	for _, oid := range []asn1.ObjectIdentifier{oidExtValidityAssured, oidExtNoRevAvail} {
		if e := extensionOf(c, oid); e == nil || e.Critical || !bytes.Equal(e.Value, []byte{5, 0}) {
			t.Errorf("%v: %+v", oid, e)
		}
	}
	if err := IsQualifiedNaturalPerson(c); err != nil {
		t.Error(err)
	}
	if err := CheckPath(c, []*x509.Certificate{p.issuing}, p.roots(), p.now, Signing); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	root, issuing := writePEM(t, dir+"/root.pem", "CERTIFICATE", p.root.Raw), writePEM(t, dir+"/ca.pem", "CERTIFICATE", p.issuing.Raw)
	leaf := writePEM(t, dir+"/leaf.pem", "CERTIFICATE", der)
	if out, err := openssl(t, "verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, "-purpose", "any", leaf); err != nil {
		t.Errorf("openssl: %v %s", err, out)
	}
	if out, err := openssl(t, "x509", "-in", leaf, "-noout", "-text"); err != nil || !strings.Contains(out, "No Revocation Available") && !strings.Contains(out, "2.5.29.56") {
		t.Errorf("openssl: %v %s", err, out)
	}
}

func extensionOf(c *x509.Certificate, oid asn1.ObjectIdentifier) *struct {
	Critical bool
	Value    []byte
} {
	for _, e := range c.Extensions {
		if e.Id.Equal(oid) {
			return &struct {
				Critical bool
				Value    []byte
			}{e.Critical, e.Value}
		}
	}
	return nil
}

func TestRowsOfOneTimeAndResponder(t *testing.T) {
	p := newPKI(t, nil, nil)
	before := p.caKey.n.Load()
	key := ecKey(t, p256)
	once, responder, person := p.oneTimeOrder(t, key.Public()), p.responderOrder(key.Public()), p.personOrder(t, key.Public())
	crlPoint := replace(oidExtCRLDP, false, func(b *cryptobyte.Builder) {
		crlAddress(b, &form{Order: Order{Publication: Publication{CRLURL: "http://x.exam/c"}}})
	})
	for _, tc := range []struct {
		order Order
		mutation
	}{
		{once, mutation{"lives a second more than a day", "validity", nil, func(l *layout) { l.notAfter = l.notBefore.Add(24*time.Hour + time.Second) }}},
		{once, mutation{"no validity-assured", "validity-assured", nil, drop(oidExtValidityAssured)}},
		{once, mutation{"validity-assured critical", "critical", nil, criticalIs(oidExtValidityAssured, true)}},
		{once, mutation{"validity-assured with a value", "validity-assured", nil, replace(oidExtValidityAssured, false, func(b *cryptobyte.Builder) { b.AddASN1Boolean(true) })}},
		{once, mutation{"no noRevAvail", "no-revocation", nil, drop(oidExtNoRevAvail)}},
		{once, mutation{"a CRL's address", "unexpected-extension", nil, crlPoint}},
		{once, mutation{"an OCSP address", "ocsp-address", nil, access(oidAccessCAIssuers, oidAccessOCSP)}},
		{once, mutation{"no QcSSCD", "qc-sscd", nil, statements(qcOK, typeOK, pdsOK)}},

		{responder, mutation{"no nocheck", "ocsp-nocheck", nil, drop(oidExtOCSPNoCheck)}},
		{responder, mutation{"nocheck critical", "critical", nil, criticalIs(oidExtOCSPNoCheck, true)}},
		{responder, mutation{"no extended key usage", "extended-key-usage", nil, drop(oidExtEKU)}},
		{responder, mutation{"time-stamping besides", "extended-key-usage", nil, replace(oidExtEKU, false, func(b *cryptobyte.Builder) {
			b.AddBytes([]byte{0x30, 20})
			b.AddASN1ObjectIdentifier(oidEKUOCSPSigning)
			b.AddASN1ObjectIdentifier(oidEKUTimeStamping)
		})}},
		{responder, mutation{"signs certificates too", "key-usage", []string{"e_ext_key_usage_cert_sign_without_ca", "e_key_usage_and_extended_key_usage_inconsistent", "n_ecdsa_ee_invalid_ku"}, withUsage(digitalSignature, keyCertSign)}},
		{responder, mutation{"91 days", "validity", nil, func(l *layout) { l.notAfter = l.notBefore.Add(91 * day) }}},
		{responder, mutation{"a CRL's address", "unexpected-extension", nil, crlPoint}},
		{responder, mutation{"an OCSP address", "ocsp-address", nil, access(oidAccessCAIssuers, oidAccessOCSP)}},
		{responder, mutation{"no organisation", "subject-organisation", nil, dropAttr(oidOrganisationID)}},

		{person, mutation{"nocheck in a person's", "unexpected-extension", nil, raw(oidExtOCSPNoCheck, false, []byte{5, 0})}},
	} {
		checkMutation(t, p.issuing, tc.order, tc.mutation)
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the CA key signed %d times", n-before)
	}
}

// TestResponderJudgedByOpenSSL: openssl takes the responder's certificate for
// what it is.
func TestResponderJudgedByOpenSSL(t *testing.T) {
	p := newPKI(t, nil, nil)
	der, err := Issue(Issuer{p.issuing, p.caKey}, p.responderOrder(ecKey(t, p256).Public()))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, issuing := writePEM(t, dir+"/root.pem", "CERTIFICATE", p.root.Raw), writePEM(t, dir+"/ca.pem", "CERTIFICATE", p.issuing.Raw)
	leaf := writePEM(t, dir+"/leaf.pem", "CERTIFICATE", der)
	if out, err := openssl(t, "verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, leaf); err != nil {
		t.Errorf("openssl: %v %s", err, out)
	}
	out, err := openssl(t, "x509", "-in", leaf, "-noout", "-text")
	for _, want := range []string{"OCSP Signing", "OCSP No Check", "Digital Signature"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("openssl does not show %q: %v", want, err)
		}
	}
}

// TestNationalNumber: a number of an ETSI scheme stands in a certificate only
// with its legal basis, and then the certificate states the semantics.
func TestNationalNumber(t *testing.T) {
	p := newPKI(t, nil, nil)
	o := p.personOrder(t, ecKey(t, p256).Public())
	who, err := NewPerson("Jan Jansen", "Jan", "Jansen", "BEL")
	if err != nil {
		t.Fatal(err)
	}
	if who, err = who.WithNumber(SchemePNOBE, "85.07.30-033.28"); err != nil || who.SerialNumber != "PNOBE-85073003328" {
		t.Fatalf("%v %s", err, who.SerialNumber)
	}
	o.Subject = who.Subject()
	before := p.caKey.n.Load()
	if _, err := Issue(Issuer{p.issuing, p.caKey}, o); err == nil || strings.Contains(err.Error(), "85073003328") {
		t.Errorf("a national number without legal basis: %v", err)
	}
	opaque := p.personOrder(t, ecKey(t, p256).Public())
	opaque.LegalBasis = "a law"
	if _, err := Issue(Issuer{p.issuing, p.caKey}, opaque); err == nil {
		t.Error("a legal basis for an opaque number")
	}
	if n := p.caKey.n.Load(); n != before {
		t.Errorf("the key signed %d times", n-before)
	}
	o.LegalBasis = "law of 8 August 1983, Art 5"
	der, err := Issue(Issuer{p.issuing, p.caKey}, o)
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, der)
	list, err := statementsOf(c)
	if err != nil || !list[0].id.Equal(oidQcSemantics) || !bytes.Equal(list[0].info, mustHex(t, "3009060704008bec490101")) {
		t.Errorf("%v %v", err, list)
	}
	if found := Lint(NaturalPerson, der, p.issuing); len(found) > 0 {
		t.Errorf("%v", found)
	}
	checkMutation(t, p.issuing, o, mutation{"scheme without semantics", "qc-semantics", nil, statements(qcOK, sscdOK, typeOK, pdsOK)})
	checkMutation(t, p.issuing, o, mutation{"other semantics", "qc-semantics", nil,
		statements(statement(oidQcSemantics, oidSequence(asn1.ObjectIdentifier{0, 4, 0, 194121, 1, 2})), qcOK, sscdOK, typeOK, pdsOK)})
}

func TestNumbersOfSchemes(t *testing.T) {
	for _, tc := range []struct {
		scheme, number, want string
	}{
		{"PNOBE", "85073003328", "PNOBE-85073003328"},
		{"PNOBE", "00012556778", ""}, // neither check
		{"PNOBE", belgian(t, "000125567", true), "PNOBE-" + belgian(t, "000125567", true)},
		{"PNOBE", "85073003329", ""},
		{"PNOBE", "8507300332", ""},
		{"PNOBE", "85073003328a", ""},
		{"PNOBE", "", ""},
		{"IDCBE", "592123456789", "IDCBE-592123456789"},
		{"TINNL", "123456782", "TINNL-123456782"},
		{"PNOXX", "1", ""},
		{"NTRBE", "0123456789", ""},
		{"PNOBE-", "1", ""},
		{"PASFR", strings.Repeat("1", 41), ""},
		{"PASFR", "", ""},
	} {
		got, err := Person{}.WithNumber(tc.scheme, tc.number)
		if (err == nil) != (tc.want != "") || got.SerialNumber != tc.want {
			t.Errorf("%s %s: %q %v", tc.scheme, tc.number, got.SerialNumber, err)
		}
	}
}

// belgian gives nine digits with their check digits.
func belgian(t *testing.T, nine string, from2000 bool) string {
	t.Helper()
	for check := range 100 {
		s := nine + string([]byte{byte('0' + check/10), byte('0' + check%10)})
		if _, ok := belgianNumber(s); !ok {
			continue
		}
		var n int64
		for _, c := range nine {
			n = n*10 + int64(c-'0')
		}
		if old := int64(check) == 97-n%97; old != from2000 {
			return s
		}
	}
	t.Fatal("no check digits")
	return ""
}

// TestRealAndSandboxDoNotMix: what is real has no mark, no policy of the test
// arc and a real issuer; what is not has the mark and a sandbox's issuer.
func TestRealAndSandboxDoNotMix(t *testing.T) {
	sandboxed, production := newPKI(t, nil, nil), newRealPKI(t)
	policyOID := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	key := ecKey(t, p256)
	order := func(change func(o *Order)) Order {
		o := production.personOrder(t, key.Public())
		who, err := NewRealPerson("Jan Jansen", "Jan", "Jansen", "BEL")
		if err != nil {
			t.Fatal(err)
		}
		o.Subject, o.Real, o.Policy = who.Subject(), true, policyOID
		if change != nil {
			change(&o)
		}
		return o
	}
	der, err := Issue(Issuer{production.issuing, production.caKey}, order(nil))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, der)
	if strings.Contains(c.Subject.CommonName, SandboxMark) || !slices.ContainsFunc(c.PolicyIdentifiers, policyOID.Equal) {
		t.Errorf("%v %v", c.Subject, c.PolicyIdentifiers)
	}
	if found := Lint(NaturalPerson, der, production.issuing); len(found) > 0 {
		t.Errorf("%v", found)
	}
	for name, tc := range map[string]struct {
		issuer *x509.Certificate
		order  Order
		rule   string // "": refused before the lint
	}{
		"no policy":                {production.issuing, order(func(o *Order) { o.Policy = nil }), ""},
		"policy of the test arc":   {production.issuing, order(func(o *Order) { o.Policy = PolicyTestPerson }), ""},
		"the test arc itself":      {production.issuing, order(func(o *Order) { o.Policy = oidTestArc }), ""},
		"a real one with the mark": {production.issuing, order(func(o *Order) { o.Subject.CommonName += " (SANDBOX)" }), "sandbox"},
		"below a sandbox's CA":     {sandboxed.issuing, order(nil), "sandbox-issuer"},
		"sandbox without mark":     {sandboxed.issuing, order(func(o *Order) { o.Real = false }), "sandbox"},
		"sandbox below a real CA":  {production.issuing, production.personOrder(t, key.Public()), "sandbox-issuer"},
	} {
		_, err := Prepare(tc.issuer, tc.order)
		e, linted := errors.AsType[*LintError](err)
		switch {
		case err == nil:
			t.Errorf("%s: accepted", name)
		case linted != (tc.rule != ""):
			t.Errorf("%s: %v", name, err)
		case linted && (len(e.Findings) != 1 || e.Findings[0].Rule != tc.rule):
			t.Errorf("%s: %v, want %s", name, e.Findings, tc.rule)
		}
	}
	// Whoever lints without the order finds the test arc too.
	l, err := newLayout(production.issuing, order(nil))
	if err != nil {
		t.Fatal(err)
	}
	withPolicies(policy{PolicyQCPNaturalQSCD, ""}, policy{PolicyTestPerson, "https://x.example/cps"})(l)
	tbs, err := l.encode()
	if err != nil {
		t.Fatal(err)
	}
	twin, err := l.twin(tbs)
	if err != nil {
		t.Fatal(err)
	}
	if found := Lint(NaturalPerson, twin, production.issuing); len(found) != 1 || found[0].Rule != "test-policy" {
		t.Errorf("the test policy in a real one: %v", found)
	}
	tsu := production.tsuOrder(key.Public())
	tsu.Real, tsu.Subject.CommonName = true, "House Time-Stamping Unit"
	if _, err := Prepare(production.root, tsu); err == nil {
		t.Error("a real TSU without a policy")
	}
	tsu.Policy = policyOID
	if _, err := Prepare(production.root, tsu); err != nil {
		t.Error(err)
	}
}

// newRealPKI is newPKI without the mark.
func newRealPKI(t *testing.T) *pki {
	t.Helper()
	p := newPKI(t, nil, nil)
	root, ca := p.rootOrder(), p.caOrder()
	root.Real, root.Subject.CommonName, root.Subject.Organisation = true, "House Root CA", "House"
	ca.Real, ca.Subject.CommonName, ca.Subject.Organisation = true, "House Issuing CA", "House"
	der, err := Issue(Issuer{Signer: p.rootKey}, root)
	if err != nil {
		t.Fatal(err)
	}
	p.root = parse(t, der)
	if der, err = Issue(Issuer{p.root, p.rootKey}, ca); err != nil {
		t.Fatal(err)
	}
	p.issuing = parse(t, der)
	return p
}

// TestOwnPolicyOfASandbox: a house that rehearses puts its own policy into
// certificates that still carry the mark.
func TestOwnPolicyOfASandbox(t *testing.T) {
	p := newPKI(t, nil, nil)
	o := p.personOrder(t, ecKey(t, p256).Public())
	o.Policy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	c := parse(t, func() []byte {
		der, err := Issue(Issuer{p.issuing, p.caKey}, o)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}())
	if !slices.ContainsFunc(c.PolicyIdentifiers, o.Policy.Equal) || slices.ContainsFunc(c.PolicyIdentifiers, PolicyTestPerson.Equal) {
		t.Errorf("%v", c.PolicyIdentifiers)
	}
}
