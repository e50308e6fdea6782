//go:build interop

// Package cades shows our CAdES signatures of every level to EU DSS, which has
// them and a root certificate and no network.
package cades

import (
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
	"sync"
	"testing"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/tsa"
	"tekend/tsa/authority"
)

// world is a PKI as the sandbox has one, with a time-stamping unit that runs.
type world struct {
	rootKey, caKey      crypto.Signer
	root, issuing, unit *x509.Certificate
	stamper             *tsa.Client
	responder           *certs.OCSPResponder
	from                time.Time
	crl                 []byte // of the root: about the issuing CA and the unit
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	check(t, err)
	return k
}

var rsa3072 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

const (
	pki = "http://127.0.0.1:9/pki" // nobody is there
	cps = "https://sandbox.tekend.example/cps"
)

func org(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

func issue(t testing.TB, by certs.Issuer, o certs.Order) *x509.Certificate {
	t.Helper()
	der, err := certs.Issue(by, o)
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{rootKey: ecKey(t, elliptic.P256()), caKey: ecKey(t, elliptic.P256()), from: time.Now().Add(-time.Hour)}
	byRoot := certs.PublishedBy(pki, "root", cps)
	w.root = issue(t, certs.Issuer{Signer: w.rootKey}, certs.Order{
		Profile: certs.Root, Subject: org("SANDBOX Root"), PublicKey: w.rootKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(10, 0, 0),
	})
	root := certs.Issuer{Cert: w.root, Signer: w.rootKey}
	w.issuing = issue(t, root, certs.Order{
		Profile: certs.IssuingCA, Subject: org("SANDBOX Issuing CA"), PublicKey: w.caKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(8, 0, 0), Publication: byRoot,
	})
	unitKey := ecKey(t, elliptic.P256())
	w.unit = issue(t, root, certs.Order{
		Profile: certs.TSU, Subject: org("SANDBOX Unit"), PublicKey: unitKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
		PrivateKeyEnd: w.from.AddDate(1, 0, 0), Publication: byRoot,
	})
	role, err := authority.New(context.Background(), authority.Config{Now: time.Now, DB: filepath.Join(t.TempDir(), "tsa.db")},
		authority.Dependencies{Unit: authority.Unit{Signer: unitKey, Chain: []*x509.Certificate{w.unit, w.root}}})
	check(t, err)
	srv := httptest.NewServer(role.Handler())
	t.Cleanup(func() { srv.Close(); _ = role.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(w.root)
	w.stamper = tsa.NewClient(tsa.ClientConfig{URL: srv.URL + "/tsa", Roots: roots, Now: time.Now}, http.DefaultClient)
	key := ecKey(t, elliptic.P256())
	w.responder = &certs.OCSPResponder{Signer: key, Issuer: w.issuing, Cert: issue(t, certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.Responder, Subject: org("SANDBOX Responder"), PublicKey: key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(0, 0, 30),
		Publication: certs.PublishedBy(pki, "issuing-ca", cps),
	})}
	w.crl, err = certs.CRL(root, big.NewInt(1), nil, time.Now(), time.Now().AddDate(0, 1, 0))
	check(t, err)
	return w
}

// person is a key with its certificate and how it signs.
type person struct {
	key  crypto.Signer
	leaf *x509.Certificate
	alg  cms.Algorithm
}

func (w *world) person(t testing.TB, key crypto.Signer, alg cms.Algorithm) person {
	t.Helper()
	p, err := certs.NewPerson("Jo Doe", "Jo", "Doe", "BEL")
	check(t, err)
	pub := certs.PublishedBy(pki, "issuing-ca", cps)
	pub.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds/en", Language: "en"}}
	return person{key, issue(t, certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.NaturalPerson, Subject: p.Subject(), PublicKey: key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(2, 0, 0), Publication: pub,
	}), alg}
}

func digest(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

func (w *world) stamp(t testing.TB, imprint []byte, h crypto.Hash) []byte {
	t.Helper()
	token, err := w.stamper.Stamp(context.Background(), imprint, h)
	check(t, err)
	return token.Raw
}

// ocsp is an answer of this moment about a person's certificate.
func (w *world) ocsp(t testing.TB, p person) []byte {
	t.Helper()
	id, err := certs.IDOf(p.leaf, w.issuing, crypto.SHA1)
	check(t, err)
	now := time.Now()
	der, err := w.responder.Answer([]certs.SingleStatus{{ID: id, State: certs.StatusGood, ThisUpdate: now, NextUpdate: now.Add(12 * time.Hour)}}, now, nil)
	check(t, err)
	return der
}

// levels signs a content and goes up all levels: the last one has a second
// archive time-stamp, by SHA-512.
func (w *world) levels(t testing.TB, p person, content []byte) map[string]cms.Parts {
	t.Helper()
	h := p.alg.Hash()
	attrs, err := p.alg.CAdESAttributes(digest(h, content), p.leaf, time.Now(), "text/plain")
	check(t, err)
	value, err := p.key.Sign(rand.Reader, digest(h, attrs), p.alg.Options())
	check(t, err)
	bb := cms.Parts{SignedAttrs: attrs, Value: value, Certificate: p.leaf, Chain: []*x509.Certificate{w.issuing}}
	bt := bb
	bt.TimeStampToken = w.stamp(t, digest(crypto.SHA256, value), crypto.SHA256)
	lt := bt
	lt.ExtraCertificates = [][]byte{w.root.Raw, w.unit.Raw}
	lt.OCSPs, lt.CRLs = [][]byte{w.ocsp(t, p)}, [][]byte{w.crl}
	lta := w.archive(t, lt, content, crypto.SHA256)
	return map[string]cms.Parts{"B": bb, "T": bt, "LT": lt, "LTA": lta, "LTA again": w.archive(t, lta, content, crypto.SHA512)}
}

func (w *world) archive(t testing.TB, p cms.Parts, content []byte, h crypto.Hash) cms.Parts {
	t.Helper()
	imprint, index, err := cms.ArchiveImprintOf(p, digest(h, content), h)
	check(t, err)
	token, err := cms.WithHashIndex(w.stamp(t, imprint, h), index)
	check(t, err)
	p.Archive = append(slices.Clone(p.Archive), token)
	return p
}
