//go:build interop

package qualified

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Statements of a qualified certificate (EN 319 412-5).
var (
	qcCompliance  = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 1}
	qcSSCD        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 4}
	qcType        = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6}
	qcLegislation = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 7}
	qcTypeESign   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 1}
	qcTypeESeal   = asn1.ObjectIdentifier{0, 4, 0, 1862, 1, 6, 2}
	qcStatements  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}

	validityAssured = asn1.ObjectIdentifier{0, 4, 0, 194121, 2, 1} // EN 319 412-1 §5.2
	noRevAvail      = asn1.ObjectIdentifier{2, 5, 29, 56}          // RFC 9608
)

// statement is a QCStatement (RFC 3739 §3.2.6); info is marshalled, or nil.
type statement struct {
	id   asn1.ObjectIdentifier
	info any
}

// goodStatements are those of our own profile that matter to a qualification.
func goodStatements() []statement {
	return []statement{{qcCompliance, nil}, {qcSSCD, nil}, {qcType, []asn1.ObjectIdentifier{qcTypeESign}}}
}

// testCA issues what our own ca refuses to issue: it knows no profile and no
// lint. It publishes its certificate and its CRL as ours does.
type testCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  string // path
	url  string

	mu      sync.Mutex
	revoked []x509.RevocationListEntry
	dir     string
}

// newCA makes a CA that is two years old.
func newCA(t testing.TB) *testCA {
	t.Helper()
	c := &testCA{key: newKey(t), dir: t.TempDir()}
	web := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(web.Close)
	c.url, c.pem = web.URL, filepath.Join(c.dir, "ca.pem")
	from := time.Now().AddDate(-2, 0, 0)
	tmpl := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{Country: []string{"BE"}, Organization: []string{"Twin"}, CommonName: "Twin CA"},
		NotBefore: from, NotAfter: from.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	c.cert = c.create(t, tmpl, tmpl, &c.key.PublicKey)
	writePEM(t, c.pem, "CERTIFICATE", c.cert.Raw)
	return c
}

func (c *testCA) create(t testing.TB, tmpl, parent *x509.Certificate, pub *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, c.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// signer is a person with a certificate and a key in a file.
type signer struct {
	cert     *x509.Certificate
	pem, key string // paths
}

// wish is what a certificate of the test CA is to contain.
type wish struct {
	statements []statement
	crl        string // which of the CA's CRLs it names; "": none, and noRevAvail as in a short-term certificate
}

// person gets a certificate that is two days old.
func (c *testCA) person(t testing.TB, name string, w wish) signer {
	t.Helper()
	type qcStatement struct {
		ID   asn1.ObjectIdentifier
		Info asn1.RawValue `asn1:"optional"`
	}
	var list []qcStatement
	for _, s := range w.statements {
		q := qcStatement{ID: s.id}
		if s.info != nil {
			der, err := asn1.Marshal(s.info)
			if err != nil {
				t.Fatal(err)
			}
			q.Info = asn1.RawValue{FullBytes: der}
		}
		list = append(list, q)
	}
	der, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	n := serial(t)
	tmpl := &x509.Certificate{
		SerialNumber: n, Subject: pkix.Name{Country: []string{"BE"}, CommonName: "Twin " + name, SerialNumber: n.String()},
		NotBefore: time.Now().AddDate(0, 0, -2), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageContentCommitment,
		IssuingCertificateURL: []string{c.url + "/ca.crt"}, ExtraExtensions: []pkix.Extension{{Id: qcStatements, Value: der}},
	}
	if w.crl != "" {
		tmpl.CRLDistributionPoints = []string{c.url + w.crl}
	} else {
		null := []byte{5, 0}
		tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: validityAssured, Value: null}, pkix.Extension{Id: noRevAvail, Value: null})
	}
	s := signer{cert: c.create(t, tmpl, c.cert, &key.PublicKey), pem: filepath.Join(c.dir, name+".pem"), key: filepath.Join(c.dir, name+".key")}
	writePEM(t, s.pem, "CERTIFICATE", s.cert.Raw)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, s.key, "PRIVATE KEY", pkcs8)
	return s
}

// revoke enters a certificate into the CRL.
func (c *testCA) revoke(s signer, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revoked = append(c.revoked, x509.RevocationListEntry{SerialNumber: s.cert.SerialNumber, RevocationTime: at, ReasonCode: 1})
}

// crls are the CA's CRLs, and how old each is when somebody asks.
var crls = map[string]time.Duration{"/ca.crl": 0, "/day.crl": 23 * time.Hour, "/old.crl": 25 * time.Hour}

// serve gives the certificate, and CRLs made at this moment.
func (c *testCA) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ca.crt" {
		_, _ = w.Write(c.cert.Raw)
		return
	}
	age, ok := crls[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Now().Add(-age)
	tmpl := &x509.RevocationList{RevokedCertificateEntries: c.revoked, Number: big.NewInt(at.Unix()), ThisUpdate: at, NextUpdate: at.AddDate(0, 0, 7)}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, c.cert, c.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(der)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	write(t, path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
