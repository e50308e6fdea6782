//go:build interop

// Package evidence has bundles made by the real sam, with SoftHSM, the simulated
// itsme, a witness and our time-stamping unit around it, and has both verifiers
// judge them: ours in Go, and the one in Python that was written from
// docs/evidence.md alone.
package evidence

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/cms"
	"tekend/consent"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/order"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/tsa"
	stamping "tekend/tsa/authority"
	"tekend/wire"
	"tekend/witness"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is for values whose error ends the test: got(f())(t).
func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

const (
	identID, confirmID = "IDENT00001", "CONFIRM001"
	callback           = "https://front.test/itsme/callback"
	logOrigin          = "sandbox.test/audit/sam"
)

// world is everything that a bundle is made by. The test is the front.
type world struct {
	t        testing.TB
	dir      string
	itsme    string // issuer
	keys     atomic.Value
	root     *x509.Certificate
	roots    *x509.CertPool
	rootKey  *ecdsa.PrivateKey
	issuing  certs.Issuer
	unit     certs.Issuer
	sam      *sam.Client
	ca       *ca.Client
	stamper  *tsa.Client
	provider *ecdsa.PrivateKey
	witness  string // verifier key
	logKey   string
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, b []byte) string {
	must(w.t, os.WriteFile(w.path(name), b, 0o600))
	return w.path(name)
}

// memory is a file system in memory, "" where there is none: thousands of
// time-stamps, each durable, would wait for the disk most of the time.
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func newWorld(t testing.TB, kind hsm.KeyKind) *world {
	t.Helper()
	w := &world{t: t, dir: got(os.MkdirTemp(memory(), "ev"))(t)} // Unix socket paths are short
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	w.startItsme()
	w.ceremony()
	w.startCA()
	w.startTSA()
	w.startSAM(kind)
	return w
}

func (w *world) pem(name, kind string, der []byte) string {
	return w.write(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (w *world) startItsme() {
	t := w.t
	keys := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.keys.Load().(http.Handler).ServeHTTP(rw, r)
	}))
	t.Cleanup(keys.Close)
	l := got(net.Listen("tcp", "127.0.0.1:0"))(t)
	w.itsme = "http://" + l.Addr().String() + "/v2"
	op := got(sandbox.New(sandbox.Config{
		Now: time.Now, Listen: l.Addr().String(), Issuer: w.itsme, StateFile: w.path("itsme.state"), SlowDelay: time.Millisecond,
		Clients: []sandbox.ClientRegistration{
			{ID: identID, JWKSURL: keys.URL + "/jwks/ident", RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"IDENT": sandbox.Identification}},
			{ID: confirmID, JWKSURL: keys.URL + "/jwks/confirm", RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"CONF": sandbox.Confirmation}, PKCERequired: true},
		},
	}))(t)
	web := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Second, Handler: op.Handler()}}
	web.Start()
	t.Cleanup(web.Close)
}

func (w *world) ceremony() {
	t := w.t
	subject := func(cn string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
	}
	from := time.Now().Add(-time.Hour)
	key := func() *ecdsa.PrivateKey { return got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t) }
	issue := func(by certs.Issuer, p certs.Profile, cn string, pub crypto.PublicKey) *x509.Certificate {
		o := certs.Order{Profile: p, Subject: subject(cn), PublicKey: pub, NotBefore: from, NotAfter: from.AddDate(6, 0, 0)}
		if by.Cert != nil {
			o.Publication = certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps")
		}
		if p == certs.TSU {
			o.PrivateKeyEnd = from.AddDate(1, 0, 0)
		}
		return got(x509.ParseCertificate(got(certs.Issue(by, o))(t)))(t)
	}
	caKey, tsuKey := key(), key()
	w.rootKey = key()
	w.root = issue(certs.Issuer{Signer: w.rootKey}, certs.Root, "Tekend SANDBOX Root CA", w.rootKey.Public())
	by := certs.Issuer{Cert: w.root, Signer: w.rootKey}
	w.issuing = certs.Issuer{Cert: issue(by, certs.IssuingCA, "Tekend SANDBOX Issuing CA", caKey.Public()), Signer: caKey}
	w.unit = certs.Issuer{Cert: issue(by, certs.TSU, "Tekend SANDBOX TSU", tsuKey.Public()), Signer: tsuKey}
	for name, c := range map[string]*x509.Certificate{"root.pem": w.root, "issuer.pem": w.issuing.Cert, "tsu.pem": w.unit.Cert} {
		w.pem(name, "CERTIFICATE", c.Raw)
	}
	w.write("root.crl", got(certs.CRL(by, big.NewInt(1), nil, from, from.AddDate(1, 0, 0)))(t))
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.root)
}

