package activation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/certs/authority"
	"tekend/cms"
	"tekend/db"
	"tekend/db/dbtest"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

const (
	identID, confirmID = "IDENT00001", "CONFIRM001"
	terms              = "2026-11"
)

// world is a sam with everything real around it: SoftHSM behind the spy, the
// simulated itsme, the role ca. The front is the test.
type world struct {
	t        testing.TB
	dir      string
	shift    atomic.Int64 // of the clock
	token    *hsm.Token
	spyAt    int64 // where the spy's log of this world begins
	op       *sandbox.Server
	url      string // itsme's issuer
	opDown   atomic.Bool
	cut      atomic.Value // string: path of itsme whose answer is dropped
	hits     atomic.Int64 // exchanges at itsme
	cfg      activation.Config
	role     *activation.Role
	stop     func()
	jwks     atomic.Value // http.Handler
	front    *sam.Client
	socket   string
	ca       *ca.Client
	caDown   atomic.Bool
	status   atomic.Value     // http.HandlerFunc in place of the ca's, for defects
	caStatus http.HandlerFunc // the ca's own, where a test keeps it
	issuer   certs.Issuer
	above    certs.Issuer // the root
	caCfg    authority.Config
	http     *http.Client // of the sam to itsme; nil: its own
}

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

func (w *world) now() time.Time           { return time.Now().Add(time.Duration(w.shift.Load())) }
func (w *world) advance(d time.Duration)  { w.shift.Add(int64(d)) }
func (w *world) path(name string) string  { return filepath.Join(w.dir, name) }
func (w *world) write(n string, b []byte) { must(w.t, os.WriteFile(w.path(n), b, 0o600)) }

func newWorld(t testing.TB, change ...func(*activation.Config)) *world {
	t.Helper()
	w := &world{t: t, dir: got(os.MkdirTemp("", "sam"))(t)} // Unix socket paths are short
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	w.cut.Store("")
	w.openToken()
	w.startItsme()
	w.ceremony()
	w.startCA()
	w.cfg = activation.Config{
		Limits: activation.Limits{Open: 1000, PerHour: 100000}, // limits_test.go has its own
		Now:    w.now, DB: dbtest.Source(t, w.path("sam.db")), Itsme: itsme.Config{Issuer: w.url},
		Ident:    activation.ClientConfig{ClientConfig: itsme.ClientConfig{ID: identID, Service: "IDENT", RedirectURI: callback}, EncKeyFile: w.path("ident.pem")},
		Confirm:  activation.ClientConfig{ClientConfig: itsme.ClientConfig{ID: confirmID, Service: "CONF", RedirectURI: callback}, EncKeyFile: w.path("confirm.pem")},
		RootFile: w.path("root.pem"), IssuerFile: w.path("issuer.pem"), StatusSocket: w.path("status.sock"),
	}
	for i, name := range []string{"ident.pem", "confirm.pem"} {
		der := got(x509.MarshalPKCS8PrivateKey(encKeys()[i]))(t)
		w.write(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	for _, c := range change {
		c(&w.cfg)
	}
	w.start()
	return w
}

const callback = "https://front.test/itsme/callback"

var encKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var k [2]*rsa.PrivateKey
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

var theToken struct {
	once sync.Once
	cfg  hsm.Config
}

// openToken opens the token of this test process through the spy: one login
// for each test. Its keys are made once, because RSA is slow.
func (w *world) openToken() {
	t := w.t
	t.Helper()
	theToken.once.Do(func() {
		cfg := hsmtest.Config(t)
		pin := filepath.Join(dirOfUs, "pin") // the test's own folder ends with it
		must(t, os.WriteFile(pin, got(os.ReadFile(cfg.PINFile))(t), 0o600))
		cfg.Module, cfg.PINFile, cfg.TestOnly = module(), pin, true
		token := got(hsm.Open(t.Context(), cfg))(t)
		for _, label := range []string{"itsme-ident-sig", "itsme-confirm-sig"} {
			got(token.CreateKeyPair(t.Context(), label, hsm.RSA2048))(t)
		}
		must(t, token.Close())
		theToken.cfg = cfg
	})
	if theToken.cfg.Module == "" {
		t.Fatal("the token could not be made")
	}
	cfg := theToken.cfg
	cfg.Module = module()
	w.token = got(hsm.Open(context.Background(), cfg))(t)
	t.Cleanup(func() { _ = w.token.Close() })
	w.spyAt = spySize(t)
}

// itsmeState is made once: its RSA keys are slow.
var itsmeState = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "itsme")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "state")
	if _, err := sandbox.New(sandbox.Config{Now: time.Now, Issuer: "http://127.0.0.1/v2", StateFile: path}); err != nil {
		panic(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return b
})

