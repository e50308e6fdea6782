package validate_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/certs"
	"tekend/cms"
	"tekend/pdf"
	"tekend/tsa"
	"tekend/tsa/authority"
	"tekend/validate"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, der []byte, err error) *x509.Certificate {
	t.Helper()
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

var rsa3072 = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func newKey(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	curve := elliptic.P256()
	switch kind {
	case "RSA-3072", "RSA-3072-PSS":
		k, err := rsa3072()
		check(t, err)
		return k
	case "P-384":
		curve = elliptic.P384()
	}
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	check(t, err)
	return k
}

// world is the sandbox's PKI with a running time-stamping unit and a person.
type world struct {
	now                 time.Time // when everything is signed
	rootKey, caKey, key crypto.Signer
	root, issuing, leaf *x509.Certificate
	unit                *x509.Certificate // of stamper
	stamper             *tsa.Client
	from                time.Time
	roots               *x509.CertPool
	alg                 cms.Algorithm
}

func org(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

func newWorld(t testing.TB, kind string) *world { return newWorldOf(t, kind, "P-256") }

// newWorldOf also says what kind of key the issuing CA has.
func newWorldOf(t testing.TB, kind, ca string) *world {
	t.Helper()
	w := &world{now: time.Now(), rootKey: newKey(t, ""), caKey: newKey(t, ca), key: newKey(t, kind), roots: x509.NewCertPool()}
	var err error
	w.alg, err = cms.AlgorithmOf(w.key.Public())
	check(t, err)
	if kind == "RSA-3072-PSS" {
		w.alg = cms.PSSWithSHA256
	}
	w.from = w.now.Add(-time.Hour)
	const cps = "https://sandbox.tekend.example/cps"
	byRoot := certs.PublishedBy("http://127.0.0.1:8080/pki", "root", cps)
	der, err := certs.Issue(certs.Issuer{Signer: w.rootKey}, certs.Order{
		Profile: certs.Root, Subject: org("SANDBOX Root"), PublicKey: w.rootKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(10, 0, 0),
	})
	w.root = parse(t, der, err)
	w.roots.AddCert(w.root)
	issuer := certs.Issuer{Cert: w.root, Signer: w.rootKey}
	der, err = certs.Issue(issuer, certs.Order{
		Profile: certs.IssuingCA, Subject: org("SANDBOX Issuing CA"), PublicKey: w.caKey.Public(), NotBefore: w.from, NotAfter: w.from.AddDate(8, 0, 0), Publication: byRoot,
	})
	w.issuing = parse(t, der, err)
	w.leaf = w.person(t, w.from, w.from.AddDate(2, 0, 0))
	w.newUnit(t, w.from)
	return w
}

// newUnit starts a time-stamping unit, for three years, which the world uses from then on.
func (w *world) newUnit(t testing.TB, from time.Time) {
	t.Helper()
	unitKey := newKey(t, "")
	der, err := certs.Issue(certs.Issuer{Cert: w.root, Signer: w.rootKey}, certs.Order{
		Profile: certs.TSU, Subject: org("SANDBOX Unit"), PublicKey: unitKey.Public(), NotBefore: from, NotAfter: from.AddDate(3, 0, 0),
		PrivateKeyEnd: from.AddDate(1, 0, 0), Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	})
	w.unit = parse(t, der, err)
	role, err := authority.New(context.Background(), authority.Config{Now: func() time.Time { return w.now }, DB: filepath.Join(t.TempDir(), "tsa.db")},
		authority.Dependencies{Unit: authority.Unit{Signer: unitKey, Chain: []*x509.Certificate{w.unit, w.root}}})
	check(t, err)
	srv := httptest.NewServer(role.Handler())
	t.Cleanup(func() { srv.Close(); _ = role.Close() })
	w.stamper = tsa.NewClient(tsa.ClientConfig{URL: srv.URL + "/tsa", Roots: w.roots, Now: func() time.Time { return w.now }}, http.DefaultClient)
}

// person issues a certificate for the world's key.
func (w *world) person(t testing.TB, from, to time.Time) *x509.Certificate {
	t.Helper()
	p, err := certs.NewPerson("Jo Doe", "Jo", "Doe", "BEL")
	check(t, err)
	pub := certs.PublishedBy("http://127.0.0.1:8080/pki", "issuing-ca", "https://sandbox.tekend.example/cps")
	pub.PDS = []certs.PDS{{URL: "https://sandbox.tekend.example/pds/en", Language: "en"}}
	der, err := certs.Issue(certs.Issuer{Cert: w.issuing, Signer: w.caKey}, certs.Order{
		Profile: certs.NaturalPerson, Subject: p.Subject(), PublicKey: w.key.Public(), NotBefore: from, NotAfter: to, Publication: pub,
	})
	return parse(t, der, err)
}

// recipe is how a product is made; the zero value is a good B-T.
type recipe struct {
	noStamp bool
	reserve int                        // for the CMS; at least 16 KiB
	at      time.Time                  // signature and time-stamp; zero: now
	claimed time.Time                  // /M; zero: at
	stamp   func(value []byte) []byte  // makes the token instead of the unit
	rebuild func(p cms.Parts) []byte   // makes the CMS instead of cms.Assemble
	attrs   func(digest []byte) []byte // makes the signed attributes
	file    func(update []byte) []byte // changes the update with the empty Contents
}

func base(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("../testdata/pdf/pdftex-1.4-classic.pdf")
	check(t, err)
	return b
}

// sign makes a signed document from doc.
func (w *world) sign(t testing.TB, doc []byte, r recipe) []byte {
	t.Helper()
	if r.at.IsZero() {
		r.at = w.now
	}
	if r.claimed.IsZero() {
		r.claimed = r.at
	}
	p, err := pdf.Prepare(bytes.NewReader(doc), int64(len(doc)), pdf.Options{SignatureTime: r.claimed, Reserve: max(r.reserve, 16<<10), Hash: w.alg.Hash()})
	check(t, err)
	attrs, err := w.alg.SignedAttributes(p.Digest, w.leaf)
	check(t, err)
	if r.attrs != nil {
		attrs = r.attrs(p.Digest)
	}
	digest := w.alg.Hash().New()
	digest.Write(attrs)
	value, err := w.key.Sign(rand.Reader, digest.Sum(nil), w.alg.Options())
	check(t, err)
	parts := cms.Parts{SignedAttrs: attrs, Value: value, Certificate: w.leaf, Chain: []*x509.Certificate{w.issuing}}
	switch {
	case r.stamp != nil:
		parts.TimeStampToken = r.stamp(value)
	case !r.noStamp:
		sum := sha256.Sum256(value)
		before := w.now
		w.now = r.at
		tok, err := w.stamper.Stamp(context.Background(), sum[:], crypto.SHA256)
		w.now = before
		check(t, err)
		parts.TimeStampToken = tok.Raw
	}
	var der []byte
	if r.rebuild != nil {
		der = r.rebuild(parts)
	} else {
		der, err = cms.Assemble(parts)
		check(t, err)
	}
	update, err := p.Embed(der)
	check(t, err)
	return append(bytes.Clone(doc), update...)
}

// judge validates at a time (zero: a moment after w.now).
func (w *world) judge(t testing.TB, doc []byte, at time.Time) *validate.Report {
	t.Helper()
	if at.IsZero() {
		at = w.now.Add(time.Second)
	}
	rep, err := validate.PDF(context.Background(), bytes.NewReader(doc), int64(len(doc)), validate.Options{Roots: w.roots, At: at, NoRevocation: true})
	check(t, err)
	return rep
}

func TestProductPasses(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "RSA-3072", "RSA-3072-PSS"} {
		w := newWorld(t, kind)
		for level, r := range map[string]recipe{"B-T": {}, "B-B": {noStamp: true}} {
			rep := w.judge(t, w.sign(t, base(t), r), time.Time{})
			if rep.Indication != validate.TotalPassed || rep.SubIndication != "" || len(rep.Signatures) != 1 {
				t.Fatalf("%s %s: %+v", kind, level, rep)
			}
			s := rep.Signatures[0]
			if s.Level != level || !s.CoversWholeFile || s.LaterChanges || len(s.Reasons) > 0 || s.Signer != "Jo Doe (SANDBOX)" ||
				!s.SignedAt.Equal(w.now.UTC().Truncate(time.Second)) || s.Kind != validate.KindSignature {
				t.Errorf("%s: %+v", kind, s)
			}
			if level == "B-T" && (!s.BestTime.Equal(w.now.Truncate(time.Millisecond)) || !s.TimeStamps[0].Verified || s.TimeStamps[0].Unit != "SANDBOX Unit") {
				t.Errorf("%s: %+v", kind, s)
			}
		}
	}
}

// TestEveryRealDocument signs each file of testdata/pdf that can be signed.
func TestEveryRealDocument(t *testing.T) {
	w := newWorld(t, "P-256")
	files, err := filepath.Glob("../testdata/pdf/*.pdf")
	check(t, err)
	signed := 0
	for _, path := range files {
		doc, err := os.ReadFile(path)
		check(t, err)
		if pdf.Check(bytes.NewReader(doc), int64(len(doc)), pdf.Options{SignatureTime: w.now, Reserve: 1000, Hash: crypto.SHA256}) != nil {
			continue
		}
		signed++
		rep := w.judge(t, w.sign(t, doc, recipe{}), time.Time{})
		last := rep.Signatures[len(rep.Signatures)-1]
		if last.Indication != validate.TotalPassed || last.Level != "B-T" {
			t.Errorf("%s: %+v", path, last)
		}
	}
	if signed < 15 {
		t.Errorf("only %d documents were signed", signed)
	}
}

// TestNoChangedByteOfTheCMSPasses changes every byte of the DER in turn, and
// so every byte of the attributes, the value, the certificates and the
// time-stamp.
func TestNoChangedByteOfTheCMSPasses(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "RSA-3072", "RSA-3072-PSS"} {
		w := newWorld(t, kind)
		doc := w.sign(t, base(t), recipe{})
		list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
		check(t, err)
		n := len(list[0].CMS)
		step := 1
		if testing.Short() || kind == "P-384" || kind == "RSA-3072-PSS" {
			step = 7
		}
		for at := 0; at < n; at += step {
			bad := bytes.Clone(doc)
			hexAt := list[0].ContentsStart + 1 + int64(2*at)
			// Another value of the first or the second digit; letters stay what they were.
			i := hexAt + int64(at%2)
			bad[i] = "123456789ABCDEF0"[strings.IndexByte("0123456789ABCDEF", bytes.ToUpper(bad[i : i+1])[0])]
			if rep := w.judge(t, bad, time.Time{}); rep.Indication == validate.TotalPassed {
				t.Errorf("%s: byte %d of %d of the CMS changed: still passed, level %s", kind, at, n, rep.Signatures[0].Level)
			}
		}
	}
}

