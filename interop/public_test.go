//go:build interop

package interop

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
	"tekend/tsa"
)

// TestWhatIsPublicIsTheSameAtPKIAndInTheFolder reads everything that
// certificates point to through the front, as a validator would.
func TestWhatIsPublicIsTheSameAtPKIAndInTheFolder(t *testing.T) {
	s := sandboxtest.Start(t)
	s.Sign(t, "approve", filepath.Join(t.TempDir(), "o.pdf"), filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf"))
	time.Sleep(time.Second) // the CRL is made anew after an issuance
	for _, name := range []string{"ca/root.crt", "ca/issuing-ca.crt", "ca/tsu.crt", "crl/root.crl", "crl/issuing-ca.crl"} {
		resp, err := http.Get(s.Info(t).PKI + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		_ = resp.Body.Close()
		want, fileErr := os.ReadFile(filepath.Join(s.Dir, "pki", name))
		if err != nil || fileErr != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("%s: status %d, %d bytes, %d in the folder (%v %v)", name, resp.StatusCode, len(got), len(want), err, fileErr)
		}
		media := map[string]string{".crt": "application/pkix-cert", ".crl": "application/pkix-crl"}[filepath.Ext(name)]
		if resp.Header.Get("Content-Type") != media {
			t.Errorf("%s is served as %s", name, resp.Header.Get("Content-Type"))
		}
	}
}

// TestTimeStampsThroughTheFront: /tsa is for everyone.
func TestTimeStampsThroughTheFront(t *testing.T) {
	s := sandboxtest.Start(t)
	pem, err := os.ReadFile(s.Info(t).RootPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	sum := sha256.Sum256([]byte("anything"))
	c := tsa.NewClient(tsa.ClientConfig{URL: s.Info(t).TSA, Roots: roots, Now: time.Now}, http.DefaultClient)
	token, err := c.Stamp(t.Context(), sum[:], crypto.SHA256)
	if err != nil || !bytes.Equal(token.Imprint, sum[:]) {
		t.Errorf("%+v %v", token, err)
	}
}

// TestWithoutRootTheFirstLineSaysThatIsolationIsOff runs the sandbox as an
// ordinary user, with a whole signature.
func TestWithoutRootTheFirstLineSaysThatIsolationIsOff(t *testing.T) {
	if os.Getuid() != 0 {
		s := sandboxtest.Start(t)
		if !strings.HasPrefix(s.Output(), "isolation is OFF") {
			t.Errorf("first line: %s", s.Output())
		}
		return
	}
	home, err := os.MkdirTemp("", "tekend-user-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	const uid = 47190
	for _, name := range []string{"tekend", "tekend-trusted", "tekend-witness"} {
		b, err := os.ReadFile(sandboxtest.Bin(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(home, uid, uid); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(home, "tekend"), "sandbox", "--dir", filepath.Join(home, "sandbox"), "--samples", home)
	cmd.Dir, cmd.Env = home, []string{"PATH=/usr/bin:/bin", "HOME=" + home}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{}}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sandboxtest.Sandbox{Dir: filepath.Join(home, "sandbox")}
	for range 600 {
		if _, err = os.Stat(filepath.Join(s.Dir, "sandbox.json")); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err == nil {
		s.Sign(t, "approve", filepath.Join(t.TempDir(), "o.pdf"), filepath.Join(sandboxtest.Root(t), "testdata/pdf/fpdf2.pdf"))
	} else {
		t.Error("the sandbox did not get ready")
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(out.String(), "isolation is OFF") {
		t.Errorf("output:\n%s", out.String())
	}
}

// TestGeneratedFilesAreGoodPDFs: what the benchmarks sign must be what a
// producer could have made.
func TestGeneratedFilesAreGoodPDFs(t *testing.T) {
	for _, kind := range []string{"big", "pages"} {
		for _, xref := range []string{"table", "stream"} {
			path := filepath.Join(t.TempDir(), kind+xref+".pdf")
			gen := exec.Command("go", "run", "./testdata/gen", "-size", "1MB", "-kind", kind, "-xref", xref, "-o", path)
			gen.Dir = sandboxtest.Root(t)
			if out, err := gen.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			info, err := os.Stat(path)
			if err != nil || info.Size() < 900_000 || info.Size() > 1_200_000 {
				t.Errorf("%s %s: %d bytes %v", kind, xref, info.Size(), err)
			}
			if out, err := exec.Command("qpdf", "--check", path).CombinedOutput(); err != nil {
				t.Errorf("%s %s: %v\n%s", kind, xref, err, out)
			}
		}
	}
}
