package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"tekend/api"
	"tekend/ca"
	"tekend/sam"
	"tekend/signer"
	"tekend/store"
	"tekend/wire"
)

// secret stands in everything a test sends that must never come back in a problem or go into the log.
const secret = "s3cr3t-v4lue"

// Keys of the two clients.
const (
	acmeKey  = "tk_acme_0123456789abcdef0123456789abcdef_" + secret
	otherKey = "tk_other_0123456789abcdef0123456789abcdef_" + secret
)

// desk is the front without its partners: the real handler over the real service over a real store, behind a real
// server. What needs the sam, the ca or the tsa is tested with the whole sandbox (interop/browser).
type desk struct {
	t     testing.TB
	url   string
	store *store.Store
	dir   string
	hc    *http.Client
	log   *logBuffer
	dep   *api.Dependencies
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup is what a test may change before the desk opens.
type setup struct {
	api    api.Config
	dep    api.Dependencies
	signer signer.Config
	server *http.Server
}

func open(t testing.TB, change func(*setup)) *desk {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{DBPath: filepath.Join(dir, "front.db"), Blobs: filepath.Join(dir, "blobs"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	for client, key := range map[string]string{"acme": acmeKey, "other": otherKey} {
		if err := st.AddClient(t.Context(), client, key); err != nil {
			t.Fatal(err)
		}
	}
	log := &logBuffer{}
	logger := slog.New(slog.NewJSONHandler(log, nil))
	version, sum, err := api.TermsInForce()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ln.Addr().String()
	s := &setup{
		api:    api.Config{Now: time.Now, Log: logger, PublicURL: url, Sandbox: true},
		signer: signer.Config{Now: time.Now, Log: logger, PublicURL: url, Terms: signer.Terms{Version: version, SHA256: sum}},
		server: &http.Server{ReadHeaderTimeout: 5 * time.Second},
	}
	s.dep = api.Dependencies{
		Clients: st,
		TSA:     api.RelayFunc(func(context.Context, []byte) ([]byte, error) { return nil, io.ErrClosedPipe }),
		PKI:     ca.NewClient(filepath.Join(dir, "ca.sock"), time.Second), // nobody listens there yet
		Health:  func(context.Context) (api.HealthStatus, string) { return api.UP, "" },
	}
	if change != nil {
		change(s)
	}
	s.dep.Signer = signer.New(s.signer, signer.Dependencies{
		Requests: st, Claims: st, Callbacks: st, Signers: st, Blobs: st, Revocations: st,
		Revoking: sam.NewClient(filepath.Join(dir, "sam.sock"), time.Second), // nobody listens there
	})
	h, err := api.New(s.api, s.dep)
	if err != nil {
		t.Fatal(err)
	}
	s.server.Handler = h
	go func() { _ = s.server.Serve(ln) }()
	d := &desk{t: t, url: url, store: st, dir: dir, log: log, dep: &s.dep}
	d.hc = &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		d.hc.CloseIdleConnections()
		_ = s.server.Close()
		d.checkLog()
	})
	return d
}

// checkLog looks at all that was logged: nothing that was sent in confidence, and no page's address.
func (d *desk) checkLog() {
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, secret) || strings.Contains(line, "/sign/") && !strings.Contains(line, "/sign/:token") {
			d.t.Errorf("the log tells too much: %s", line)
		}
	}
}

