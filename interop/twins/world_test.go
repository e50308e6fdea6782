//go:build interop

// Package twins compares package validate with EU DSS on products of ours and
// on damaged twins of them: validate is never more lenient, and where it is
// stricter, a table says why (specs/eidas.md §7.6, decision 0024).
package twins

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
	"tekend/tsa/authority"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a PKI as the sandbox has one, with a time-stamping unit that runs,
// and whose keys are at hand for forgeries.
type world struct {
	rootKey, caKey, unitKey   crypto.Signer
	root, issuing, unit       *x509.Certificate
	stamper                   *tsa.Client
	responder                 *certs.OCSPResponder
	from                      time.Time
	crl                       []byte // of the root: about the issuing CA and the unit
	p256, pss                 person
	content                   []byte // what CAdES signs
	base                      []byte // what PAdES signs
	stranger, expired, noEKU  unitOf // units that do not count
	otherResponder, otherRoot []byte
}

// person is a key with its certificate and how it signs.
type person struct {
	key  crypto.Signer
	leaf *x509.Certificate
	alg  cms.Algorithm
}

// unitOf is a key and a certificate that sign tokens.
type unitOf struct {
	key  crypto.Signer
	cert *x509.Certificate
}

const (
	pki = "http://127.0.0.1:9/pki" // nobody is there
	cps = "https://sandbox.tekend.example/cps"
)

func org(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return k
}

func parsed(t testing.TB, der []byte, err error) *x509.Certificate {
	t.Helper()
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

func issue(t testing.TB, by certs.Issuer, o certs.Order) *x509.Certificate {
	t.Helper()
	der, err := certs.Issue(by, o)
	return parsed(t, der, err)
}

func (w *world) byRoot() certs.Issuer { return certs.Issuer{Cert: w.root, Signer: w.rootKey} }
func (w *world) byCA() certs.Issuer   { return certs.Issuer{Cert: w.issuing, Signer: w.caKey} }

func newWorld(t testing.TB, base []byte) *world {
	t.Helper()
	w := &world{rootKey: ecKey(t), caKey: ecKey(t), unitKey: ecKey(t), from: time.Now().Add(-48 * time.Hour), base: base}
	w.content = bytes.Repeat([]byte("a document that is no PDF, with \x00 and ř\r\n"), 50)
	fromRoot := certs.PublishedBy(pki, "root", cps)
	w.root = issue(t, certs.Issuer{Signer: w.rootKey}, certs.Order{
		Profile: certs.Root, Subject: org("SANDBOX Root"), PublicKey: w.rootKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(10, 0, 0),
	})
	w.issuing = issue(t, w.byRoot(), certs.Order{
		Profile: certs.IssuingCA, Subject: org("SANDBOX Issuing CA"), PublicKey: w.caKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(8, 0, 0), Publication: fromRoot,
	})
	w.unit = issue(t, w.byRoot(), certs.Order{
		Profile: certs.TSU, Subject: org("SANDBOX Unit"), PublicKey: w.unitKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
		PrivateKeyEnd: w.from.AddDate(1, 0, 0), Publication: fromRoot,
	})
	role, err := authority.New(context.Background(), authority.Config{Now: time.Now, DB: filepath.Join(t.TempDir(), "tsa.db")},
		authority.Dependencies{Unit: authority.Unit{Signer: w.unitKey, Chain: []*x509.Certificate{w.unit, w.root}}})
	check(t, err)
	srv := httptest.NewServer(role.Handler())
	t.Cleanup(func() { srv.Close(); _ = role.Close() })
	w.stamper = tsa.NewClient(tsa.ClientConfig{URL: srv.URL + "/tsa", Roots: w.roots(), Now: time.Now}, http.DefaultClient)
	w.responder = w.newResponder(t, w.byCA())
	w.crl = w.list(t, w.byRoot(), time.Now(), time.Now().AddDate(0, 1, 0))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	check(t, err)
	w.p256 = w.person(t, ecKey(t), cms.ECDSAWithSHA256)
	w.pss = w.person(t, rsaKey, cms.PSSWithSHA256)
	w.forgers(t)
	return w
}

func (w *world) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(w.root)
	return p
}

