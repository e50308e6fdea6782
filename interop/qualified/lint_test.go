//go:build interop

package qualified

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/interop/sandboxtest"
)

// etsiClass is the class of pkilint's ETSI linter for each kind of certificate.
// It has classes for end entities only, so CAs are left to its RFC 5280 linter;
// a time-stamping unit and an OCSP responder are legal persons to it.
var etsiClass = map[certs.Profile]string{
	certs.Root:          "",
	certs.IssuingCA:     "",
	certs.TSU:           "NCP-LEGAL-PERSON-CERTIFICATE",
	certs.Responder:     "NCP-LEGAL-PERSON-CERTIFICATE",
	certs.NaturalPerson: "QCP-N-QSCD-EIDAS-FINAL-CERTIFICATE",
	certs.OneTime:       "QCP-N-QSCD-EIDAS-FINAL-CERTIFICATE",
}

// accepted are findings that we do not follow, and why. Everything else that
// pkilint calls a notice or worse fails.
var accepted = []struct {
	code    string
	kinds   []certs.Profile
	sandbox bool // only where addresses are loopback ones
	why     string
}{
	{"pkix.certificate_policies_policy_has_qualifier", []certs.Profile{certs.TSU, certs.NaturalPerson, certs.OneTime}, false, "the practice statement's address; RFC 5280 §4.2.1.4 advises against qualifiers and defines this one"},
	{"etsi.en_319_412_2.gen-4.3.10-1.eku_extension_is_critical", []certs.Profile{certs.TSU}, false, "RFC 3161 §2.3 asks for a critical one; EN 319 412-2 is not about units"},
	{"etsi.en_319_412_2.gen-4.3.11-2.crldp_extension_missing", []certs.Profile{certs.OneTime, certs.Responder}, false, "noRevAvail (EN 319 412-2 GEN-4.3.11-2A, newer than pkilint's text), ocsp-nocheck (RFC 6960 §4.2.2.2.1)"},
	{"etsi.en_319_412_2.gen-4.4.1-8.ocsp_aia_access_method_absent", []certs.Profile{certs.OneTime, certs.Responder}, false, "as above, GEN-4.4.1-8A"},
	{"etsi.en_319_412_2.certificate_policies_extension_absent", []certs.Profile{certs.Responder}, false, "RFC 6960 asks for none; EN 319 412-2 is not about responders"},
	{"etsi.internal_domain_name", nil, true, "a sandbox publishes on 127.0.0.1"},
}

// paper is something that is linted.
type paper struct {
	name string
	kind certs.Profile
	args []string // LINTER TAB ARGUMENTS
}

// certificate gives both linters' orders for a certificate in a file.
func certificate(name string, kind certs.Profile, path string) paper {
	p := paper{name, kind, []string{"pkix\t" + path}}
	if c := etsiClass[kind]; c != "" {
		p.args = append(p.args, "etsi\t-t "+c+" "+path)
	}
	return p
}

// lint has pkilint judge all papers and fails on each finding that is not accepted.
func lint(t *testing.T, papers []paper, sandbox bool) {
	t.Helper()
	var cases strings.Builder
	kinds := map[string]certs.Profile{}
	n := 0
	for _, p := range papers {
		kinds[p.name] = p.kind
		for _, a := range p.args {
			fmt.Fprintf(&cases, "%s\t%s\n", p.name, a)
			n++
		}
	}
	file := filepath.Join(t.TempDir(), "papers")
	write(t, file, []byte(cases.String()))
	cmd := sandboxtest.Python(t, "lint.py", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pkilint: %v; run scripts/install test, make judges\n%s", err, stderr.String())
	}
	if !strings.HasSuffix(string(out), "judged\t"+strconv.Itoa(n)+"\n") {
		t.Fatalf("pkilint did not judge %d papers:\n%s", n, out)
	}
	used := make([]int, len(accepted))
findings:
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if f[0] == "judged" {
			break
		}
		for i, a := range accepted {
			if f[3] == a.code && (a.kinds == nil || slices.Contains(a.kinds, kinds[f[0]])) && (sandbox || !a.sandbox) {
				used[i]++
				continue findings
			}
		}
		t.Errorf("%s: %s", f[0], strings.Join(f[1:], " "))
	}
	for i, a := range accepted {
		if used[i] == 0 && a.sandbox == sandbox {
			t.Errorf("pkilint has no objection any more: take %s off the list", a.code)
		}
		if used[i] > 0 {
			t.Logf("%d times accepted: %s (%s)", used[i], a.code, a.why)
		}
	}
	t.Logf("pkilint 0.13.3: %d papers, %d judgements", len(papers), n)
}

// lintWorld is a PKI of our building blocks with names, policies and addresses
// as a real one has them.
type lintWorld struct {
	now           time.Time
	root, issuing certs.Issuer
	rootPub, pub  certs.Publication
	dir           string
	papers        []paper
}

