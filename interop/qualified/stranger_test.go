//go:build interop

package qualified

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/interop/sandboxtest"
	"tekend/pdf"
	"tekend/tsa"
)

// visible is how soon a revocation must be seen by everybody.
const visible = 60 * time.Second

// TestAStrangerSeesARevocation: somebody who has the trusted list and what
// certificates point to validates a signature today. Then its certificate is
// revoked, and OpenSSL, pyHanko and EU DSS agree on that within a minute; the
// signature from before stays a qualified one by its time-stamp, and one that
// gets its time-stamp afterwards is none.
func TestAStrangerSeesARevocation(t *testing.T) {
	s := sandboxtest.Start(t)
	list := sandboxList(t, s)
	for start := time.Now(); s.Info(t).TrustedList != "pki/trusted-list.xml"; time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("sandbox.json says that the list is at %q", s.Info(t).TrustedList)
		}
	}
	for _, channel := range []struct {
		name, person string
		revoke       func(*testing.T, *sandboxtest.Sandbox, string, *x509.Certificate)
	}{
		{"by the signer, at itsme", "approve", revokeAsSigner},
		{"by two operators", "eu-document", revokeAsOperators},
	} {
		t.Run(channel.name, func(t *testing.T) {
			dir := t.TempDir()
			before, after := filepath.Join(dir, "before.pdf"), filepath.Join(dir, "after.pdf")
			s.Sign(t, channel.person, before, filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf"))
			cert := signerOf(t, before)
			v := newVisitor(t, cert)
			for name, source := range sources {
				if now := source(v, t); now != "good" {
					t.Fatalf("today %s says %s", name, now)
				}
			}
			qualifiedToday(t, []question{{"before", list, before}}, "OCSP good", "good")

			time.Sleep(1100 * time.Millisecond) // a revocation is known to the second
			start := time.Now()
			channel.revoke(t, s, channel.person, cert)
			acted := time.Since(start)
			t.Logf("%s: done after %v; visible: %v", channel.name, acted.Round(time.Millisecond), v.wait(t, start))

			stampAgain(t, s, before, after)
			qualifiedToday(t, []question{{"before", list, before}, {"after", list, after}}, "OCSP revoked", "AdESIndeterminate.REVOKED_NO_POE")
			if channel.person == "approve" {
				judged(t, s, before, 0)
				judged(t, s, after, 1)
			}
		})
	}
}

// qualifiedToday: both judges say of the file "before" that it is a qualified
// signature, what they know of its certificate, and that "after", if there is
// such a question, is none.
func qualifiedToday(t *testing.T, q []question, dss, pyhanko string) {
	t.Helper()
	one, other := ask(t, q), askPyHanko(t, q)
	if a := one["before"]; !a.pass || a.qualification != "QESIG" || a.stamp != "QTSA" || a.revocation != dss {
		t.Errorf("EU DSS: %+v; its knowledge of the certificate should be %q", a, dss)
	}
	if a := other["before"]; !a.pass || a.quality != "QC_ESIGN QSCD QTST" || a.now != pyhanko {
		t.Errorf("pyHanko: %+v; the certificate should be %q", a, pyhanko)
	}
	if a := one["after"]; len(q) > 1 && (a.pass || a.indication != "INDETERMINATE/REVOKED_NO_POE" || a.qualification == "QESIG") {
		t.Errorf("EU DSS of a time-stamp after the revocation: %+v", a)
	}
	if a := other["after"]; len(q) > 1 && (a.pass || a.result != "AdESIndeterminate.REVOKED_NO_POE") {
		t.Errorf("pyHanko of a time-stamp after the revocation: %+v", a)
	}
}

// judged runs what `make judge F=file` runs, on a signature whose certificate
// is revoked.
func judged(t *testing.T, s *sandboxtest.Sandbox, file string, want int) {
	t.Helper()
	cmd := exec.Command(filepath.Join(sandboxtest.Root(t), "interop/judge"), s.Dir, file)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	told := map[int]string{0: " after the time-stamp", 1: " not after the time-stamp"}[want]
	if code := cmd.ProcessState.ExitCode(); code != want || strings.Contains(string(out), "absent") || strings.Count(string(out), told) != 2 {
		t.Errorf("interop/judge %s: exit %d, want %d\n%s", filepath.Base(file), code, want, out)
	}
}

