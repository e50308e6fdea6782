package signer_test

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
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/ca"
	"tekend/certs"
	authority "tekend/certs/authority"
	"tekend/db/dbtest"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/sam"
	"tekend/sam/activation"
	"tekend/signer"
	"tekend/store"
	"tekend/tsa"
	tsu "tekend/tsa/authority"
	"tekend/wire"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

const (
	callbackURL = "http://127.0.0.1:1/itsme/callback" // never dialled: the test carries the answer itself
	termsText   = "terms of the test"
	terms       = "2026-11"
)

// world is everything: a SoftHSM token, simulated itsme, the roles sam, ca and tsa behind Unix sockets with
// a proxy before each, and the front.
type world struct {
	t     testing.TB
	dir   string
	token *hsm.Token
	kind  hsm.KeyKind // of people's keys
	pki   pki
	net   pkiNet // where certificates say that their status is told
	itsme string // base URL
	ahead atomic.Int64

	stampsAhead atomic.Int64 // how much the tsa's clock is ahead of the others'
	frontBehind atomic.Int64 // how much the front's clock is behind the others'

	orders atomic.Int64 // made by order

	samCfg  activation.Config
	samRole *activation.Role
	samTo   atomic.Pointer[http.Handler] // what the sam's socket serves now

	sam, ca, tsa *proxy
	stamper      *tsa.Client
	roots        *x509.CertPool

	front *front
	disk  disk // what happens to the front's writes
}

// front is one life of the front's process.
type front struct {
	*signer.Service
	store *store.Store
	stop  context.CancelFunc
	ended chan struct{}
	once  sync.Once
}

type pki struct{ root, issuing, tsu *x509.Certificate }

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// sleep moves everybody's clock on.
func (w *world) sleep(d time.Duration) { w.ahead.Add(int64(d)) }

func newWorld(t testing.TB) *world { return newWorldOf(t, hsm.P256) }

func newWorldOf(t testing.TB, kind hsm.KeyKind) *world { return newWorldOn(t, kind, openToken(t)) }

// tokenConfig is the one token of the worlds. Its RSA keys, and those of itsme, take longer to make than the rest of a world.
var tokenConfig *hsm.Config

// openToken opens it for the length of the test.
func openToken(t testing.TB) *hsm.Token {
	t.Helper()
	if tokenConfig == nil {
		cfg := hsmtest.Config(t)
		pin, err := os.ReadFile(cfg.PINFile)
		if err != nil {
			t.Fatal(err)
		}
		cfg.PINFile = filepath.Join(filepath.Dir(hsmtest.Directory(t)), "pin") // the test's own folder ends with it
		if err := os.WriteFile(cfg.PINFile, pin, 0o600); err != nil {
			t.Fatal(err)
		}
		tokenConfig = &cfg
	}
	return hsmtest.Open(t, *tokenConfig)
}

func newWorldOn(t testing.TB, kind hsm.KeyKind, token *hsm.Token) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "w") // short: socket paths have 107 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{t: t, dir: dir, token: token, kind: kind}
	w.startNet()
	w.ceremony()
	jwks := listen(t)
	w.startItsme(jwks.Addr().String())
	w.startCA()
	w.startTSA()
	w.startSAM(jwks)
	w.startFront()
	t.Cleanup(func() { w.stopFront() })
	return w
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) key(label string, kind hsm.KeyKind) crypto.Signer {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.token.CreateKeyPair(ctx, label, kind); !errors.Is(err, hsm.ErrExists) { // of an earlier world
		w.must(err)
	}
	s, err := w.token.Signer(ctx, label)
	w.must(err)
	return s
}