// issue makes a certificate and keeps it for the linters.
func (w *lintWorld) issue(t *testing.T, name string, by certs.Issuer, o certs.Order) *x509.Certificate {
	t.Helper()
	if o.NotBefore.IsZero() {
		o.NotBefore = w.now
	}
	o.Real = true
	if o.Profile != certs.Root && o.Profile != certs.IssuingCA && o.Profile != certs.Responder {
		o.Policy = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1, int(o.Profile)} // the arc for examples, RFC 5612
	}
	der, err := certs.Issue(by, o)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	path := filepath.Join(w.dir, strings.ReplaceAll(name, " ", "-")+".pem")
	writePEM(t, path, "CERTIFICATE", der)
	p := certificate(name, o.Profile, path)
	if by.Cert != nil {
		issuer := filepath.Join(w.dir, "issuer-of-"+filepath.Base(path))
		writePEM(t, issuer, "CERTIFICATE", by.Cert.Raw)
		p.args = append(p.args, "chain\t"+issuer+" "+path)
	}
	w.papers = append(w.papers, p)
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func organisation(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend", OrganisationID: "NTRBE-0123456789", CommonName: cn}
}

func newLintWorld(t *testing.T) *lintWorld {
	t.Helper()
	w := &lintWorld{now: time.Now().Truncate(time.Second), dir: t.TempDir()}
	const base, cps = "http://pki.example.com/pki", "https://pki.example.com/pki/cps"
	w.rootPub, w.pub = certs.PublishedBy(base, "root", cps), certs.PublishedBy(base, "issuing-ca", cps)
	w.pub.PDS = []certs.PDS{{URL: "https://pki.example.com/pds-en.pdf", Language: "en"}, {URL: "https://pki.example.com/pds-nl.pdf", Language: "nl"}}
	rootKey, caKey := newKey(t), newKey(t)
	w.root.Signer, w.issuing.Signer = rootKey, caKey
	w.root.Cert = w.issue(t, "root", certs.Issuer{Signer: rootKey}, certs.Order{
		Profile: certs.Root, Subject: organisation("Root CA"), PublicKey: rootKey.Public(), NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.AddDate(20, 0, 0),
	})
	w.issuing.Cert = w.issue(t, "issuing CA", w.root, certs.Order{
		Profile: certs.IssuingCA, Subject: organisation("Issuing CA"), PublicKey: caKey.Public(), NotBefore: w.now.Add(-time.Hour), NotAfter: w.now.AddDate(10, 0, 0), Publication: w.rootPub,
	})
	return w
}

// person issues a certificate of a natural person.
func (w *lintWorld) person(t *testing.T, name string, who certs.Person, key crypto.PublicKey, change func(*certs.Order)) *x509.Certificate {
	t.Helper()
	o := certs.Order{Profile: certs.NaturalPerson, Subject: who.Subject(), PublicKey: key, NotAfter: w.now.AddDate(2, 0, 0), Publication: w.pub, Identified: true}
	if change != nil {
		change(&o)
	}
	return w.issue(t, name, w.issuing, o)
}

// TestPkilintFindsNothing: every kind of certificate, CRL and OCSP answer that
// our building blocks make, with addresses as outside a sandbox.
func TestPkilintFindsNothing(t *testing.T) {
	w := newLintWorld(t)
	key := newKey(t)
	w.issue(t, "time-stamping unit", w.root, certs.Order{
		Profile: certs.TSU, Subject: organisation("Time-Stamping Unit 1"), PublicKey: key.Public(), NotAfter: w.now.AddDate(6, 0, 0), PrivateKeyEnd: w.now.AddDate(2, 0, 0), Publication: w.rootPub,
	})
	responderKey := newKey(t)
	responder := w.issue(t, "OCSP responder", w.issuing, certs.Order{
		Profile: certs.Responder, Subject: organisation("OCSP Responder 1"), PublicKey: responderKey.Public(), NotAfter: w.now.AddDate(0, 0, 30), Publication: w.pub,
	})
	leaf := w.people(t, key.Public())
	w.lists(t)
	w.answers(t, leaf, certs.OCSPResponder{Cert: responder, Signer: responderKey, Issuer: w.issuing.Cert})
	lint(t, w.papers, false)
}