// forgers are units that nobody should take for one.
func (w *world) forgers(t testing.TB) {
	make := func(parent *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) unitOf {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: w.unit.Subject, NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
		}
		change(c)
		own := ecKey(t)
		if parent == nil {
			parent, key = c, own
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, own.Public(), key)
		return unitOf{own, parsed(t, der, err)}
	}
	w.stranger = make(nil, nil, func(*x509.Certificate) {})
	w.expired = make(w.root, w.rootKey, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	w.noEKU = make(w.root, w.rootKey, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
}

func (w *world) newResponder(t testing.TB, by certs.Issuer) *certs.OCSPResponder {
	t.Helper()
	key := ecKey(t)
	return &certs.OCSPResponder{Signer: key, Issuer: by.Cert, Cert: issue(t, by, certs.Order{
		Profile: certs.Responder, Subject: org("SANDBOX Responder"), PublicKey: key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(0, 0, 30),
		Publication: certs.PublishedBy(pki, "issuing-ca", cps),
	})}
}

func (w *world) person(t testing.TB, key crypto.Signer, alg cms.Algorithm) person {
	t.Helper()
	p, err := certs.NewPerson("Jo Doe", "Jo", "Doe", "BEL")
	check(t, err)
	pub := certs.PublishedBy(pki, "issuing-ca", cps)
	pub.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds/en", Language: "en"}}
	return person{key, issue(t, w.byCA(), certs.Order{
		Profile: certs.NaturalPerson, Subject: p.Subject(), PublicKey: key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(2, 0, 0), Publication: pub,
	}), alg}
}

func digest(h crypto.Hash, parts ...[]byte) []byte {
	w := h.New()
	for _, p := range parts {
		w.Write(p)
	}
	return w.Sum(nil)
}

func (w *world) list(t testing.TB, by certs.Issuer, this, next time.Time, revoked ...certs.Revoked) []byte {
	t.Helper()
	der, err := certs.CRL(by, big.NewInt(time.Now().UnixNano()), revoked, this, next)
	check(t, err)
	return der
}

// token is one of the unit over a digest by SHA-256.
func (w *world) token(t testing.TB, imprint []byte) []byte {
	t.Helper()
	token, err := w.stamper.Stamp(context.Background(), imprint, crypto.SHA256)
	check(t, err)
	return token.Raw
}

// ocsp is what the responder says of a certificate of the issuing CA's.
func (w *world) ocsp(t testing.TB, leaf *x509.Certificate, change func(*certs.SingleStatus)) []byte {
	t.Helper()
	return w.answer(t, w.responder, leaf, change)
}

func (w *world) answer(t testing.TB, r *certs.OCSPResponder, leaf *x509.Certificate, change func(*certs.SingleStatus)) []byte {
	t.Helper()
	id, err := certs.IDOf(leaf, w.issuing, crypto.SHA1)
	check(t, err)
	now := time.Now()
	s := certs.SingleStatus{ID: id, State: certs.StatusGood, ThisUpdate: now, NextUpdate: now.Add(12 * time.Hour)}
	produced := now
	if change != nil {
		change(&s)
		produced = s.ThisUpdate
	}
	der, err := r.Answer([]certs.SingleStatus{s}, produced, nil)
	check(t, err)
	return der
}

// data is all that B-LT needs, of this moment.
func (w *world) data(t testing.TB, p person) pdf.Material {
	t.Helper()
	return pdf.Material{Certificates: [][]byte{w.root.Raw, w.issuing.Raw, w.unit.Raw}, OCSPs: [][]byte{w.ocsp(t, p.leaf, nil)}, CRLs: [][]byte{w.crl}}
}

func clone(m pdf.Material) pdf.Material {
	return pdf.Material{Certificates: slices.Clone(m.Certificates), OCSPs: slices.Clone(m.OCSPs), CRLs: slices.Clone(m.CRLs)}
}
