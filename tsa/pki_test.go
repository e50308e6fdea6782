package tsa_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tekend/cms"
	"tekend/tsa"
)

// unit is a time-stamping unit made of standard library keys.
type unit struct {
	key   crypto.Signer
	cert  *x509.Certificate
	root  *x509.Certificate
	roots *x509.CertPool
}

// profile changes the certificate of a unit: one defect per test.
type profile func(*x509.Certificate)

func eku(critical bool, usages ...asn1.ObjectIdentifier) profile {
	return func(c *x509.Certificate) {
		v, err := asn1.Marshal(usages)
		if err != nil {
			panic(err)
		}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: v}}
	}
}

var (
	timeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	codeSigning  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}
	testPolicy   = asn1.ObjectIdentifier{1, 2, 3, 4}
)

func newUnit(t testing.TB, change ...profile) unit {
	t.Helper()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	check(t, err)
	root, err = x509.ParseCertificate(der)
	check(t, err)
	u := unit{root: root, roots: x509.NewCertPool()}
	u.roots.AddCert(root)
	u.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Unit"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(2, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	eku(true, timeStamping)(leaf)
	for _, c := range change {
		c(leaf)
	}
	pub := u.key.Public()
	der, err = x509.CreateCertificate(rand.Reader, leaf, root, pub, rootKey)
	check(t, err)
	u.cert, err = x509.ParseCertificate(der)
	check(t, err)
	return u
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// info is what a good token over digest states.
func info(digest []byte) tsa.Info {
	return tsa.Info{
		Policy: testPolicy, Imprint: tsa.Imprint{Hash: crypto.SHA256, Digest: digest}, Serial: big.NewInt(77),
		GenTime: time.Now().Truncate(time.Millisecond), Accuracy: 500 * time.Millisecond, Nonce: big.NewInt(4711),
	}
}

// token signs a TSTInfo that need not be one.
func (u unit) token(t testing.TB, body []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(body)
	attrs, err := cms.ContentAttributes(cms.OIDTSTInfo, sum[:], u.cert)
	check(t, err)
	digest := sha256.Sum256(attrs)
	v, err := u.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	check(t, err)
	der, err := cms.AssembleToken(body, cms.Parts{SignedAttrs: attrs, Value: v, Certificate: u.cert}, true)
	check(t, err)
	return der
}

func encode(t testing.TB, i tsa.Info) []byte {
	t.Helper()
	der, err := i.Encode()
	check(t, err)
	return der
}

func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	check(t, os.WriteFile(path, b, 0o600))
	return path
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}