// spec is the contract as every answer is held against it.
var spec = sync.OnceValues(func() (routers.Router, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request, holds the answer to the contract, and looks for what must not come back.
func (d *desk) do(req *http.Request) answer {
	d.t.Helper()
	resp, err := d.hc.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	a := answer{resp.StatusCode, resp.Header, body}
	d.conforms(req, a)
	return a
}

func (d *desk) conforms(req *http.Request, a answer) {
	d.t.Helper()
	at := fmt.Sprintf("%s %s: %d", req.Method, req.URL.Path, a.status)
	if a.status >= 400 && (bytes.Contains(a.body, []byte(secret)) || strings.Contains(fmt.Sprint(a.header), secret)) {
		d.t.Errorf("%s repeats what was sent: %s", at, a.body)
	}
	if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Content-Security-Policy") == "" || a.header.Get("Request-Id") == "" {
		d.t.Errorf("%s lacks headers: %v", at, a.header)
	}
	router, err := spec()
	if err != nil {
		d.t.Fatal(err)
	}
	route, params, err := router.FindRoute(req)
	if err != nil {
		return // no such route; the problem is checked by the test
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: params},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if strings.HasSuffix(media, "json") {
		in.SetBodyBytes(a.body)
	} else {
		in.Options.ExcludeResponseBody = true
		if a.status != http.StatusSeeOther && a.status != http.StatusNotModified && !declared(route.Operation, a.status, media) {
			d.t.Errorf("%s has the undeclared type %s", at, media)
		}
	}
	if err := openapi3filter.ValidateResponse(d.t.Context(), in); err != nil {
		d.t.Errorf("%s breaks the contract: %v\n%s", at, err, a.body)
	}
}

func declared(op *openapi3.Operation, status int, media string) bool {
	r := op.Responses.Status(status)
	if r == nil {
		r = op.Responses.Default()
	}
	return r != nil && r.Value.Content[media] != nil
}

func (d *desk) request(method, path string, body io.Reader, header ...string) *http.Request {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/v1/") {
		req.Header.Set("Authorization", "Bearer "+acmeKey)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (d *desk) get(path string, header ...string) answer {
	d.t.Helper()
	return d.do(d.request(http.MethodGet, path, nil, header...))
}

func (d *desk) post(path, media, body string, header ...string) answer {
	d.t.Helper()
	return d.do(d.request(http.MethodPost, path, strings.NewReader(body), append([]string{"Content-Type", media}, header...)...))
}

// problem reads a problem and checks what all have in common.
func (a answer) problem(t testing.TB, code string, status int) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%d %s is not a problem: %v", a.status, a.body, err)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p.Code != code || a.status != status || p.Status != status ||
		p.Type != "urn:tekend:problem:"+code || p.Title == "" || p.Instance != "urn:uuid:"+a.header.Get("Request-Id") ||
		a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %s %s, want %d %s", a.status, a.header.Get("Content-Type"), a.body, status, code)
	}
	return p
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if a.status >= 300 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatal(err)
	}
}

// piece is one part of a multipart order.
type piece struct{ name, file, media, body string }

func parts(pieces ...piece) (media, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range pieces {
		h := textproto.MIMEHeader{}
		if p.file != "" {
			h.Set("Content-Disposition", multipart.FileContentDisposition(p.name, p.file))
		} else {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q`, p.name))
		}
		if p.media != "" {
			h.Set("Content-Type", p.media)
		}
		pw, err := w.CreatePart(h)
		if err == nil {
			_, err = io.WriteString(pw, p.body)
		}
		if err != nil {
			panic(err)
		}
	}
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../testdata/pdf", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const orders = "/v1/signature-requests"

// order makes a request with one document and returns it with the token of its page.
func (d *desk) order(options string) (api.SignatureRequest, string) {
	d.t.Helper()
	media, body := parts(
		piece{name: "request", media: "application/json", body: options},
		piece{name: "document", file: "contract.pdf", media: "application/pdf", body: sample(d.t, "fpdf2.pdf")})
	a := d.post(orders, media, body)
	if a.status != http.StatusCreated {
		d.t.Fatalf("%d %s", a.status, a.body)
	}
	var r api.SignatureRequest
	a.into(d.t, &r)
	_, token, _ := strings.Cut(r.SigningUrl, "/sign/")
	return r, token
}

// role answers as the ca does, on its socket, with the server that the roles use.
func role(t testing.TB, dir string, h http.Handler) {
	t.Helper()
	ln, err := wire.Listen(filepath.Join(dir, "ca.sock"), 0o660)
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.Server(h, wire.Peers{UIDs: []uint32{uint32(os.Getuid())}})
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
}
