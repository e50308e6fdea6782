package authority_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"tekend/audit"
	"tekend/certs"
	"tekend/db"
	"tekend/db/dbtest"
	"tekend/hsm"
	"tekend/hsm/hsmtest"
	"tekend/tsa"
	"tekend/tsa/authority"
)

func TestMain(m *testing.M) { os.Exit(hsmtest.Main(m)) }

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

func softKey(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return k
}

// pki is a root made by our own profile, and what it issues.
type pki struct {
	key  crypto.Signer
	cert *x509.Certificate
	from time.Time
}

func org(cn string) certs.Subject {
	return certs.Subject{Country: "BE", Organisation: "Tekend SANDBOX", OrganisationID: "NTRBE-0000000000", CommonName: cn}
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	p := &pki{key: softKey(t), from: time.Now().Add(-time.Hour)}
	der, err := certs.Issue(certs.Issuer{Signer: p.key}, certs.Order{
		Profile: certs.Root, Subject: org("SANDBOX Root"), PublicKey: p.key.Public(), NotBefore: p.from, NotAfter: p.from.AddDate(10, 0, 0),
	})
	p.cert = parse(t, der, err)
	return p
}

func (p *pki) issue(t testing.TB, profile certs.Profile, pub crypto.PublicKey) *x509.Certificate {
	t.Helper()
	o := certs.Order{
		Profile: profile, Subject: org("SANDBOX Unit"), PublicKey: pub, NotBefore: p.from, NotAfter: p.from.AddDate(3, 0, 0),
		Publication: certs.PublishedBy("http://127.0.0.1:8080/pki", "root", "https://sandbox.tekend.example/cps"),
	}
	if profile == certs.TSU {
		o.PrivateKeyEnd = p.from.AddDate(1, 0, 0)
	}
	der, err := certs.Issue(certs.Issuer{Cert: p.cert, Signer: p.key}, o)
	return parse(t, der, err)
}

func (p *pki) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.cert)
	return pool
}

// setClock is a clock that a test can set.
type setClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *setClock) now() time.Time      { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *setClock) set(t time.Time)     { c.mu.Lock(); defer c.mu.Unlock(); c.at = t }
func (c *setClock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// world is a running unit.
type world struct {
	*pki
	clock *setClock
	path  string
	dep   authority.Dependencies
	role  *authority.Role
	srv   *httptest.Server
}

// start runs a unit; its key is in SoftHSM unless another one is given.
func start(t testing.TB, key crypto.Signer) *world {
	t.Helper()
	if key == nil {
		token := hsmtest.Token(t)
		_, err := token.CreateKeyPair(context.Background(), "tsu", hsm.P256)
		check(t, err)
		key, err = token.Signer(context.Background(), "tsu")
		check(t, err)
	}
	w := &world{pki: newPKI(t), clock: &setClock{at: time.Now()}, path: dbtest.Source(t, filepath.Join(t.TempDir(), "tsa.db"))}
	w.dep = authority.Dependencies{Unit: authority.Unit{Signer: key, Chain: []*x509.Certificate{w.issue(t, certs.TSU, key.Public()), w.cert}}}
	w.open(t)
	return w
}

func (w *world) open(t testing.TB) {
	t.Helper()
	var err error
	w.role, err = authority.New(context.Background(), authority.Config{Now: w.clock.now, DB: w.path, Rate: 1 << 20}, w.dep)
	check(t, err)
	w.serve(t, w.role)
}

func (w *world) serve(t testing.TB, role *authority.Role) {
	w.role, w.srv = role, httptest.NewServer(role.Handler())
	t.Cleanup(w.close)
}

func (w *world) close() {
	if w.srv != nil {
		w.srv.Close()
		_ = w.role.Close()
		w.srv = nil
	}
}

func (w *world) client() *tsa.Client {
	return tsa.NewClient(tsa.ClientConfig{
		URL: w.srv.URL + "/tsa", Roots: w.roots(), Policies: []string{certs.PolicyTestTimeStamp.String()}, Now: w.clock.now,
	}, http.DefaultClient)
}

func (w *world) stamp() (*tsa.Token, error) {
	digest := sha256.Sum256([]byte("document"))
	return w.client().Stamp(context.Background(), digest[:], crypto.SHA256)
}

func failure(err error) tsa.FailureInfo {
	if f, ok := errors.AsType[*tsa.Failure](err); ok {
		return f.Info
	}
	return -1
}

func TestStampWithKeyInToken(t *testing.T) {
	w := start(t, nil)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		x := h.New()
		x.Write([]byte("document"))
		tok, err := w.client().Stamp(context.Background(), x.Sum(nil), h)
		check(t, err)
		if tok.Accuracy != 500*time.Millisecond || !tok.GenTime.Equal(w.clock.now().Truncate(time.Millisecond)) || tok.Serial.Sign() <= 0 || tok.Serial.BitLen() > 159 {
			t.Errorf("%+v", tok)
		}
	}
}