// ceremony makes the PKI, as tekend-trusted keys init does.
func (w *world) ceremony() {
	now := time.Now()
	root, issuing, unit := w.key("root", hsm.P256), w.key("issuing-ca", hsm.P256), w.key("tsu", hsm.P256)
	w.key("itsme-ident-sig", hsm.RSA2048)
	w.key("itsme-confirm-sig", hsm.RSA2048)
	pub := certs.PublishedBy(w.net.url, "root", "http://127.0.0.1:1/cps")
	order := func(p certs.Profile, name string, key crypto.PublicKey) certs.Order {
		return certs.Order{
			Profile: p, PublicKey: key, NotBefore: now.Add(-time.Minute), NotAfter: now.Add(5 * 365 * 24 * time.Hour), Publication: pub,
			Subject: certs.Subject{Country: "BE", Organisation: "Test", OrganisationID: "VATBE-0123456749", CommonName: name + " " + certs.SandboxMark},
		}
	}
	issue := func(i certs.Issuer, o certs.Order) *x509.Certificate {
		w.t.Helper()
		der, err := certs.Issue(i, o)
		w.must(err)
		c, err := x509.ParseCertificate(der)
		w.must(err)
		return c
	}
	o := order(certs.Root, "Root CA", root.Public())
	o.Publication, o.NotAfter = certs.Publication{}, now.Add(10*365*24*time.Hour)
	w.pki.root = issue(certs.Issuer{Signer: root}, o)
	by := certs.Issuer{Cert: w.pki.root, Signer: root}
	w.pki.issuing = issue(by, order(certs.IssuingCA, "Issuing CA", issuing.Public()))
	o = order(certs.TSU, "TSU", unit.Public())
	o.PrivateKeyEnd = now.Add(365 * 24 * time.Hour)
	w.pki.tsu = issue(by, o)
	crl, err := certs.CRL(by, big.NewInt(1), nil, now, now.Add(90*24*time.Hour))
	w.must(err)
	w.must(os.WriteFile(w.path("root.crl"), crl, 0o600))
	for name, c := range map[string]*x509.Certificate{"root": w.pki.root, "issuing": w.pki.issuing, "tsu": w.pki.tsu} {
		w.must(os.WriteFile(w.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600))
	}
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.pki.root)
	for name, key := range encKeys() {
		w.must(os.WriteFile(w.path(name+".pem"), key, 0o600))
	}
}

// encKeys are the decryption keys of the itsme clients, made once for all worlds: RSA keys are slow to make.
var encKeys = sync.OnceValue(func() map[string][]byte {
	keys := map[string][]byte{}
	for _, name := range []string{"ident", "confirm"} {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			panic(err)
		}
		keys[name] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	return keys
})

// itsmeState is what the sandbox kept in the first world: its keys and the salt of its subjects.
var itsmeState []byte

func (w *world) startItsme(jwks string) {
	ln := listen(w.t)
	w.itsme = "http://" + ln.Addr().String()
	register := func(id, service string, kind sandbox.ServiceType) sandbox.ClientRegistration {
		return sandbox.ClientRegistration{
			ID: strings.ToUpper(id), JWKSURL: "http://" + jwks + "/jwks/" + id, RedirectURIs: []string{callbackURL},
			Services: map[string]sandbox.ServiceType{service: kind}, PKCERequired: true,
		}
	}
	state := w.path("itsme.state")
	if len(itsmeState) > 0 {
		w.must(os.WriteFile(state, itsmeState, 0o600))
	}
	srv, err := sandbox.New(sandbox.Config{
		Now: w.now, StateFile: state, Listen: ln.Addr().String(), Issuer: w.itsme + "/v2", SlowDelay: 50 * time.Millisecond,
		Clients: []sandbox.ClientRegistration{
			register("ident", "T_IDENT", sandbox.Identification), register("confirm", "T_CONFIRM", sandbox.Confirmation),
		},
	})
	w.must(err)
	if len(itsmeState) == 0 {
		itsmeState, err = os.ReadFile(state)
		w.must(err)
	}
	w.serve(ln, srv.Handler())
}

func (w *world) serve(ln net.Listener, h http.Handler) {
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: h}}
	s.Start()
	w.t.Cleanup(s.Close)
}

// socket serves a role on a Unix socket, as the trusted binary does.
func (w *world) socket(name string, h http.Handler) string {
	p := w.path(name + "/s.sock")
	w.must(os.MkdirAll(filepath.Dir(p), 0o700))
	ln, err := wire.Listen(p, 0o600)
	w.must(err)
	srv := wire.Server(h, wire.Peers{})
	go func() { _ = srv.Serve(ln) }()
	w.t.Cleanup(func() { _ = srv.Close() })
	return p
}