func (w *world) startItsme() {
	t := w.t
	keys := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.jwks.Load().(http.Handler).ServeHTTP(rw, r)
	}))
	t.Cleanup(keys.Close)
	l := got(net.Listen("tcp", "127.0.0.1:0"))(t)
	w.url = "http://" + l.Addr().String() + "/v2"
	w.write("itsme.state", itsmeState())
	w.op = got(sandbox.New(sandbox.Config{
		Now: w.now, Listen: l.Addr().String(), Issuer: w.url, StateFile: w.path("itsme.state"), SlowDelay: time.Millisecond,
		Clients: []sandbox.ClientRegistration{
			{ID: identID, JWKSURL: keys.URL + "/jwks/ident", RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"IDENT": sandbox.Identification}},
			{ID: confirmID, JWKSURL: keys.URL + "/jwks/confirm", RedirectURIs: []string{callback}, Services: map[string]sandbox.ServiceType{"CONF": sandbox.Confirmation}, PKCERequired: true},
		},
	}))(t)
	h := w.op.Handler()
	web := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/token") {
			w.hits.Add(1)
		}
		if w.opDown.Load() {
			http.Error(rw, "down", http.StatusServiceUnavailable)
			return
		}
		if cut := w.cut.Load().(string); cut != "" && strings.HasSuffix(r.URL.Path, cut) {
			h.ServeHTTP(httptest.NewRecorder(), r) // it happened,
			panic(http.ErrAbortHandler)            // and nobody is told
		}
		h.ServeHTTP(rw, r)
	})}}
	web.Config.ErrorLog = nil
	web.Start()
	t.Cleanup(web.Close)
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	return got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func (w *world) ceremony() {
	t := w.t
	subject := func(cn string) certs.Subject {
		return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
	}
	now := w.now().Add(-time.Hour)
	rootKey, caKey, tsuKey := ecKey(t), ecKey(t), ecKey(t)
	issue := func(by certs.Issuer, p certs.Profile, cn string, pub crypto.PublicKey) *x509.Certificate {
		o := certs.Order{Profile: p, Subject: subject(cn), PublicKey: pub, NotBefore: now, NotAfter: now.AddDate(6, 0, 0)}
		if by.Cert != nil {
			o.Publication = certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps")
		}
		return got(x509.ParseCertificate(got(certs.Issue(by, o))(t)))(t)
	}
	root := issue(certs.Issuer{Signer: rootKey}, certs.Root, "Tekend SANDBOX Root CA", rootKey.Public())
	by := certs.Issuer{Cert: root, Signer: rootKey}
	issuing := issue(by, certs.IssuingCA, "Tekend SANDBOX Issuing CA", caKey.Public())
	tsu := issue(by, certs.TSU, "Tekend SANDBOX TSU", tsuKey.Public())
	w.issuer, w.above = certs.Issuer{Cert: issuing, Signer: caKey}, by
	for name, c := range map[string]*x509.Certificate{"root.pem": root, "issuer.pem": issuing, "tsu.pem": tsu} {
		w.write(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	w.write("root.crl", got(certs.CRL(by, big.NewInt(1), nil, now, now.AddDate(1, 0, 0)))(t))
}

func termsDigest() []byte {
	sum := sha256.Sum256([]byte("the terms"))
	return sum[:]
}

func (w *world) caConfig(db string) authority.Config {
	return authority.Config{
		Now: w.now, DB: dbtest.Source(w.t, w.path(db)), RootFile: w.path("root.pem"), IssuingCAFile: w.path("issuer.pem"), TSUFile: w.path("tsu.pem"), RootCRLFile: w.path("root.crl"),
		PublicURL: "http://127.0.0.1:8080/pki", CPSURL: "https://sandbox.tekend.example/cps", PDS: []certs.PDS{{URL: "https://sandbox.tekend.example/pds", Language: "en"}},
		Itsme: itsme.Config{Issuer: w.url, Now: w.now}, IdentClient: identID, ConfirmClient: confirmID, DefaultCountry: "BE",
		TermsVersion: terms, TermsSHA256: base64.RawURLEncoding.EncodeToString(termsDigest()),
	}
}

func (w *world) openCA(cfg authority.Config) *authority.Role {
	role := got(authority.New(w.t.Context(), cfg, authority.Dependencies{
		Signer: w.issuer.Signer, OCSP: ecKey(w.t), Keys: itsme.NewProvider(itsme.Config{Issuer: w.url, Now: w.now}, nil),
	}))(w.t)
	w.t.Cleanup(func() { _ = role.Close() })
	return role
}

func (w *world) startCA() {
	w.caCfg = w.caConfig("ca.db")
	role := w.openCA(w.caCfg)
	w.status.Store(http.HandlerFunc(role.StatusHandler().ServeHTTP))
	w.listen("ca.sock", role.Handler())
	w.listen("status.sock", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.caDown.Load() {
			panic(http.ErrAbortHandler)
		}
		w.status.Load().(http.HandlerFunc).ServeHTTP(rw, r)
	}))
	w.ca = ca.NewClient(w.path("ca.sock"), 20*time.Second)
}

