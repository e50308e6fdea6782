//go:build interop

package interop

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/db"
	"tekend/interop/sandboxtest"
)

// TestTheEmergencyChannelWithTheFrontSwitchedOff, as processes: front, provider and the simulated itsme stand still; the
// code from the sam's own notice revokes; the CRL that the ca publishes has it within a minute, OpenSSL hears it by OCSP
// within a minute of the front's return, and what was signed before stays valid.
func TestTheEmergencyChannelWithTheFrontSwitchedOff(t *testing.T) {
	s := sandboxtest.Start(t)
	file := filepath.Join(t.TempDir(), "signed.pdf")
	s.Sign(t, "approve", file, filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf"))
	code := codeInNotices(t, filepath.Join(s.Dir, "sam/notices"))
	root := filepath.Join(s.Dir, "pki/root.pem")
	cert, issuer := issuedHere(t, s)
	if got := openssl(t, cert, issuer, root); got != "good" {
		t.Fatalf("before: OpenSSL says %s", got)
	}
	before := crl(t, s)

	pids := s.Info(t).PIDs
	off := []string{"front", "provider", "itsme"}
	for _, name := range off {
		if err := syscall.Kill(pids[name], syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	// Times of revocations are whole seconds: what was signed in the same one is not provably older.
	time.Sleep(1100 * time.Millisecond)
	start := time.Now()
	resp, err := http.PostForm(s.Info(t).Emergency+"/revoke", url.Values{"code": {strings.ToUpper(code)}})
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "Your certificate is revoked") {
		t.Fatalf("%d %v\n%s", resp.StatusCode, err, page)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	answered := time.Since(start)
	onCRL := within(t, "the published CRL has the certificate", func() bool {
		list := crl(t, s)
		return len(list.RevokedCertificateEntries) == 1 && list.RevokedCertificateEntries[0].SerialNumber.Cmp(cert.SerialNumber) == 0 &&
			list.Number.Cmp(before.Number) > 0
	})
	for _, name := range off {
		if err := syscall.Kill(pids[name], syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	onOCSP := within(t, "OpenSSL hears revoked", func() bool { return openssl(t, cert, issuer, root) == "revoked" })
	t.Logf("emergency: answered in %v; on the CRL %v after that, by OCSP %v after the front was back", answered.Round(time.Millisecond), onCRL.Round(time.Millisecond), onOCSP.Round(time.Millisecond))
	if out, code := s.Tekend(t, "verify", file); code != 0 || !strings.Contains(out, "TOTAL_PASSED") {
		t.Errorf("what was signed before: exit %d\n%s", code, out)
	}
}

// within waits a minute at most and says how long it took.
func within(t *testing.T, what string, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for ; !is(); time.Sleep(200 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("not within a minute: %s", what)
		}
	}
	return time.Since(start)
}

var codeInNotice = regexp.MustCompile(`(?m)^    ([0-9a-z]{5}(?:-[0-9a-z]{5}){4})\r?$`)

// codeInNotices waits for the notice about the new certificate: the sam's, past the front.
func codeInNotices(t *testing.T, dir string) (code string) {
	t.Helper()
	within(t, "the notice about the new certificate", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			plain, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
			if m := codeInNotice.FindSubmatch(plain); m != nil {
				code = string(m[1])
			}
		}
		return code != ""
	})
	return code
}

// issuedHere gives the one person's certificate of the sandbox, from the ca's database, and its issuer's.
func issuedHere(t *testing.T, s *sandboxtest.Sandbox) (cert *x509.Certificate, issuer string) {
	t.Helper()
	d, err := db.OpenReader(t.Context(), filepath.Join(s.Dir, "ca/ca.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	var der []byte
	if err := d.QueryRow("SELECT certificate FROM orders WHERE certificate IS NOT NULL").Scan(&der); err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return cert, filepath.Join(s.Dir, "sam/issuing-ca.pem")
}

// crl is the list that lies where the ca publishes it: nobody is asked.
func crl(t *testing.T, s *sandboxtest.Sandbox) *x509.RevocationList {
	t.Helper()
	der, err := os.ReadFile(filepath.Join(s.Dir, "pki/crl/issuing-ca.crl"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// openssl asks the responder that the certificate names.
func openssl(t *testing.T, cert *x509.Certificate, issuer, root string) string {
	t.Helper()
	leaf := filepath.Join(t.TempDir(), "leaf.pem")
	if err := os.WriteFile(leaf, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("openssl", "ocsp", "-issuer", issuer, "-cert", leaf, "-url", cert.OCSPServer[0], "-CAfile", root, "-no_nonce").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Response verify OK") {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`leaf\.pem: (\w+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("%s", out)
	}
	return string(m[1])
}