func (w *world) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(&testWriter{t: w.t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// testWriter logs to the test as long as it runs.
type testWriter struct {
	mu sync.Mutex
	t  testing.TB
}

func (t *testWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if os.Getenv("TEKEND_TEST_LOG") != "" {
		_, _ = os.Stderr.Write(p)
	}
	return len(p), nil
}

func (w *world) startCA() {
	issuing, err := w.token.Signer(w.t.Context(), "issuing-ca")
	w.must(err)
	it := itsme.Config{Issuer: w.itsme + "/v2", Now: w.now}
	sum := sha256.Sum256([]byte(termsText))
	responder, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	role, err := authority.New(w.t.Context(), authority.Config{
		Now: w.now, Log: w.log(), DB: w.path("ca.db"),
		RootFile: w.path("root.pem"), IssuingCAFile: w.path("issuing.pem"), TSUFile: w.path("tsu.pem"), RootCRLFile: w.path("root.crl"),
		PublicURL: w.net.url, CPSURL: "http://127.0.0.1:1/cps", PDS: []certs.PDS{{URL: "https://127.0.0.1:1/pds", Language: "en"}},
		Itsme: it, IdentClient: "IDENT", ConfirmClient: "CONFIRM", DefaultCountry: "BE",
		TermsVersion: terms, TermsSHA256: base64.RawURLEncoding.EncodeToString(sum[:]),
	}, authority.Dependencies{Signer: issuing, OCSP: responder, Keys: itsme.NewProvider(it, nil)})
	w.must(err)
	w.t.Cleanup(func() { _ = role.Close() })
	w.ca = newProxy(w.t, w.socket("ca", role.Handler()))
	w.socket("status", role.StatusHandler())
}

func (w *world) startTSA() {
	unit, err := w.token.Signer(w.t.Context(), "tsu")
	w.must(err)
	clock := func() time.Time { return w.now().Add(time.Duration(w.stampsAhead.Load())) }
	role, err := tsu.New(w.t.Context(), tsu.Config{Now: clock, Log: w.log(), DB: w.path("tsa.db")},
		tsu.Dependencies{Unit: tsu.Unit{Signer: unit, Chain: []*x509.Certificate{w.pki.tsu, w.pki.root}}})
	w.must(err)
	w.t.Cleanup(func() { _ = role.Close() })
	w.tsa = newProxy(w.t, w.socket("tsa", role.Handler()))
	w.stamper = tsa.NewClient(tsa.ClientConfig{Socket: w.tsa.socket, Roots: w.roots, Now: w.now}, nil)
}

func (w *world) startSAM(jwks net.Listener) {
	client := func(id, service string) activation.ClientConfig {
		return activation.ClientConfig{
			ClientConfig: itsme.ClientConfig{ID: strings.ToUpper(id), Service: service, RedirectURI: callbackURL}, EncKeyFile: w.path(id + ".pem"),
		}
	}
	w.samCfg = activation.Config{
		Limits: activation.Limits{Open: 1000, PerHour: 100000},
		Now:    w.now, Log: w.log(), DB: w.path("sam.db"), Itsme: itsme.Config{Issuer: w.itsme + "/v2"},
		Ident: client("ident", "T_IDENT"), Confirm: client("confirm", "T_CONFIRM"),
		RootFile: w.path("root.pem"), IssuerFile: w.path("issuing.pem"), StatusSocket: w.path("status/s.sock"),
		KeyType: w.kind,
	}
	w.openSAM()
	w.serve(jwks, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.samRole.JWKS().ServeHTTP(rw, r) }))
	w.sam = newProxy(w.t, w.socket("sam", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		(*w.samTo.Load()).ServeHTTP(rw, r)
	})))
	w.t.Cleanup(func() { _ = w.samRole.Close() })
}

func (w *world) openSAM() {
	w.t.Helper()
	role, err := activation.New(context.Background(), w.samCfg, activation.Dependencies{Token: w.token})
	w.must(err)
	h := role.Handler()
	w.samRole = role
	w.samTo.Store(&h)
}

// restartSAM ends the role and starts it anew on its database.
func (w *world) restartSAM() {
	w.t.Helper()
	w.must(w.samRole.Close())
	w.openSAM()
}

