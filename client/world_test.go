package client_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tekend/certs"
	"tekend/client"
	"tekend/cms"
	"tekend/tsa"
	"tekend/tsa/authority"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return k
}

// world is a person with a certificate, a running time-stamping unit, and what a service knows about both. It signs digests
// as the service does, and can be made to lie.
type world struct {
	key, rootKey, caKey *ecdsa.PrivateKey
	root, issuing, leaf *x509.Certificate
	roots               *x509.CertPool
	tsaURL              string
	stamper             *tsa.Client
	from                time.Time
}

func org(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

const cps = "https://sandbox.tekend.example/cps"

func publication(issuer string) certs.Publication {
	return certs.PublishedBy("http://127.0.0.1:8080/pki", issuer, cps)
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
	w := &world{key: newKey(t), rootKey: newKey(t), caKey: newKey(t), roots: x509.NewCertPool(), from: time.Now().Add(-time.Hour)}
	w.root = issue(t, certs.Issuer{Signer: w.rootKey}, certs.Order{
		Profile: certs.Root, Subject: org("SANDBOX Root"), PublicKey: w.rootKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(10, 0, 0),
	})
	w.roots.AddCert(w.root)
	w.issuing = issue(t, certs.Issuer{Cert: w.root, Signer: w.rootKey}, certs.Order{
		Profile: certs.IssuingCA, Subject: org("SANDBOX Issuing CA"), PublicKey: w.caKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(8, 0, 0), Publication: publication("root"),
	})
	w.leaf = w.person(t)
	unitKey := newKey(t)
	unit := issue(t, certs.Issuer{Cert: w.root, Signer: w.rootKey}, certs.Order{
		Profile: certs.TSU, Subject: org("SANDBOX Unit"), PublicKey: unitKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(3, 0, 0),
		PrivateKeyEnd: w.from.AddDate(1, 0, 0), Publication: publication("root"),
	})
	role, err := authority.New(context.Background(), authority.Config{Now: time.Now, DB: filepath.Join(t.TempDir(), "tsa.db")},
		authority.Dependencies{Unit: authority.Unit{Signer: unitKey, Chain: []*x509.Certificate{unit, w.root}}})
	check(t, err)
	srv := httptest.NewServer(role.Handler())
	t.Cleanup(func() { srv.Close(); _ = role.Close() })
	w.tsaURL = srv.URL + "/tsa"
	w.stamper = tsa.NewClient(tsa.ClientConfig{URL: w.tsaURL, Roots: w.roots, Now: time.Now}, http.DefaultClient)
	return w
}

// person issues a certificate for the world's key.
func (w *world) person(t testing.TB) *x509.Certificate {
	t.Helper()
	p, err := certs.NewPerson("Jo Doe", "Jo", "Doe", "BEL")
	check(t, err)
	pub := publication("issuing-ca")
	pub.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds/en", Language: "en"}}
	return issue(t, certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.NaturalPerson, Subject: p.Subject(), PublicKey: w.key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(2, 0, 0), Publication: pub,
	})
}

const apiKey = "tk_0123456789abcdef0123456789abcdef"

// client of a service at an address; "" when the test asks it nothing.
func (w *world) client(t testing.TB, base string) *client.Client {
	t.Helper()
	if base == "" {
		base = "http://127.0.0.1:1"
	}
	c, err := client.New(client.Config{BaseURL: base, Key: apiKey, TSA: w.tsaURL, Roots: w.roots, Now: time.Now})
	check(t, err)
	return c
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

var hashes = map[string]crypto.Hash{"SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

// lies is what the service does otherwise than an honest one; the zero value is honest.
type lies struct {
	digest     []byte // signed instead of the ordered one
	attributes func(a cms.Algorithm, digest []byte) ([]byte, error)
	hash       string                // instead of the ordered one
	parts      func(*cms.Parts)      // of the CMS, after signing
	product    func(*client.Product) // at last
	stampValue []byte                // is stamped instead of the signature value
}

// sign is what the service makes for a preparation.
func (w *world) sign(t testing.TB, p *client.Preparation, l lies) *client.Product {
	t.Helper()
	digest, name := p.Digest, p.Hash
	if l.digest != nil {
		digest = l.digest
	}
	if l.hash != "" {
		name = l.hash
	}
	alg, err := cms.ECDSAWithSHA256.WithHash(hashes[name])
	check(t, err)
	make := func(a cms.Algorithm, digest []byte) ([]byte, error) { return a.SignedAttributes(digest, w.leaf) }
	if p.Format == client.CAdES {
		make = func(a cms.Algorithm, digest []byte) ([]byte, error) {
			return a.CAdESAttributes(digest, w.leaf, time.Now(), "")
		}
	}
	if l.attributes != nil {
		make = l.attributes
	}
	attrs, err := make(alg, digest)
	check(t, err)
	value, err := w.key.Sign(rand.Reader, sum(alg.Hash(), attrs), alg.Options())
	check(t, err)
	parts := cms.Parts{SignedAttrs: attrs, Value: value, Certificate: w.leaf, Chain: []*x509.Certificate{w.issuing}}
	out := &client.Product{
		Format: p.Format, Level: p.Level, Algorithm: string(alg), Digest: p.Digest, DigestAlgorithm: p.Hash,
		SignedAttributes: attrs, Value: value, Certificates: [][]byte{w.leaf.Raw, w.issuing.Raw},
	}
	if p.Level != "B-B" {
		stamped := value
		if l.stampValue != nil {
			stamped = l.stampValue
		}
		token, err := w.stamper.Stamp(t.Context(), sum(crypto.SHA256, stamped), crypto.SHA256)
		check(t, err)
		parts.TimeStampToken, out.TimeStamp = token.Raw, token.Raw
	}
	if p.Level == "B-LT" || p.Level == "B-LTA" {
		out.OCSPs, out.CRLs = w.status(t)
	}
	if l.parts != nil {
		l.parts(&parts)
	}
	out.CMS, err = cms.Assemble(parts)
	check(t, err)
	if l.product != nil {
		l.product(out)
	}
	return out
}

// status is what B-LT needs: an answer about the person, made after the time-stamp, and the root's list.
func (w *world) status(t testing.TB) (ocsps, crls [][]byte) {
	t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // times in answers are whole seconds
	now := time.Now()
	key := newKey(t)
	cert := issue(t, certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.Responder, Subject: org("SANDBOX Responder"), PublicKey: key.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(0, 0, 30), Publication: publication("issuing-ca"),
	})
	id, err := certs.IDOf(w.leaf, w.issuing, crypto.SHA1)
	check(t, err)
	r := certs.OCSPResponder{Cert: cert, Signer: key, Issuer: w.issuing}
	answer, err := r.Answer([]certs.SingleStatus{{ID: id, State: certs.StatusGood, ThisUpdate: now, NextUpdate: now.Add(12 * time.Hour)}}, now, nil)
	check(t, err)
	list, err := certs.CRL(certs.Issuer{Cert: w.root, Signer: w.rootKey}, big.NewInt(1), nil, now, now.Add(24*time.Hour))
	check(t, err)
	return [][]byte{answer}, [][]byte{list}
}

func sample(t testing.TB, name string) *bytes.Reader {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/pdf", name))
	check(t, err)
	return bytes.NewReader(b)
}
