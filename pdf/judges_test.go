package pdf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// opensslCMS signs what ByteRange covers with a throw-away key.
type opensslCMS struct{ dir string }

func newOpensslCMS(t *testing.T) opensslCMS {
	t.Helper()
	need(t, "openssl")
	c := opensslCMS{t.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageContentCommitment}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	c.write(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	return c
}

func (c opensslCMS) write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c opensslCMS) sign(t *testing.T, content []byte) []byte {
	t.Helper()
	c.write(t, "content", content)
	cmd := exec.Command("openssl", "cms", "-sign", "-binary", "-cades", "-in", "content", "-signer", "cert.pem", "-inkey", "key.pem", "-outform", "DER", "-out", "cms")
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return readFile(t, filepath.Join(c.dir, "cms"))
}

// TestPdfsigAccepts: poppler finds the signature of every structure, takes it
// for PAdES, and says that it is intact and over the whole document.
func TestPdfsigAccepts(t *testing.T) {
	need(t, "pdfsig")
	signer := newOpensslCMS(t)
	for _, c := range goodCases() {
		switch c.name {
		case "signed-before", "second-field-locked":
			continue // the earlier signature in them is not one
		case "field-below-parent":
			continue // poppler 22.12 says "not signed" of a field whose widget is another object
		}
		o := options()
		o.Reserve = 2000
		p, err := Prepare(bytes.NewReader(c.pdf), int64(len(c.pdf)), o)
		if err != nil {
			t.Fatal(c.name, err)
		}
		empty := append(bytes.Clone(c.pdf), p.Update...)
		cms := signer.sign(t, append(bytes.Clone(empty[:p.ContentsStart]), empty[p.ContentsEnd:]...))
		up, err := p.Embed(cms)
		if err != nil {
			t.Fatal(err)
		}
		whole := append(bytes.Clone(c.pdf), up...)
		out, _ := exec.Command("pdfsig", "-nocert", tempFile(t, whole)).CombinedOutput() // its exit code is about trust
		for _, want := range []string{"Signature is Valid.", "Total document signed", "ETSI.CAdES.detached", "Field Name: " + p.FieldName} {
			if !strings.Contains(string(out), want) && !(strings.HasPrefix(want, "Field Name") && !strings.Contains(string(out), "Field Name")) {
				t.Errorf("%s: pdfsig does not say %q:\n%s", c.name, want, out)
			}
		}
		whole[p.ContentsStart-200] ^= 1
		out, _ = exec.Command("pdfsig", "-nocert", tempFile(t, whole)).CombinedOutput()
		if strings.Contains(string(out), "Signature is Valid.") {
			t.Errorf("%s: pdfsig accepts a changed byte", c.name)
		}
	}
}