// listen serves h on a socket of the world's directory.
func (w *world) listen(name string, h http.Handler) {
	l := got(wire.Listen(w.path(name), 0o600))(w.t)
	srv := wire.Server(h, wire.Peers{})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	w.t.Cleanup(func() { _ = srv.Close(); <-done })
}

func terms() []byte {
	sum := sha256.Sum256([]byte("the terms"))
	return sum[:]
}

func (w *world) startCA() {
	role := got(authority.New(w.t.Context(), authority.Config{
		Now: time.Now, DB: w.path("ca.db"), RootFile: w.path("root.pem"), IssuingCAFile: w.path("issuer.pem"), TSUFile: w.path("tsu.pem"), RootCRLFile: w.path("root.crl"),
		PublicURL: "http://127.0.0.1:8080/pki", CPSURL: "https://sandbox.tekend.example/cps", PDS: []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}},
		Itsme: itsme.Config{Issuer: w.itsme, Now: time.Now}, IdentClient: identID, ConfirmClient: confirmID, DefaultCountry: "BE",
		TermsVersion: "2026-11", TermsSHA256: base64.RawURLEncoding.EncodeToString(terms()),
	}, authority.Dependencies{Signer: w.issuing.Signer, OCSP: got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.t), Keys: itsme.NewProvider(itsme.Config{Issuer: w.itsme, Now: time.Now}, nil)}))(w.t)
	w.t.Cleanup(func() { _ = role.Close() })
	w.listen("ca.sock", role.Handler())
	w.listen("status.sock", role.StatusHandler())
	w.ca = ca.NewClient(w.path("ca.sock"), 20*time.Second)
}

func (w *world) startTSA() {
	role := got(stamping.New(w.t.Context(), stamping.Config{Now: time.Now, DB: w.path("tsa.db"), Rate: 1e6},
		stamping.Dependencies{Unit: stamping.Unit{Signer: w.unit.Signer, Chain: []*x509.Certificate{w.unit.Cert, w.root}}}))(w.t)
	w.t.Cleanup(func() { _ = role.Close() })
	w.listen("tsa.sock", role.Handler())
	w.stamper = tsa.NewClient(tsa.ClientConfig{Socket: w.path("tsa.sock"), Roots: w.roots, Now: time.Now}, nil)
}

// record makes the log's key and a witness that follows it.
func (w *world) record() audit.LogConfig {
	t := w.t
	key := got(newLogKey())(t)
	w.logKey = audit.VerifierKey(logOrigin, key.pub)
	vkey := got(witness.Init("witness.test/w1", w.path("witness.key"), w.path("witness")))(t)
	w.witness = vkey
	seen := got(witness.Open(witness.Config{
		KeyFile: w.path("witness.key"), StateDir: w.path("witness"), Logs: []witness.Log{{Origin: logOrigin, Key: w.logKey}},
	}))(t)
	web := httptest.NewServer(seen.Handler())
	t.Cleanup(web.Close)
	return audit.LogConfig{
		Origin: logOrigin, KeyFile: w.pem("log.pem", "PRIVATE KEY", key.der), Witnesses: []audit.Witness{{URL: web.URL, Key: vkey}},
	}
}