// people are names and keys of all kinds.
func (w *lintWorld) people(t *testing.T, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	var leaf *x509.Certificate
	long := strings.Repeat("Maria ", 30)
	for name, n := range map[string][3]string{
		"Latin": {"", "Jan", "Jansen"}, "Greek": {"", "Αλέξανδρος", "Παπαδόπουλος"}, "Cyrillic": {"", "Мария", "Иванова"},
		"no given name": {"", "", "Sukarno"}, "long": {"", strings.TrimSpace(long), strings.Repeat("Fernández-", 9) + "Gómez"}, "diacritics": {"Zoë O’Brien", "Zoë", "O’Brien"},
	} {
		who, err := certs.NewRealPerson(n[0], n[1], n[2], "BEL")
		if err != nil {
			t.Fatal(err)
		}
		leaf = w.person(t, name, who, key, nil)
		if last := &w.papers[len(w.papers)-1]; name == "long" {
			// EN 319 412-2 NAT-4.2.4-18 lifts the 64 characters of RFC 5280.
			last.args = slices.DeleteFunc(last.args, func(a string) bool { return !strings.HasPrefix(a, "etsi\t") })
		}
	}
	who, err := certs.NewRealPerson("", "Jan", "Jansen", "BE")
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.person(t, "P-384", who, p384.Public(), nil)
	rsa3072, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	w.person(t, "RSA-3072", who, rsa3072.Public(), nil)
	w.person(t, "one-time", who, key, func(o *certs.Order) { o.Profile, o.NotAfter = certs.OneTime, w.now.Add(24*time.Hour) })
	w.person(t, "with a number", who, key, func(o *certs.Order) { o.LegalBasis, o.Subject.SerialNumber = "a test", "PNOBE-85073003328" })
	return leaf
}

// lists are CRLs of all forms.
func (w *lintWorld) lists(t *testing.T) {
	t.Helper()
	some := func(yield func(certs.Revoked) error) error {
		for i, reason := range []int{0, 1, 4, 5, 9} {
			if err := yield(certs.Revoked{Serial: big.NewInt(int64(1000 + i)), At: w.now.Add(-time.Minute), Reason: reason}); err != nil {
				return err
			}
		}
		return nil
	}
	none := func(func(certs.Revoked) error) error { return nil }
	for name, l := range map[string]struct {
		kind string
		spec certs.CRLSpec
	}{
		"CRL of the root": {"ARL", certs.CRLSpec{Issuer: w.root, Number: big.NewInt(1), NextUpdate: w.now.AddDate(1, 0, 0), Entries: none}},
		"CRL, empty":      {"CRL", certs.CRLSpec{Issuer: w.issuing, Number: big.NewInt(1), NextUpdate: w.now.Add(time.Hour), Entries: none, ExpiredCerts: w.now.AddDate(-1, 0, 0)}},
		"CRL":             {"CRL", certs.CRLSpec{Issuer: w.issuing, Number: big.NewInt(2), NextUpdate: w.now.Add(time.Hour), Entries: some, ExpiredCerts: w.now.AddDate(-1, 0, 0)}},
		"CRL of a shard":  {"CRL", certs.CRLSpec{Issuer: w.issuing, Number: big.NewInt(3), NextUpdate: w.now.Add(time.Hour), Entries: some, Shard: "http://pki.example.com/pki/crl/issuing-ca-7.crl"}},
		"last CRL":        {"CRL", certs.CRLSpec{Issuer: w.issuing, Number: big.NewInt(4), Last: true, Entries: some, ExpiredCerts: w.now.AddDate(-1, 0, 0)}},
	} {
		l.spec.ThisUpdate = w.now
		var out bytes.Buffer
		if err := certs.WriteCRL(&out, l.spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(w.dir, strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "")+".crl")
		write(t, path, out.Bytes())
		w.papers = append(w.papers, paper{name, 0, []string{"crl\t-t " + l.kind + " -p PKIX " + path}})
	}
}

// answers are OCSP answers of all kinds.
func (w *lintWorld) answers(t *testing.T, leaf *x509.Certificate, r certs.OCSPResponder) {
	t.Helper()
	id, err := certs.IDOf(leaf, w.issuing.Cert, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	base := certs.SingleStatus{ID: id, State: certs.StatusGood, ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour), ArchiveCutoff: w.now.AddDate(-1, 0, 0)}
	revoked, unknown := base, base
	revoked.State, revoked.RevokedAt, revoked.Reason = certs.StatusRevoked, w.now.Add(-time.Minute), 1
	unknown.State = certs.StatusUnknown
	for name, s := range map[string]certs.SingleStatus{"good": base, "revoked": revoked, "unknown": unknown} {
		for kind, nonce := range map[string][]byte{"": nil, " with nonce": bytes.Repeat([]byte{7}, 32)} {
			der, err := r.Answer([]certs.SingleStatus{s}, w.now, nonce)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			path := filepath.Join(w.dir, strings.ReplaceAll(name+kind, " ", "-")+".ocsp")
			write(t, path, der)
			w.papers = append(w.papers, paper{"OCSP answer " + name + kind, 0, []string{"ocsp\t" + path}})
		}
	}
}
