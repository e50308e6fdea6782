package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counting is a CA key that counts its signatures.
type counting struct {
	crypto.Signer
	n atomic.Int64
}

func (c *counting) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	c.n.Add(1)
	return c.Signer.Sign(r, digest, o)
}

func ecKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var rsa3072 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa3072()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pki is a root with an issuing CA below it.
type pki struct {
	now              time.Time
	rootKey, caKey   *counting
	root, issuing    *x509.Certificate
	rootPub, peoples Publication
}

func org(cn string) Subject {
	return Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

// newPKI issues both with the given keys, which may be nil for P-256.
func newPKI(t testing.TB, rootKey, caKey crypto.Signer) *pki {
	t.Helper()
	p := &pki{now: time.Now()}
	if rootKey == nil {
		rootKey = ecKey(t, elliptic.P256())
	}
	if caKey == nil {
		caKey = ecKey(t, elliptic.P256())
	}
	p.rootKey, p.caKey = &counting{Signer: rootKey}, &counting{Signer: caKey}
	p.rootPub = PublishedBy("http://127.0.0.1:8080/pki/", "root", "https://sandbox.tekend.example/cps")
	p.peoples = PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps")
	p.peoples.PDS = []PDS{{"https://sandbox.tekend.example/pds/en", "en"}, {"https://sandbox.tekend.example/pds/nl", "nl"}}
	der, err := Issue(Issuer{Signer: p.rootKey}, p.rootOrder())
	if err != nil {
		t.Fatal(err)
	}
	p.root = parse(t, der)
	if der, err = Issue(Issuer{p.root, p.rootKey}, p.caOrder()); err != nil {
		t.Fatal(err)
	}
	p.issuing = parse(t, der)
	return p
}

func (p *pki) rootOrder() Order {
	return Order{Profile: Root, Subject: org("Tekend SANDBOX Root CA"), PublicKey: p.rootKey.Public(), NotBefore: p.now.Add(-time.Hour), NotAfter: p.now.AddDate(20, 0, 0)}
}

func (p *pki) caOrder() Order {
	return Order{Profile: IssuingCA, Subject: org("Tekend SANDBOX Issuing CA"), PublicKey: p.caKey.Public(), NotBefore: p.now.Add(-time.Hour), NotAfter: p.now.AddDate(10, 0, 0), Publication: p.rootPub}
}

func (p *pki) tsuOrder(key crypto.PublicKey) Order {
	return Order{Profile: TSU, Subject: org("Tekend SANDBOX Time-Stamping Unit 1"), PublicKey: key, NotBefore: p.now, NotAfter: p.now.AddDate(6, 0, 0), PrivateKeyEnd: p.now.AddDate(2, 0, 0), Publication: p.rootPub}
}

func (p *pki) personOrder(t testing.TB, key crypto.PublicKey) Order {
	t.Helper()
	who, err := NewPerson("Jan Jansen", "Jan", "Jansen", "BEL")
	if err != nil {
		t.Fatal(err)
	}
	return Order{Profile: NaturalPerson, Subject: who.Subject(), PublicKey: key, NotBefore: p.now, NotAfter: p.now.AddDate(2, 0, 0), Publication: p.peoples, Identified: true}
}

func (p *pki) oneTimeOrder(t testing.TB, key crypto.PublicKey) Order {
	t.Helper()
	o := p.personOrder(t, key)
	o.Profile, o.NotAfter = OneTime, p.now.Add(24*time.Hour)
	return o
}

func (p *pki) responderOrder(key crypto.PublicKey) Order {
	return Order{Profile: Responder, Subject: org("Tekend SANDBOX OCSP Responder 1"), PublicKey: key, NotBefore: p.now.Add(-time.Minute), NotAfter: p.now.AddDate(0, 0, 30), Publication: p.peoples}
}

func (p *pki) person(t testing.TB, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := Issue(Issuer{p.issuing, p.caKey}, p.personOrder(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, der)
}

func (p *pki) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.root)
	return pool
}

func writePEM(t testing.TB, path, kind string, ders ...[]byte) string {
	t.Helper()
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openssl must be there: it is a judge, not an option.
func openssl(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	return string(out), err
}

func tempFile(t testing.TB, name string) string { return filepath.Join(t.TempDir(), name) }