func (w *world) startSAM(kind hsm.KeyKind) {
	t := w.t
	token := hsmtest.Token(t)
	for _, label := range []string{"itsme-ident-sig", "itsme-confirm-sig"} {
		got(token.CreateKeyPair(t.Context(), label, hsm.RSA2048))(t)
	}
	for _, name := range []string{"ident.pem", "confirm.pem"} {
		key := got(rsa.GenerateKey(rand.Reader, 2048))(t)
		w.pem(name, "PRIVATE KEY", got(x509.MarshalPKCS8PrivateKey(key))(t))
	}
	client := func(id, service, file string) activation.ClientConfig {
		return activation.ClientConfig{ClientConfig: itsme.ClientConfig{ID: id, Service: service, RedirectURI: callback}, EncKeyFile: w.path(file)}
	}
	cfg := activation.Config{
		Now: time.Now, DB: w.path("sam.db"), Itsme: itsme.Config{Issuer: w.itsme}, KeyType: kind,
		Ident: client(identID, "IDENT", "ident.pem"), Confirm: client(confirmID, "CONF", "confirm.pem"),
		RootFile: w.path("root.pem"), IssuerFile: w.path("issuer.pem"), StatusSocket: w.path("status.sock"),
		Limits: activation.Limits{Open: 1 << 20, PerHour: 1 << 20}, Audit: w.record(),
	}
	w.provider = got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	public := w.pem("acme.pem", "PUBLIC KEY", got(x509.MarshalPKIXPublicKey(w.provider.Public()))(t))
	cfg.Providers = []activation.ProviderConfig{{Name: "acme", KeyFiles: []string{public}}}
	role := got(activation.New(context.Background(), cfg, activation.Dependencies{Token: token}))(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); role.RunAudit(ctx) }()
	t.Cleanup(func() { stop(); <-done; _ = role.Close() })
	w.keys.Store(role.JWKS())
	w.listen("sam.sock", role.Handler())
	w.sam = sam.NewClient(w.path("sam.sock"), 30*time.Second)
}

// answer lets a magic person answer a question.
func (w *world) answer(link, person string) sam.Answer {
	w.t.Helper()
	link += "&sandbox_auto=1"
	if person != "" {
		link += "&sandbox_person=" + person
	}
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp := got(hc.Do(got(http.NewRequestWithContext(w.t.Context(), http.MethodGet, link, nil))(w.t)))(w.t)
	must(w.t, resp.Body.Close())
	q := got(url.Parse(resp.Header.Get("Location")))(w.t).Query()
	return sam.Answer{Code: q.Get("code"), Error: q.Get("error")}
}

// enrol gives a magic person a credential.
func (w *world) enrol(person string) sam.Credential {
	w.t.Helper()
	ctx := w.t.Context()
	st := got(w.sam.Enrol(ctx, sam.EnrolRequest{V: 1, Txn: "enrol-" + person, Language: "nl", TermsVersion: "2026-11", TermsSHA256: terms()}))(w.t)
	st = got(w.sam.Identification(ctx, st.ID, w.answer(st.AuthorizationURL, person)))(w.t)
	st = got(w.sam.Consent(ctx, st.ID, w.answer(st.AuthorizationURL, person)))(w.t)
	issued := got(w.ca.Issue(ctx, ca.IssueRequest(*st.Order)))(w.t)
	st = got(w.sam.Certificate(ctx, st.ID, issued.Chain))(w.t)
	if st.Credential == nil {
		w.t.Fatalf("%+v", st)
	}
	return *st.Credential
}

// variant is how the i-th confirmation is ordered: the hash of its family in turn, every second one with CAdES attributes
// and only hashes, every fourth one with the provider's signature, of every three one in Dutch.
type variant struct {
	alg              cms.Algorithm
	name, language   string // of the digest algorithm
	cades, hash, own bool   // own: ordered without the provider's signature
}