// TestOpenSSLAsksAndVerifies: openssl ts -query, our unit, openssl ts -verify; tokens that say that they are qualified too.
func TestOpenSSLAsksAndVerifies(t *testing.T) {
	for _, qualified := range []bool{false, true} {
		w := start(t, nil)
		w.close()
		w.path = dbtest.Source(t, filepath.Join(t.TempDir(), "tsa.db"))
		role, err := authority.New(t.Context(), authority.Config{Now: w.clock.now, DB: w.path, Qualified: qualified}, w.dep)
		check(t, err)
		w.serve(t, role)
		if tok, err := w.stamp(); err != nil || tok.Qualified != qualified {
			t.Errorf("qualified %t: %v", qualified, err)
		}
		for _, digest := range []string{"-sha256", "-sha384", "-sha512"} {
			for _, cert := range []bool{true, false} {
				w.openssl(t, digest, cert)
			}
		}
	}
}

// openssl asks for a token, with the unit's certificate or without, and verifies it.
func (w *world) openssl(t *testing.T, digest string, cert bool) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "data", []byte("document"))
	write(t, dir, "root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.cert.Raw}))
	write(t, dir, "unit.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.dep.Chain[0].Raw}))
	args := []string{"ts", "-query", "-data", "data", digest, "-out", "query"}
	if cert {
		args = append(args, "-cert")
	}
	run(t, dir, true, args...)
	query, err := os.ReadFile(filepath.Join(dir, "query"))
	check(t, err)
	reply, err := tsa.Post(context.Background(), http.DefaultClient, w.srv.URL+"/tsa", query)
	check(t, err)
	write(t, dir, "reply", reply)
	verify := []string{"ts", "-verify", "-queryfile", "query", "-in", "reply", "-CAfile", "root.pem"}
	if !cert {
		run(t, dir, false, verify...) // without the certificate nobody can verify
		verify = append(verify, "-untrusted", "unit.pem")
	}
	run(t, dir, true, verify...)
	write(t, dir, "data", []byte("Document"))
	run(t, dir, false, append([]string{"ts", "-verify", "-data", "data"}, verify[4:]...)...)
}

func run(t testing.TB, dir string, good bool, args ...string) {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); (err == nil) != good {
		t.Errorf("openssl %v: %v\n%s", args, err, out)
	}
}

func write(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
}

