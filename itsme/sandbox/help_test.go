package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tekend/itsme"
	"tekend/itsme/sandbox"
	"tekend/itsme/token"
)

// clock is a hand-set clock for both sides.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// keys of the relying party: made once, RSA is slow.
var rpKeys = sync.OnceValue(func() [4]*rsa.PrivateKey {
	var k [4]*rsa.PrivateKey
	for i := range k {
		var err error
		if k[i], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			panic(err)
		}
	}
	return k
})

const (
	confirmID = "CONFIRM001"
	identID   = "IDENT00001"
)

type world struct {
	t         *testing.T
	clock     *clock
	op        *sandbox.Server
	web       *httptest.Server // the sandbox
	rp        *httptest.Server // our key sets
	jwks      map[string]any   // what our key hosts serve, by path
	header    http.Header
	delay     time.Duration
	hits      map[string]int
	mu        sync.Mutex
	p         *itsme.Provider
	confirm   *itsme.Client
	ident     *itsme.Client
	transport http.RoundTripper // of the browser
}

func newWorld(t *testing.T, change func(*sandbox.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{t: time.Unix(1780000000, 0)}, jwks: map[string]any{}, hits: map[string]int{}, header: http.Header{}}
	keys := rpKeys()
	w.jwks["/jwks"] = itsme.PublicJWKS(&keys[0].PublicKey, &keys[1].PublicKey, "s1", "e1")
	w.rp = httptest.NewServer(http.HandlerFunc(w.serveRP))
	t.Cleanup(w.rp.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	callback := w.rp.URL + "/itsme/callback"
	cfg := sandbox.Config{
		Now: w.clock.Now, Listen: listener.Addr().String(), Issuer: base + "/v2", SlowDelay: 10 * time.Millisecond,
		StateFile: stateFile(t),
		Clients: []sandbox.ClientRegistration{
			{ID: confirmID, Label: "Test partner", JWKSURL: w.rp.URL + "/jwks", RedirectURIs: []string{callback, callback + "?x=1"}, PKCERequired: true,
				RequestURIs: []string{w.rp.URL + "/request", "https://rp.example.com/request", "https://127.0.0.1:443/request"},
				Services:    map[string]sandbox.ServiceType{"CONF": sandbox.Confirmation}},
			{ID: identID, JWKSURL: w.rp.URL + "/jwks", RedirectURIs: []string{callback},
				Services: map[string]sandbox.ServiceType{"IDENT": sandbox.Identification, "LOGIN": sandbox.Authentication}},
		},
	}
	if change != nil {
		change(&cfg)
	}
	if w.op, err = sandbox.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.web = &httptest.Server{Listener: listener, Config: &http.Server{Handler: w.op.Handler(), ReadHeaderTimeout: time.Second}}
	w.web.Start()
	t.Cleanup(w.web.Close)
	w.p = itsme.NewProvider(itsme.Config{Issuer: cfg.Issuer, Now: w.clock.Now}, nil)
	w.confirm = w.client(itsme.ClientConfig{ID: confirmID, Service: "CONF", RedirectURI: callback})
	w.ident = w.client(itsme.ClientConfig{ID: identID, Service: "IDENT", RedirectURI: callback})
	return w
}

// stateFile copies keys that were made once: two RSA keys for every test would
// be the slowest part of it.
func stateFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "itsme.json")
	if err := os.WriteFile(path, madeOnce(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var madeOnce = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "sandbox")
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

func (w *world) client(cfg itsme.ClientConfig) *itsme.Client {
	w.t.Helper()
	c, err := itsme.NewClient(w.p, cfg, rpKeys()[0])
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) serveRP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.hits[r.URL.Path]++
	v, ok := w.jwks[r.URL.Path]
	delay := w.delay
	for k, vs := range w.header {
		rw.Header()[k] = vs
	}
	w.mu.Unlock()
	if delay > 0 {
		w.clock.Add(delay)
	}
	switch v := v.(type) {
	case string:
		_, _ = io.WriteString(rw, v)
	default:
		if !ok {
			_, _ = io.WriteString(rw, "callback")
			return
		}
		_ = json.NewEncoder(rw).Encode(v)
	}
}

func (w *world) serve(path string, v any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jwks[path] = v
}

func (w *world) hitsOf(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hits[path]
}