func (w *world) startFront() {
	w.t.Helper()
	st, err := store.Open(context.Background(), store.Config{DBPath: dbtest.Source(w.t, w.path("front.db")), Blobs: w.path("blobs"), Now: w.now})
	w.must(err)
	samc, sum := sam.NewClient(w.sam.socket, 20*time.Second), sha256.Sum256([]byte(termsText))
	svc := signer.New(signer.Config{
		Now: func() time.Time { return w.now().Add(-time.Duration(w.frontBehind.Load())) }, Log: w.log(), PublicURL: "https://sign.example", Terms: signer.Terms{Version: terms, SHA256: sum[:]},
		StopWithin: 200 * time.Millisecond, OneTime: func(client string) bool { return client == once },
	}, signer.Dependencies{
		Requests: badDisk{st, &w.disk}, Claims: st, Callbacks: st, Signers: st, Blobs: badDisk{st, &w.disk},
		Enrolling: samc, Certifying: samc, Preparing: samc, Activation: samc, Uses: samc, Revoking: samc, Revocations: st,
		Issuer: ca.NewClient(w.ca.socket, 10*time.Second), Stamper: w.stamper, Roots: w.roots, Revocation: w.collector(),
	})
	ctx, stop := context.WithCancel(context.Background())
	w.front = &front{Service: svc, store: st, stop: stop, ended: make(chan struct{})}
	go func(f *front) {
		defer close(f.ended)
		if err := svc.Run(ctx); err != nil {
			w.t.Errorf("run: %v", err)
		}
	}(w.front)
}

func (w *world) stopFront() {
	f := w.front
	f.stop()
	<-f.ended
	f.once.Do(func() { _ = f.store.Close() })
}

// restartFront ends the front in the middle of whatever it does and starts it anew.
func (w *world) restartFront() {
	w.t.Helper()
	w.stopFront()
	w.startFront()
}

// order uploads files for a person whom client acme calls ref.
func (w *world) order(ref string, pdfs ...[]byte) (*signer.Request, string) {
	w.t.Helper()
	// Every order has a key, which must not go further than the front: the proxies look.
	o := signer.Order{Reference: ref, IdempotencyKey: fmt.Sprint("key-", w.orders.Add(1))}
	r, err := w.front.Create(w.t.Context(), "acme", o, upload(pdfs...))
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	return r, token
}

// answer is what itsme's redirect carries.
type answer struct{ state, code, err string }

// atItsme follows a link as the browser does and lets the simulated person answer at once.
func (w *world) atItsme(link, person string) answer {
	w.t.Helper()
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}
	res, err := hc.Get(link + "&sandbox_auto=1&sandbox_person=" + url.QueryEscape(person))
	w.must(err)
	_ = res.Body.Close()
	u, err := res.Location()
	if err != nil {
		w.t.Fatalf("itsme answered %s without a redirect", res.Status)
	}
	q := u.Query()
	return answer{q.Get("state"), q.Get("code"), q.Get("error")}
}

func (w *world) callback(a answer) {
	w.t.Helper()
	if _, err := w.front.Callback(w.t.Context(), a.state, a.code, a.err); err != nil {
		w.t.Fatalf("callback: %v", err)
	}
}

// walk is the person in front of the browser: it does what the page offers until the step is one of until.
func (w *world) walk(token, person string, until ...string) *signer.Page {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // machines are busy; what is stuck stays stuck
	for time.Now().Before(deadline) {
		p, err := w.front.Page(w.t.Context(), token)
		w.must(err)
		for _, u := range until {
			if p.Step == u {
				return p
			}
		}
		switch p.Step {
		case signer.StepTerms:
			w.must(w.front.AcceptTerms(w.t.Context(), token, terms, "en"))
		case signer.StepIdentify, signer.StepConsent, signer.StepConfirm:
			w.callback(w.atItsme(p.Link, person))
		case signer.StepWait:
			time.Sleep(20 * time.Millisecond)
		default:
			return p
		}
	}
	p, err := w.front.Page(w.t.Context(), token)
	w.t.Fatalf("the page stands at %+v (%v)", p, err)
	return nil
}

// wait waits for a state.
func (w *world) wait(id string, want ...signer.State) *signer.Request {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // machines are busy; what is stuck stays stuck
	for {
		r, err := w.front.Wait(w.t.Context(), "acme", id, "", 2*time.Second)
		w.must(err)
		for _, s := range want {
			if r.State == s {
				return r
			}
		}
		if r.State.End() || time.Now().After(deadline) {
			w.t.Fatalf("state %s (%v, %v), want %v", r.State, r.Failure, r.Notice, want)
		}
	}
}

func codeOf(err error) string {
	var e *signer.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
