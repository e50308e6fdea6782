//go:build interop

package qualified

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/interop/sandboxtest"
)

// TestWhatASandboxPublishes has pkilint judge what a running sandbox gave to
// its people and to everybody: certificates, CRLs, OCSP answers. And the
// one-time certificate's signature is a qualified one.
func TestWhatASandboxPublishes(t *testing.T) {
	s := sandboxtest.Start(t)
	dir := t.TempDir()
	in := filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf")
	long, once := filepath.Join(dir, "long.pdf"), filepath.Join(dir, "once.pdf")
	s.Sign(t, "eu-document", long, in)
	if out, code := s.Tekend(t, "sign", "--person", "diacritics", "--key-file", filepath.Join(s.Dir, "front/one-time.key"), "-o", once, in); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	p := &published{t: t, s: s, dir: dir}
	person := signerOf(t, long)
	p.certificate("person", certs.NaturalPerson, person.Raw)
	p.certificate("person, one-time", certs.OneTime, signerOf(t, once).Raw)
	p.certificate("root", certs.Root, fetch(t, s.Info(t).PKI+"/ca/root.crt"))
	p.certificate("time-stamping unit", certs.TSU, fetch(t, s.Info(t).PKI+"/ca/tsu.crt"))
	der := fetch(t, person.IssuingCertificateURL[0])
	p.certificate("issuing CA", certs.IssuingCA, der)
	issuer, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.answers("good", person.SerialNumber, issuer, certs.StatusGood)
	p.answers("never issued", big.NewInt(0x7ead), issuer, certs.StatusUnknown)
	p.crls("before")
	revokeAsOperators(t, s, "", person)
	newVisitor(t, person).wait(t, time.Now())
	p.answers("revoked", person.SerialNumber, issuer, certs.StatusRevoked)
	p.crls("after")
	lint(t, p.papers, true)

	list := sandboxList(t, s)
	q := []question{{"once", list, once}}
	if a := ask(t, q)["once"]; !a.pass || a.revocation != "none" {
		t.Errorf("EU DSS on a signature with a one-time certificate: %+v", a)
	}
	if a := askPyHanko(t, q)["once"]; !a.pass {
		t.Errorf("pyHanko on a signature with a one-time certificate: %+v", a)
	}
}

// published collects the papers of a running sandbox.
type published struct {
	t      *testing.T
	s      *sandboxtest.Sandbox
	dir    string
	papers []paper
}

func (p *published) file(name, ending string, der []byte) string {
	path := filepath.Join(p.dir, strings.NewReplacer(" ", "-", ",", "").Replace(name)+ending)
	write(p.t, path, der)
	return path
}

func (p *published) certificate(name string, kind certs.Profile, der []byte) {
	path := p.file(name, ".pem", nil)
	writePEM(p.t, path, "CERTIFICATE", der)
	p.papers = append(p.papers, certificate(name, kind, path))
}

// crls takes both CRLs as they are now.
func (p *published) crls(when string) {
	for name, kind := range map[string]string{"root": "ARL", "issuing-ca": "CRL"} {
		path := p.file("CRL "+name+" "+when, ".crl", fetch(p.t, p.s.Info(p.t).PKI+"/crl/"+name+".crl"))
		p.papers = append(p.papers, paper{"CRL of " + name + ", " + when, 0, []string{"crl\t-t " + kind + " -p PKIX " + path}})
	}
}

// answers takes the OCSP answers about a certificate, with and without nonce,
// by SHA-1 and by SHA-256, and the certificate of whoever signed them.
func (p *published) answers(name string, serial *big.Int, issuer *x509.Certificate, want certs.CertState) {
	p.t.Helper()
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		id, err := certs.IDOf(&x509.Certificate{SerialNumber: serial, RawIssuer: issuer.RawSubject}, issuer, hash)
		if err != nil {
			p.t.Fatal(err)
		}
		for kind, nonce := range map[string][]byte{"": nil, ", nonce": bytes.Repeat([]byte{9}, 16)} {
			full := fmt.Sprintf("OCSP %s, %v%s", name, hash, kind)
			query, err := certs.EncodeOCSPRequest([]certs.CertID{id}, nonce)
			if err != nil {
				p.t.Fatal(err)
			}
			der := p.post(query)
			answer, err := certs.ParseOCSPResponse(der)
			if err != nil || len(answer.Singles) != 1 || answer.Singles[0].State != want {
				p.t.Fatalf("%s: %+v %v", full, answer, err)
			}
			p.papers = append(p.papers, paper{full, 0, []string{"ocsp\t" + p.file(full, ".ocsp", der)}})
			for _, c := range answer.Certificates {
				p.certificate("OCSP responder of "+full, certs.Responder, c.Raw)
			}
		}
	}
}

func (p *published) post(query []byte) []byte {
	p.t.Helper()
	resp, err := http.Post(p.s.Info(p.t).PKI+"/ocsp", "application/ocsp-request", bytes.NewReader(query))
	if err != nil {
		p.t.Fatal(err)
	}
	der, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/ocsp-response" {
		p.t.Fatalf("%d %s %v", resp.StatusCode, resp.Header.Get("Content-Type"), err)
	}
	return der
}

// TestOthersAskForTime: pyHanko's and OpenSSL's clients get tokens at /tsa that
// they accept. (EU DSS's client gets those of the twins.)
func TestOthersAskForTime(t *testing.T) {
	s := sandboxtest.Start(t)
	hashes := []string{"sha256", "sha384", "sha512"}
	cmd := sandboxtest.Python(t, "stamp.py", append([]string{s.Info(t).TSA, s.Info(t).RootPEM, filepath.Join(s.Dir, "pki")}, hashes...)...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("pyHanko is missing: %v; run scripts/install test, make judges", err)
	}
	if err != nil || strings.Count(string(out), "\tpass\t") != len(hashes) {
		t.Errorf("pyHanko: %v\n%s", err, out)
	}
	dir := t.TempDir()
	data, query, answer := filepath.Join(dir, "data"), filepath.Join(dir, "query.tsq"), filepath.Join(dir, "answer.tsr")
	write(t, data, []byte("what OpenSSL wants a time for"))
	for _, hash := range hashes {
		if out, err := run(t, "openssl", "ts", "-query", "-data", data, "-"+hash, "-cert", "-out", query); err != nil {
			t.Fatal(out)
		}
		if out, err := run(t, "curl", "-fsS", "-H", "Content-Type: application/timestamp-query", "--data-binary", "@"+query, "-o", answer, s.Info(t).TSA); err != nil {
			t.Fatal(out)
		}
		if out, err := run(t, "openssl", "ts", "-verify", "-in", answer, "-queryfile", query, "-CAfile", s.Info(t).RootPEM); err != nil {
			t.Errorf("openssl ts, %s: %s", hash, out)
		}
	}
}