func (w *world) issuer() string { return w.p.Issuer() }

// asked is one request of the relying party with what it must remember.
type asked struct {
	url      string
	req      itsme.AuthRequest
	verifier string
	client   *itsme.Client
}

func (w *world) ask(c *itsme.Client, change func(*itsme.AuthRequest)) asked {
	w.t.Helper()
	verifier, challenge := itsme.NewVerifier()
	now := w.clock.Now()
	r := itsme.AuthRequest{
		State: itsme.Random(), Nonce: itsme.Random(), CodeChallenge: challenge, Language: "en", JTI: itsme.Random(),
		Issued: now, Expires: now.Add(5 * time.Minute), IDTokenClaims: token.RiskClaims(),
	}
	if c == w.confirm {
		r.Text = "<b>Sign 1 document</b><br>1. Contract.pdf<br>Check code: <b>aaaa-bbbb-cccc-dddd</b>"
	} else {
		r.IDTokenClaims = token.IdentityClaims()
	}
	if change != nil {
		change(&r)
	}
	u, _, err := c.AuthorizationURL(context.Background(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return asked{url: u, req: r, verifier: verifier, client: c}
}

// with adds query parameters to the authorization URL.
func (a asked) with(pairs ...string) asked {
	for i := 0; i < len(pairs); i += 2 {
		a.url += "&" + pairs[i] + "=" + url.QueryEscape(pairs[i+1])
	}
	return a
}

func (a asked) auto(person string) asked {
	return a.with("sandbox_auto", "1", "sandbox_person", person)
}

// get follows no redirect.
func (w *world) get(u string, header ...string) (*http.Response, string) {
	w.t.Helper()
	return w.do(http.MethodGet, u, nil, header...)
}

func (w *world) post(u string, form url.Values, header ...string) (*http.Response, string) {
	w.t.Helper()
	return w.do(http.MethodPost, u, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
}

func (w *world) postJSON(u string, v any) (*http.Response, string) {
	w.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do(http.MethodPost, u, bytes.NewReader(b), "Content-Type", "application/json")
}

func (w *world) do(method, u string, body io.Reader, header ...string) (*http.Response, string) {
	w.t.Helper()
	if strings.HasPrefix(u, "/") {
		u = w.web.URL + u
	}
	req, err := http.NewRequest(method, u, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	hc := &http.Client{Transport: w.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

// answer opens the authorization URL and returns the parameters of the
// redirect to the relying party.
func (w *world) answer(a asked) url.Values {
	w.t.Helper()
	resp, body := w.get(a.url)
	if resp.StatusCode != http.StatusFound {
		w.t.Fatalf("status %d, %s", resp.StatusCode, body)
	}
	u, err := resp.Location()
	if err != nil {
		w.t.Fatal(err)
	}
	if !strings.HasPrefix(u.String(), w.rp.URL+"/itsme/callback") {
		w.t.Fatalf("sent to %s", u)
	}
	return u.Query()
}

// wantError checks a refusal that is sent to the redirect URI.
func (w *world) wantError(a asked, code string) {
	w.t.Helper()
	if got := w.answer(a).Get("error"); got != code {
		w.t.Errorf("error %q, want %q", got, code)
	}
}

// wantPage checks a refusal that is shown and not redirected.
func (w *world) wantPage(u, code string) string {
	w.t.Helper()
	resp, body := w.get(u)
	if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Location") != "" || !strings.Contains(body, "] "+code+" - ") {
		w.t.Errorf("status %d, location %q, want a page with %s:\n%s", resp.StatusCode, resp.Header.Get("Location"), code, body)
	}
	return body
}

func (w *world) exchange(a asked) (string, error) {
	w.t.Helper()
	q := w.answer(a)
	if q.Get("state") != a.req.State || len(q.Get("code")) != 36 {
		w.t.Fatalf("answer %v", q)
	}
	return a.client.Exchange(context.Background(), q.Get("code"), a.verifier, nil)
}

func decryptionKeys() []jose.JSONWebKey {
	k := rpKeys()
	return []jose.JSONWebKey{{Key: k[1], KeyID: "e1"}, {Key: k[3], KeyID: "e2"}}
}

func (w *world) expect(a asked) token.Expect {
	return token.Expect{
		Issuer: w.issuer(), Audience: a.client.ID(), Nonce: a.req.Nonce, Subject: a.req.Subject, ACR: token.ACRAdvanced, Now: w.clock.Now(),
	}
}

// finish runs the whole way: answer, exchange, decrypt, verify.
func (w *world) finish(a asked) (*token.IDToken, error) {
	w.t.Helper()
	raw, err := w.exchange(a)
	if err != nil {
		return nil, err
	}
	inner, err := token.Decrypt(raw, decryptionKeys())
	if err != nil {
		return nil, err
	}
	return token.Verify(context.Background(), inner, w.p, w.expect(a))
}

func (w *world) must(a asked) *token.IDToken {
	w.t.Helper()
	id, err := w.finish(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// claims returns the ID token's claims as they stand in its JSON.
func (w *world) claims(a asked) map[string]any {
	w.t.Helper()
	raw, err := w.exchange(a)
	if err != nil {
		w.t.Fatal(err)
	}
	return openClaims(w.t, raw)
}

func openClaims(t *testing.T, raw string) map[string]any {
	t.Helper()
	inner, err := token.DecryptOlder(raw, decryptionKeys())
	if err != nil {
		t.Fatal(err)
	}
	obj, err := jose.ParseSignedCompact(inner, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(obj.UnsafePayloadWithoutVerification(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// object makes a request object by hand: claims changed, signed and encrypted
// as told.
func (w *world) object(change func(m map[string]any)) map[string]any {
	_, challenge := itsme.NewVerifier()
	now := w.clock.Now()
	m := map[string]any{
		"iss": confirmID, "aud": w.issuer(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": itsme.Random(),
		"response_type": "code", "client_id": confirmID, "redirect_uri": w.rp.URL + "/itsme/callback", "scope": "openid service:CONF",
		"state": "st", "nonce": itsme.Random(), "code_challenge": challenge, "code_challenge_method": "S256",
		"claims": map[string]any{"userinfo": template("Hello")},
	}
	if change != nil {
		change(m)
	}
	return m
}

func template(text string) map[string]any {
	return map[string]any{token.TemplateName: map[string]any{"value": "free_text"}, token.TemplateText: map[string]any{"value": text}}
}

func (w *world) sign(m map[string]any, alg jose.SignatureAlgorithm, key any, kid string) string {
	w.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	obj, err := s.Sign(b)
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := obj.CompactSerialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) opKeys() jose.JSONWebKeySet {
	w.t.Helper()
	_, body := w.get("/v2/jwkSet")
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		w.t.Fatal(err)
	}
	return set
}

func (w *world) encrypt(text string) string {
	w.t.Helper()
	for _, k := range w.opKeys().Keys {
		if k.Use != "enc" {
			continue
		}
		e, err := jose.NewEncrypter(jose.A128CBC_HS256, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: k.Key, KeyID: k.KeyID}, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		obj, err := e.Encrypt([]byte(text))
		if err != nil {
			w.t.Fatal(err)
		}
		out, err := obj.CompactSerialize()
		if err != nil {
			w.t.Fatal(err)
		}
		return out
	}
	w.t.Fatal("no encryption key")
	return ""
}

// authURL is an authorization URL made by hand around a request parameter.
func (w *world) authURL(request string, pairs ...string) asked {
	q := url.Values{"response_type": {"code"}, "client_id": {confirmID}, "scope": {"openid service:CONF"}, "redirect_uri": {w.rp.URL + "/itsme/callback"}, "sandbox_auto": {"1"}}
	if request != "" {
		q.Set("request", request)
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Del(pairs[i])
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return asked{url: w.issuer() + "/authorization?" + q.Encode(), req: itsme.AuthRequest{State: "st"}, client: w.confirm}
}

// nested is authURL around a good nesting of a changed object.
func (w *world) nested(change func(m map[string]any), pairs ...string) asked {
	w.t.Helper()
	return w.authURL(w.encrypt(w.sign(w.object(change), jose.RS256, rpKeys()[0], "s1")), pairs...)
}

// plain is an authorization URL without request object, for the services that
// allow it.
func (w *world) plain(service string, pairs ...string) asked {
	a := w.authURL("", append([]string{"client_id", identID, "scope", "openid profile service:" + service, "state", "st"}, pairs...)...)
	a.client = w.ident
	return a
}

func text(v any) string { return fmt.Sprint(v) }