func TestRejections(t *testing.T) {
	w := start(t, softKey(t))
	digest := make([]byte, 32)
	query := func(r timestamp.Request) []byte {
		der, err := r.Marshal()
		check(t, err)
		return der
	}
	for name, tc := range map[string]struct {
		query []byte
		want  tsa.FailureInfo
	}{
		"garbage":      {[]byte("garbage"), tsa.BadDataFormat},
		"too large":    {make([]byte, 1<<20), tsa.BadDataFormat},
		"SHA-1":        {query(timestamp.Request{HashAlgorithm: crypto.SHA1, HashedMessage: digest[:20]}), tsa.BadAlg},
		"wrong length": {query(timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:20]}), tsa.BadDataFormat},
		"policy":       {query(timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest, TSAPolicyOID: []int{1, 2, 3}}), tsa.UnacceptedPolicy},
	} {
		reply, err := tsa.Post(context.Background(), http.DefaultClient, w.srv.URL+"/tsa", tc.query)
		check(t, err)
		r, err := tsa.ParseResponse(reply)
		if err != nil || r.Status != 2 || r.Info != tc.want || r.Token != nil {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	for name, tc := range map[string]struct {
		contentType string
		body        io.Reader
		status      int
	}{
		"content type": {"application/json", strings.NewReader("{}"), http.StatusUnsupportedMediaType},
	} {
		resp, err := http.Post(w.srv.URL+"/tsa", tc.contentType, tc.body)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	if resp, err := http.Get(w.srv.URL + "/tsa"); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v %v", resp, err)
	}
	if n := w.rows(t); n != 0 {
		t.Errorf("%d tokens recorded for refused requests", n)
	}
}

func (w *world) rows(t testing.TB) (n int) {
	t.Helper()
	d, err := db.Open(context.Background(), w.path, os.DirFS("."))
	check(t, err)
	defer d.Close()
	check(t, d.QueryRow("SELECT COUNT(*) FROM tokens").Scan(&n))
	return n
}

// TestEveryTokenIsRecorded with its serial number, over a restart.
func TestEveryTokenIsRecorded(t *testing.T) {
	w := start(t, softKey(t))
	serials := map[string]bool{}
	for i := range 6 {
		if i == 3 {
			w.close()
			w.open(t)
		}
		w.clock.add(time.Second)
		tok, err := w.stamp()
		check(t, err)
		serials[tok.Serial.Text(16)] = true
	}
	if len(serials) != 6 {
		t.Errorf("%d serial numbers for 6 tokens", len(serials))
	}
	d, err := db.Open(context.Background(), w.path, os.DirFS("."))
	check(t, err)
	defer d.Close()
	rep, err := audit.Verify(context.Background(), d)
	if err != nil || rep.Rows != 6 || rep.FirstBad != 0 {
		t.Errorf("%+v %v", rep, err)
	}
	rows, err := d.Query("SELECT t.serial, a.kind FROM tokens t JOIN audit a ON a.subject = t.serial")
	check(t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var serial, kind string
		check(t, rows.Scan(&serial, &kind))
		if !serials[serial] || kind != "tsa.token" {
			t.Errorf("%s %s", serial, kind)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d tokens have their audit row", n)
	}
}

func TestConcurrentStampsHaveDifferentSerialsAndOrderedTimes(t *testing.T) {
	w := start(t, softKey(t))
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 16 {
		wg.Go(func() {
			tok, err := w.stamp()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			seen[tok.Serial.Text(16)] = true
		})
	}
	wg.Wait()
	if len(seen) != 16 {
		t.Errorf("%d", len(seen))
	}
}

// TestTimeNeverGoesBack, not even over a restart.
func TestTimeNeverGoesBack(t *testing.T) {
	w := start(t, softKey(t))
	t0 := w.clock.now()
	_, err := w.stamp()
	check(t, err)
	for _, back := range []time.Duration{time.Second, time.Hour} {
		w.clock.set(t0.Add(-back))
		if _, err := w.stamp(); failure(err) != tsa.TimeNotAvailable {
			t.Errorf("%v back: %v", back, err)
		}
		w.close()
		w.open(t)
		if _, err := w.stamp(); failure(err) != tsa.TimeNotAvailable {
			t.Errorf("%v back after a restart: %v", back, err)
		}
	}
	if h := w.role.Health(context.Background()); h.Ready || len(h.Reasons) != 1 {
		t.Errorf("%+v", h)
	}
	w.clock.set(t0)
	if _, err := w.stamp(); err != nil {
		t.Errorf("clock is right again: %v", err)
	}
}

func TestKeyPastItsEnd(t *testing.T) {
	w := start(t, softKey(t))
	w.clock.set(w.from.AddDate(1, 0, 1))
	if _, err := w.stamp(); failure(err) != tsa.SystemFailure {
		t.Error(err)
	}
	if h := w.role.Health(context.Background()); h.Ready {
		t.Errorf("%+v", h)
	}
	if _, err := authority.New(context.Background(), authority.Config{Now: w.clock.now, DB: w.path}, w.dep); err == nil {
		t.Error("it starts with a key past its end")
	}
}

// faulty is a key that goes wrong on demand.
type faulty struct {
	crypto.Signer
	fail func(v []byte, err error) ([]byte, error)
}

func (f *faulty) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	v, err := f.Signer.Sign(r, digest, o)
	if f.fail != nil {
		return f.fail(v, err)
	}
	return v, err
}

// TestNothingUnverifiedLeaves: a wrong value, or none, gives systemFailure and
// an audit row.
func TestNothingUnverifiedLeaves(t *testing.T) {
	for name, fail := range map[string]func([]byte, error) ([]byte, error){
		"wrong value": func(v []byte, _ error) ([]byte, error) { v[len(v)-1] ^= 1; return v, nil },
		"no value":    func([]byte, error) ([]byte, error) { return nil, errors.New("the token is gone") },
	} {
		key := &faulty{Signer: softKey(t)}
		w := start(t, key)
		key.fail = fail
		if _, err := w.stamp(); failure(err) != tsa.SystemFailure {
			t.Errorf("%s: %v", name, err)
		}
		d, err := db.Open(context.Background(), w.path, os.DirFS("."))
		check(t, err)
		var kinds string
		check(t, d.QueryRow("SELECT (SELECT kind FROM audit WHERE seq = 1) || ' ' || (SELECT kind FROM audit WHERE seq = 2) || CASE count(*) WHEN 2 THEN '' ELSE '…' END FROM audit").Scan(&kinds))
		d.Close()
		if kinds != "tsa.token tsa.failed" {
			t.Errorf("%s: %s", name, kinds)
		}
	}
}

func TestStartIsRefused(t *testing.T) {
	p := newPKI(t)
	key := softKey(t)
	unit := p.issue(t, certs.TSU, key.Public())
	good := authority.Dependencies{Unit: authority.Unit{Signer: key, Chain: []*x509.Certificate{unit, p.cert}}}
	for name, change := range map[string]func(*authority.Config, *authority.Dependencies){
		"no clock":          func(c *authority.Config, _ *authority.Dependencies) { c.Now = nil },
		"no database":       func(c *authority.Config, _ *authority.Dependencies) { c.DB = "" },
		"accuracy of 2 s":   func(c *authority.Config, _ *authority.Dependencies) { c.Accuracy = 2 * time.Second },
		"policy of letters": func(c *authority.Config, _ *authority.Dependencies) { c.Policy = "a.b" },
		"no key":            func(_ *authority.Config, d *authority.Dependencies) { d.Signer = nil },
		"another key":       func(_ *authority.Config, d *authority.Dependencies) { d.Signer = softKey(t) },
		"no root":           func(_ *authority.Config, d *authority.Dependencies) { d.Chain = d.Chain[:1] },
		"another root": func(_ *authority.Config, d *authority.Dependencies) {
			d.Chain = []*x509.Certificate{unit, newPKI(t).cert}
		},
		"a CA's certificate": func(_ *authority.Config, d *authority.Dependencies) {
			d.Chain = []*x509.Certificate{p.issue(t, certs.IssuingCA, key.Public()), p.cert}
		},
		"before its validity": func(c *authority.Config, _ *authority.Dependencies) {
			c.Now = func() time.Time { return p.from.Add(-time.Hour) }
		},
		"database is a folder": func(c *authority.Config, _ *authority.Dependencies) { c.DB = t.TempDir() },
	} {
		cfg := authority.Config{Now: time.Now, DB: filepath.Join(t.TempDir(), "tsa.db")}
		dep := good
		change(&cfg, &dep)
		if r, err := authority.New(context.Background(), cfg, dep); err == nil {
			t.Errorf("%s: it starts", name)
			_ = r.Close()
		}
	}
}

func TestHealthOverHTTP(t *testing.T) {
	w := start(t, softKey(t))
	resp, err := http.Get(w.srv.URL + "/v1/health")
	check(t, err)
	defer resp.Body.Close()
	var h authority.Health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil || !h.Ready || len(h.Reasons) != 0 {
		t.Errorf("%+v %v", h, err)
	}
}