// TestNoChangedByteOfTheDocumentPasses changes bytes all over the signed
// ranges, and the frame of the signature itself.
func TestNoChangedByteOfTheDocumentPasses(t *testing.T) {
	w := newWorld(t, "P-256")
	doc := w.sign(t, base(t), recipe{})
	list, err := pdf.Signatures(bytes.NewReader(doc), int64(len(doc)), pdf.Budget{})
	check(t, err)
	s := list[0]
	var places []int64
	for at := int64(0); at < s.ContentsStart; at += 1 + s.ContentsStart/300 {
		places = append(places, at)
	}
	for at := s.ContentsStart - 400; at <= s.ContentsStart; at++ {
		places = append(places, max(at, 0))
	}
	for at := s.ContentsEnd - 1; at < int64(len(doc)); at++ {
		places = append(places, at)
	}
	for at := s.ContentsStart + 1 + 2*int64(len(s.CMS)); at < s.ContentsEnd-1; at += 997 { // padding
		places = append(places, at)
	}
	for _, at := range places {
		bad := bytes.Clone(doc)
		bad[at] ^= 1
		rep, err := validate.PDF(context.Background(), bytes.NewReader(bad), int64(len(bad)), validate.Options{Roots: w.roots, At: w.now.Add(time.Second), NoRevocation: true})
		if err == nil && rep.Indication == validate.TotalPassed {
			t.Errorf("byte %d of %d changed: still passed", at, len(doc))
		}
	}
	if len(places) < 600 {
		t.Errorf("only %d places", len(places))
	}
}