// signature takes the product's newest signature out of a PDF.
func signature(t *testing.T, file string) (pdf.Signature, *cms.SignedData, []byte) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sigs, err := pdf.Signatures(bytes.NewReader(data), int64(len(data)), pdf.DefaultBudget())
	if err != nil || len(sigs) == 0 {
		t.Fatalf("%d signatures: %v", len(sigs), err)
	}
	sig := sigs[len(sigs)-1]
	sd, err := cms.Parse(sig.CMS, cms.DefaultBudget())
	if err != nil {
		t.Fatal(err)
	}
	return sig, sd, data
}

func signerOf(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	_, sd, _ := signature(t, file)
	c, err := sd.SignerCertificate(0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stampAgain takes a finished product apart and gives its signature value a
// time-stamp of this moment, as a thief of unfinished signatures might.
func stampAgain(t *testing.T, s *sandboxtest.Sandbox, from, to string) {
	t.Helper()
	sig, sd, data := signature(t, from)
	pem, err := os.ReadFile(s.Info(t).RootPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	info := sd.SignerInfos[0]
	sum := sha256.Sum256(info.Value)
	token, err := tsa.NewClient(tsa.ClientConfig{URL: s.Info(t).TSA, Roots: roots, Now: time.Now}, http.DefaultClient).Stamp(t.Context(), sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	parts := cms.Parts{SignedAttrs: info.SignedAttrs, Value: info.Value, TimeStampToken: token.Raw}
	for _, der := range sd.Certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if c.IsCA {
			parts.Chain = append(parts.Chain, c)
		} else {
			parts.Certificate = c
		}
	}
	der, err := cms.Assemble(parts)
	if err != nil {
		t.Fatal(err)
	}
	space := data[sig.ContentsStart+1 : sig.ContentsEnd-1]
	if hex.EncodedLen(len(der)) > len(space) {
		t.Fatalf("%d bytes do not fit", len(der))
	}
	copy(space, bytes.Repeat([]byte("0"), len(space)))
	hex.Encode(space, der)
	write(t, to, data)
}

// visitor asks OpenSSL about one certificate, with what he finds at the
// addresses in it. He trusts the listed issuer and nobody else.
type visitor struct {
	dir, cert, issuer string // paths
	of                *x509.Certificate
}

func newVisitor(t *testing.T, c *x509.Certificate) *visitor {
	t.Helper()
	v := &visitor{dir: t.TempDir(), of: c}
	v.cert, v.issuer = filepath.Join(v.dir, "cert.pem"), filepath.Join(v.dir, "issuer.pem")
	if len(c.OCSPServer) != 1 || len(c.CRLDistributionPoints) != 1 || len(c.IssuingCertificateURL) != 1 {
		t.Fatalf("addresses in the certificate: %v %v %v", c.OCSPServer, c.CRLDistributionPoints, c.IssuingCertificateURL)
	}
	writePEM(t, v.cert, "CERTIFICATE", c.Raw)
	writePEM(t, v.issuer, "CERTIFICATE", fetch(t, c.IssuingCertificateURL[0]))
	return v
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", address, resp.StatusCode, err)
	}
	return b
}

// sources are the ways to a certificate's status. Each gives good, revoked, or
// OpenSSL's whole output.
var sources = map[string]func(*visitor, *testing.T) string{
	"OCSP with nonce":    func(v *visitor, t *testing.T) string { return v.ocsp(t) },
	"OCSP without nonce": func(v *visitor, t *testing.T) string { return v.ocsp(t, "-no_nonce") }, // may come from a cache
	"CRL":                (*visitor).crl,
}

// ocsp is what `openssl ocsp` says.
func (v *visitor) ocsp(t *testing.T, more ...string) string {
	t.Helper()
	args := []string{"ocsp", "-issuer", v.issuer, "-cert", v.cert, "-url", v.of.OCSPServer[0], "-CAfile", v.issuer, "-partial_chain"}
	out, _ := run(t, "openssl", append(args, more...)...)
	if strings.Contains(out, "Response verify OK") {
		for _, s := range []string{"good", "revoked"} {
			if strings.Contains(out, v.cert+": "+s) {
				return s
			}
		}
	}
	return out
}

// crl is what `openssl verify -crl_check` says of the CRL of this moment.
func (v *visitor) crl(t *testing.T) string {
	t.Helper()
	der, pem := filepath.Join(v.dir, "crl.der"), filepath.Join(v.dir, "crl.pem")
	write(t, der, fetch(t, v.of.CRLDistributionPoints[0]))
	if out, err := run(t, "openssl", "crl", "-inform", "DER", "-in", der, "-out", pem); err != nil {
		return out
	}
	out, err := run(t, "openssl", "verify", "-crl_check", "-CRLfile", pem, "-CAfile", v.issuer, "-partial_chain", "-purpose", "any", v.cert)
	switch {
	case err == nil:
		return "good"
	case strings.Contains(out, "certificate revoked"):
		return "revoked"
	}
	return out
}

func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatalf("%s is missing: %v; run scripts/install test", name, err)
	}
	return string(out), err
}