func variantOf(c sam.Credential, i int) (variant, error) {
	h := []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}[i%3]
	alg, err := cms.Algorithm(c.Algorithm).WithHash(h)
	return variant{
		alg: alg, name: map[crypto.Hash]string{crypto.SHA256: consent.SHA256, crypto.SHA384: consent.SHA384, crypto.SHA512: consent.SHA512}[h],
		language: []string{"en", "nl", "en"}[i%3], cades: i%2 == 0, hash: i%2 == 0, own: i%4 != 0,
	}, err
}

// document is one of them, with its digest in an order.
func (v variant) document(label string, text []byte, leaf *x509.Certificate) (d sam.Document, o order.Document, err error) {
	w := v.alg.Hash().New()
	w.Write(text)
	d = sam.Document{Label: label, Alg: v.name, Digest: w.Sum(nil), Hash: v.hash}
	if v.cades {
		d.SignedAttrs, err = v.alg.CAdESAttributes(d.Digest, leaf, time.Now(), []string{"", "application/pdf"}[len(label)%2])
	} else {
		d.SignedAttrs, err = v.alg.SignedAttributes(d.Digest, leaf)
	}
	if err == nil {
		o, err = order.NewDigest(v.alg.Hash(), d.Digest)
	}
	return d, o, err
}

// sign has n documents confirmed and signed and gives the confirmation's nonce.
func (w *world) sign(c sam.Credential, name string, n, i int) string {
	w.t.Helper()
	ctx := w.t.Context()
	leaf := got(x509.ParseCertificate(c.Chain[0]))(w.t)
	v := got(variantOf(c, i))(w.t)
	r := sam.PrepareRequest{V: 1, Txn: name, Credential: c.ID, Language: v.language}
	var all []int
	var ordered []order.Document
	for i := range n {
		d, o, err := v.document(fmt.Sprintf("Contract \"%d\" & bijlage ééñ %s.pdf", i+1, name), fmt.Appendf(nil, "%s, document %d", name, i), leaf)
		must(w.t, err)
		r.Documents, ordered, all = append(r.Documents, d), append(ordered, o), append(all, i)
	}
	if !v.own {
		r.Provider = "acme"
		r.Order = got(order.Sign(order.New(r.Provider, ordered, time.Now(), time.Hour), w.provider))(w.t)
	}
	p := got(w.sam.Prepare(ctx, r))(w.t)
	s := got(w.sam.Authorize(ctx, p.Nonce, w.answer(p.AuthorizationURL, "")))(w.t)
	got(w.sam.Sign(ctx, p.Nonce, sam.SignRequest{Session: s.ID, Positions: all}))(w.t)
	return p.Nonce
}

// evidence fetches a bundle and has it stamped, as the front does.
func (w *world) evidence(nonce string) *consent.Bundle {
	w.t.Helper()
	for range 100 {
		e, err := w.sam.Evidence(w.t.Context(), nonce)
		if err != nil {
			if r, ok := err.(*wire.Error); ok && r.Code == sam.CodeNotYet {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			w.t.Fatal(err)
		}
		return w.stamp(got(consent.DecodeBundle(e.Bundle))(w.t))
	}
	w.t.Fatal("no checkpoint within 10 s")
	return nil
}

// stamp puts a new time-stamp on a bundle in place of those it has.
func (w *world) stamp(b *consent.Bundle) *consent.Bundle {
	w.t.Helper()
	token := got(w.stamper.Stamp(w.t.Context(), got(b.Imprint())(w.t), crypto.SHA256))(w.t)
	b.TimeStamps = [][]byte{token.Raw}
	return b
}

// stampBytes is a time-stamp over the SHA-256 of b.
func (w *world) stampBytes(b []byte) []byte {
	w.t.Helper()
	sum := sha256.Sum256(b)
	return got(w.stamper.Stamp(w.t.Context(), sum[:], crypto.SHA256))(w.t).Raw
}