// listen serves h on a socket of the world's directory.
func (w *world) listen(name string, h http.Handler) (stop func()) {
	l := got(wire.Listen(w.path(name), 0o600))(w.t)
	srv := wire.Server(h, wire.Peers{})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	stop = sync.OnceFunc(func() { _ = srv.Close(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// start starts the sam; a running one is stopped first, as SIGTERM does.
func (w *world) start() {
	w.t.Helper()
	w.halt()
	must(w.t, w.tryStart())
}

func (w *world) tryStart() error {
	role, err := activation.New(context.Background(), w.cfg, activation.Dependencies{Token: w.token, HTTP: w.http})
	if err != nil {
		return err
	}
	w.role = role
	w.jwks.Store(role.JWKS())
	w.socket = w.path("sam.sock")
	stop := w.listen("sam.sock", role.Handler())
	w.stop = sync.OnceFunc(func() { stop(); _ = role.Close() })
	w.t.Cleanup(w.stop)
	w.front = sam.NewClient(w.socket, 30*time.Second)
	return nil
}

func (w *world) halt() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// code is the refusal code of an error, "" for none.
func code(err error) string {
	var e *wire.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return "not a refusal: " + err.Error()
}

// at answers a question as the magic person and gives what itsme's redirect
// carried. extra are query parameters of the sandbox.
func (w *world) at(link, person string, extra ...string) sam.Answer {
	w.t.Helper()
	link += "&sandbox_auto=1"
	if person != "" {
		link += "&sandbox_person=" + person
	}
	for _, e := range extra {
		link += "&" + e
	}
	req := got(http.NewRequestWithContext(w.t.Context(), http.MethodGet, link, nil))(w.t)
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp := got(hc.Do(req))(w.t)
	must(w.t, resp.Body.Close())
	back := got(url.Parse(resp.Header.Get("Location")))(w.t)
	a := sam.Answer{Code: back.Query().Get("code"), Error: back.Query().Get("error")}
	if a.Code == "" && a.Error == "" {
		w.t.Fatalf("itsme answered %d without a redirect", resp.StatusCode)
	}
	return a
}

var txns atomic.Int64

func txn() string { return fmt.Sprintf("sr_%d", txns.Add(1)) }

func (w *world) apply() sam.EnrolStep {
	w.t.Helper()
	st := got(w.front.Enrol(w.t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: terms, TermsSHA256: termsDigest()}))(w.t)
	if st.Step != sam.StepIdentify || st.AuthorizationURL == "" || st.State == "" {
		w.t.Fatalf("%+v", st)
	}
	return st
}

// toConsent brings an application of the person to its second question.
func (w *world) toConsent(person string) sam.EnrolStep {
	w.t.Helper()
	st := w.apply()
	st = got(w.front.Identification(w.t.Context(), st.ID, w.at(st.AuthorizationURL, person)))(w.t)
	if st.Step != sam.StepConsent {
		w.t.Fatalf("%+v", st)
	}
	return st
}

func (w *world) toIssue(person string) sam.EnrolStep {
	w.t.Helper()
	st := w.toConsent(person)
	st = got(w.front.Consent(w.t.Context(), st.ID, w.at(st.AuthorizationURL, person)))(w.t)
	if st.Step != sam.StepIssue || st.Order == nil {
		w.t.Fatalf("%+v", st)
	}
	return st
}

// enrol gives the person a credential.
func (w *world) enrol(person string) sam.Credential {
	w.t.Helper()
	st := w.toIssue(person)
	issued := got(w.ca.Issue(w.t.Context(), ca.IssueRequest(*st.Order)))(w.t)
	st = got(w.front.Certificate(w.t.Context(), st.ID, issued.Chain))(w.t)
	if st.Step != sam.StepDone || st.Credential == nil {
		w.t.Fatalf("%+v", st)
	}
	return *st.Credential
}

func leaf(t testing.TB, c sam.Credential) *x509.Certificate {
	return got(x509.ParseCertificate(c.Chain[0]))(t)
}

// document is one whose digest is of its text.
func document(t testing.TB, c sam.Credential, label, text string) sam.Document {
	t.Helper()
	a := cms.Algorithm(c.Algorithm)
	h := a.Hash().New()
	h.Write([]byte(text))
	alg := map[int]string{32: "SHA-256", 48: "SHA-384"}[h.Size()]
	return sam.Document{Label: label, Alg: alg, Digest: h.Sum(nil), SignedAttrs: got(a.SignedAttributes(h.Sum(nil), leaf(t, c)))(t)}
}

func documents(t testing.TB, c sam.Credential, n int) []sam.Document {
	var all []sam.Document
	for i := range n {
		all = append(all, document(t, c, fmt.Sprintf("Contract %d.pdf", i+1), fmt.Sprintf("%s text %d", t.Name(), i)))
	}
	return all
}

func order(c sam.Credential, docs []sam.Document) sam.PrepareRequest {
	return sam.PrepareRequest{V: 1, Txn: txn(), Credential: c.ID, Language: "en", Documents: docs}
}

func (w *world) prepare(c sam.Credential, docs []sam.Document) sam.Prepared {
	w.t.Helper()
	return got(w.front.Prepare(w.t.Context(), order(c, docs)))(w.t)
}

// confirmed is a confirmation with its session.
type confirmed struct {
	sam.Prepared
	session sam.Session
	answer  sam.Answer
	docs    []sam.Document
}

func (w *world) confirm(c sam.Credential, n int) confirmed {
	w.t.Helper()
	docs := documents(w.t, c, n)
	p := w.prepare(c, docs)
	a := w.at(p.AuthorizationURL, "")
	s := got(w.front.Authorize(w.t.Context(), p.Nonce, a))(w.t)
	return confirmed{p, s, a, docs}
}

func (c confirmed) request(positions ...int) sam.SignRequest {
	return sam.SignRequest{Session: c.session.ID, Positions: positions}
}

// checkValues verifies values with the certificate over the signed attributes.
func checkValues(t testing.TB, c sam.Credential, docs []sam.Document, values []sam.Value) {
	t.Helper()
	if len(values) != len(docs) {
		t.Fatalf("%d values for %d documents", len(values), len(docs))
	}
	pub := leaf(t, c).PublicKey
	for i, v := range values {
		sum, long, ok := sha256.Sum256(docs[i].SignedAttrs), sha512.Sum384(docs[i].SignedAttrs), false
		switch k := pub.(type) {
		case *ecdsa.PublicKey:
			ok = v.Algorithm == sam.ECDSAWithSHA256 && k.Curve == elliptic.P256() && ecdsa.VerifyASN1(k, sum[:], v.Value) ||
				v.Algorithm == sam.ECDSAWithSHA384 && k.Curve == elliptic.P384() && ecdsa.VerifyASN1(k, long[:], v.Value)
		case *rsa.PublicKey:
			ok = v.Algorithm == sam.RSAWithSHA256 && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], v.Value) == nil ||
				v.Algorithm == sam.PSSWithSHA256 && rsa.VerifyPSS(k, crypto.SHA256, sum[:], v.Value, &rsa.PSSOptions{SaltLength: 32}) == nil
		}
		if v.Position != i || !ok {
			t.Errorf("value %d does not verify", i)
		}
	}
}

// row is one row of the sam's audit.
type row struct {
	kind, subject string
	detail        map[string]string
	raw           string
}

// rows reads the sam's audit past the role, as an auditor would.
func (w *world) rows() []row {
	w.t.Helper()
	d := got(db.OpenReader(context.Background(), w.cfg.DB))(w.t)
	defer func() { _ = d.Close() }()
	rep := got(audit.Verify(context.Background(), d))(w.t)
	if rep.FirstBad != 0 {
		w.t.Fatalf("the audit is broken at row %d: %s", rep.FirstBad, rep.Reason)
	}
	rs := got(d.Query("SELECT kind, subject, detail FROM audit ORDER BY seq"))(w.t)
	defer func() { _ = rs.Close() }()
	var all []row
	for rs.Next() {
		var r row
		must(w.t, rs.Scan(&r.kind, &r.subject, &r.raw))
		must(w.t, json.Unmarshal([]byte(r.raw), &r.detail))
		all = append(all, r)
	}
	must(w.t, rs.Err())
	return all
}

func (w *world) count(kind string) int {
	w.t.Helper()
	n := 0
	for _, r := range w.rows() {
		if r.kind != kind {
			continue
		}
		if times, err := strconv.Atoi(r.detail["times"]); err == nil {
			n += times // a row about refusals that were only counted
			continue
		}
		n++
	}
	return n + w.counted(kind)
}

// counted is how many refusals of a kind wait for their row.
func (w *world) counted(kind string) (n int) {
	w.t.Helper()
	d := got(db.OpenReader(context.Background(), w.cfg.DB))(w.t)
	defer func() { _ = d.Close() }()
	must(w.t, d.QueryRow("SELECT COALESCE(SUM(times), 0) FROM refusals WHERE kind = ?", kind).Scan(&n))
	return n
}

// uses counts the uses of users' keys twice: by the audit, and by what the
// token was asked to do. They must agree.
func (w *world) uses() int {
	w.t.Helper()
	byAudit := w.count("key.used") + w.count("key.generated")
	if seen := spyUses(w.t, w.spyAt); seen != byAudit {
		w.t.Errorf("the token was asked for %d values of users' keys, the audit knows %d", seen, byAudit)
	}
	return byAudit
}