// wait asks until every source says that the certificate is revoked, and
// tells how long each took.
func (v *visitor) wait(t *testing.T, start time.Time) map[string]time.Duration {
	t.Helper()
	took := map[string]time.Duration{}
	for len(took) < len(sources) {
		for name, source := range sources {
			now := source(v, t)
			if took[name] == 0 && now == "revoked" {
				took[name] = time.Since(start).Round(time.Millisecond)
			}
			if took[name] == 0 && time.Since(start) > visible {
				t.Fatalf("a minute after the revocation %s says %s; the others: %v", name, now, took)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return took
}

// revokeAsSigner goes to the front's page for it and answers at itsme.
func revokeAsSigner(t *testing.T, s *sandboxtest.Sandbox, person string, _ *x509.Certificate) {
	t.Helper()
	f := s.Flow(t)
	var page struct {
		Page, Step, Link string
		Revoked          int
	}
	call(t, http.MethodPost, f.Front+"/revoke", `{"language":"en","reason":"keyCompromise"}`, &page)
	if page.Step != "confirm" {
		t.Fatalf("%+v", page)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	back, err := f.AtItsme(ctx, page.Link, person)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Callback(ctx, back); err != nil {
		t.Fatal(err)
	}
	address := page.Page
	if strings.HasPrefix(address, "/") {
		address = f.Front + address
	}
	for page.Step != "published" {
		if ctx.Err() != nil || page.Step == "failed" || page.Step == "refused" {
			t.Fatalf("%+v", page)
		}
		time.Sleep(50 * time.Millisecond)
		call(t, http.MethodGet, address, "", &page)
	}
	if page.Revoked != 1 {
		t.Errorf("%+v", page)
	}
}

// call sends JSON to the front and reads its answer.
func call(t *testing.T, method, address, body string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(b, out) != nil {
		t.Fatalf("%s %s: %d %s %v", method, address, resp.StatusCode, b, err)
	}
}

// revokeAsOperators has two operators approve the act, each with his own key,
// and hands it to the ca.
func revokeAsOperators(t *testing.T, s *sandboxtest.Sandbox, _ string, c *x509.Certificate) {
	t.Helper()
	dir, bin := t.TempDir(), sandboxtest.Bin(t, "tekend-trusted")
	act := filepath.Join(dir, "act")
	must := func(args ...string) []byte {
		cmd := exec.Command(bin, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, stderr.String())
		}
		return out
	}
	write(t, act, must("act", "show", "--act", "revoke", "--subject", certs.SerialHex(c.SerialNumber), "--reason", "keyCompromise"))
	do := []string{"act", "do", "--config", filepath.Join(s.Dir, "ca/ca.yaml")}
	for _, o := range []string{"an", "bo"} {
		approval := filepath.Join(dir, o)
		write(t, approval, must("act", "approve", "--key", filepath.Join(s.Dir, "operators", o+".pem"), act))
		do = append(do, "--approval", approval)
	}
	if out := must(append(do, act)...); !strings.Contains(string(out), "is revoked since") {
		t.Fatalf("%s", out)
	}
}
