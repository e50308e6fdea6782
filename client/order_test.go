package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tekend/api"
	"tekend/ca"
	"tekend/client"
	"tekend/sam"
	"tekend/signer"
	"tekend/store"
)

// desk is the real front over a real store, without its partners: orders are taken, and nobody signs.
func desk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{DBPath: filepath.Join(dir, "front.db"), Blobs: filepath.Join(dir, "blobs"), Now: time.Now})
	check(t, err)
	t.Cleanup(func() { _ = st.Close() })
	check(t, st.AddClient(t.Context(), "acme", apiKey))
	log := slog.New(slog.DiscardHandler)
	version, digest, err := api.TermsInForce()
	check(t, err)
	srv := httptest.NewUnstartedServer(nil)
	url := "http://" + srv.Listener.Addr().String()
	h, err := api.New(api.Config{Now: time.Now, Log: log, PublicURL: url, Sandbox: true}, api.Dependencies{
		Clients: st, PKI: ca.NewClient(filepath.Join(dir, "ca.sock"), time.Second),
		TSA:    api.RelayFunc(func(context.Context, []byte) ([]byte, error) { return nil, io.ErrClosedPipe }),
		Health: func(context.Context) (api.HealthStatus, string) { return api.UP, "" },
		Signer: signer.New(signer.Config{Now: time.Now, Log: log, PublicURL: url, Terms: signer.Terms{Version: version, SHA256: digest}}, signer.Dependencies{
			Requests: st, Claims: st, Callbacks: st, Signers: st, Blobs: st, Revocations: st, Revoking: sam.NewClient(filepath.Join(dir, "sam.sock"), time.Second),
		}),
	})
	check(t, err)
	srv.Config.Handler = h
	srv.Start()
	t.Cleanup(srv.Close)
	return url
}

// TestSend: what the service takes of an order, and that the same order with the same key is one request.
func TestSend(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, desk(t))
	var all []*client.Preparation
	for i, name := range []string{"fpdf2.pdf", "libreoffice-writer.pdf"} {
		all = append(all, prepare(t, c, sample(t, name), client.Options{Level: "B-LTA", Label: fmt.Sprintf("contract %d", i)}))
	}
	o := client.Order{Reference: "cust-1", Language: "nl", Lifetime: time.Hour, IdempotencyKey: client.NewKey()}
	r, err := c.Send(t.Context(), o, all...)
	check(t, err)
	if r.State != "created" || r.Level != "B-LT" || !strings.Contains(r.SigningURL, "/sign/") || !strings.HasPrefix(r.ID, "sr_") {
		t.Errorf("%+v", r)
	}
	again, err := c.Send(t.Context(), o, all...)
	check(t, err)
	if again.ID != r.ID {
		t.Errorf("a second request %s beside %s", again.ID, r.ID)
	}
	got, err := c.Get(t.Context(), r.ID)
	check(t, err)
	if got.ID != r.ID {
		t.Errorf("%+v", got)
	}
	_, err = c.Product(t.Context(), r.ID, 1)
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Code != "not_finished" || p.Status != 409 || p.State != "created" || codeOf(err) != client.CodeRefused {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.Wait(ctx, r.ID, nil); codeOf(err) != client.CodeUnreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}

	_, err = c.Send(t.Context(), o, all[0])
	if p, ok := errors.AsType[*client.Problem](err); !ok || p.Code != "idempotency_key_reused" {
		t.Errorf("another order with the key: %v", err)
	}
	_, err = c.Send(t.Context(), client.Order{Language: "xx"}, all[0])
	if p, ok := errors.AsType[*client.Problem](err); !ok || len(p.Issues) != 1 || p.Issues[0].Pointer != "/language" || !strings.Contains(err.Error(), "must be one of en, nl") {
		t.Errorf("%v", err)
	}
	mixed := prepare(t, c, sample(t, "fpdf2.pdf"), client.Options{Level: "B-T"})
	for name, list := range map[string][]*client.Preparation{"none": {}, "two levels": {all[0], mixed}, "too many": make([]*client.Preparation, 251)} {
		if _, err := c.Send(t.Context(), o, list...); codeOf(err) != client.CodeBadOptions {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The largest order there is, with the longest names.
	all = nil
	for i := range client.MaxDocuments {
		doc := strings.NewReader(fmt.Sprint(i))
		p, err := c.Prepare(t.Context(), doc, doc.Size(), client.Options{Format: client.CAdES, Hash: "SHA-512", Label: fmt.Sprint(i, strings.Repeat("n", 100))})
		check(t, err)
		all = append(all, p)
	}
	if _, err := c.Send(t.Context(), client.Order{}, all...); err != nil {
		t.Error(err)
	}
}

// TestAServiceInTrouble: what is repeated, and what is not.
func TestAServiceInTrouble(t *testing.T) {
	w := newWorld(t)
	problem := func(rw http.ResponseWriter, status int, retryable bool) {
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.Header().Set("Retry-After", "1")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(map[string]any{"code": "some_code", "title": "Some", "retryable": retryable})
	}
	for name, one := range map[string]struct {
		answers []func(http.ResponseWriter)
		code    string
	}{
		"busy, then there":  {[]func(http.ResponseWriter){func(rw http.ResponseWriter) { problem(rw, 503, true) }, func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"id":"sr_1"}`) }}, ""},
		"a proxy's page":    {[]func(http.ResponseWriter){func(rw http.ResponseWriter) { rw.WriteHeader(502) }, func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"id":"sr_1"}`) }}, ""},
		"not JSON, then OK": {[]func(http.ResponseWriter){func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `<html>`) }, func(rw http.ResponseWriter) { _, _ = io.WriteString(rw, `{"id":"sr_1"}`) }}, ""},
		"refused for ever":  {[]func(http.ResponseWriter){func(rw http.ResponseWriter) { problem(rw, 403, false) }}, client.CodeRefused},
		"an endless answer": {[]func(http.ResponseWriter){func(rw http.ResponseWriter) {
			for b := make([]byte, 1<<20); ; {
				if _, err := rw.Write(b); err != nil {
					return
				}
			}
		}}, client.CodeBadProduct},
	} {
		var calls atomic.Int32
		var keys [4]string
		srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			n := int(calls.Add(1))
			keys[min(n, 3)] = r.Header.Get("Idempotency-Key")
			one.answers[min(n, len(one.answers))-1](rw)
		}))
		c := w.client(t, srv.URL)
		p := prepare(t, c, sample(t, "fpdf2.pdf"), client.Options{})
		_, err := c.Send(t.Context(), client.Order{}, p)
		if codeOf(err) != one.code || int(calls.Load()) != len(one.answers) || keys[1] == "" || len(one.answers) == 2 && keys[1] != keys[2] {
			t.Errorf("%s: %v after %d calls with the keys %q", name, err, calls.Load(), keys)
		}
		srv.Close()
	}
}

// TestTheKeyGoesNowhereElse: a redirect would carry it to another host.
func TestTheKeyGoesNowhereElse(t *testing.T) {
	w := newWorld(t)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	for _, hc := range []*http.Client{nil, {}} {
		c, err := client.New(client.Config{BaseURL: srv.URL, Key: apiKey, Roots: w.roots, Now: time.Now, HTTP: hc})
		check(t, err)
		if _, err := c.Get(t.Context(), "sr_1"); codeOf(err) != client.CodeUnreachable {
			t.Error(err)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	w := newWorld(t)
	for name, cfg := range map[string]client.Config{
		"no key":   {BaseURL: "https://sign.example", Roots: w.roots, Now: time.Now},
		"no roots": {BaseURL: "https://sign.example", Key: "k", Now: time.Now},
		"no clock": {BaseURL: "https://sign.example", Key: "k", Roots: w.roots},
		"no host":  {BaseURL: "sign.example", Key: "k", Roots: w.roots, Now: time.Now},
		"a file":   {BaseURL: "file:///etc/passwd", Key: "k", Roots: w.roots, Now: time.Now},
		"no TSA":   {BaseURL: "https://sign.example", TSA: "tsa", Key: "k", Roots: w.roots, Now: time.Now},
		"in clear": {BaseURL: "http://sign.example", Key: "k", Roots: w.roots, Now: time.Now},
	} {
		if _, err := client.New(cfg); codeOf(err) != client.CodeBadOptions {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cfg := range []client.Config{{BaseURL: "http://sign.example", PlainHTTP: true}, {BaseURL: "http://localhost:8080"}, {BaseURL: "http://[::1]"}} {
		cfg.Key, cfg.Roots, cfg.Now = "k", w.roots, time.Now
		if _, err := client.New(cfg); err != nil {
			t.Errorf("%s: %v", cfg.BaseURL, err)
		}
	}
	c := w.client(t, "")
	doc := sample(t, "fpdf2.pdf")
	for name, o := range map[string]client.Options{"level": {Level: "B-X"}, "format": {Format: "xades"}, "hash": {Hash: "SHA-1"}} {
		if _, err := c.Prepare(t.Context(), doc, doc.Size(), o); codeOf(err) != client.CodeBadOptions {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Prepare(t.Context(), doc, 0, client.Options{Format: client.CAdES}); codeOf(err) != client.CodeDocument {
		t.Error(err)
	}
	text := strings.NewReader("no PDF")
	if _, err := c.Prepare(t.Context(), text, text.Size(), client.Options{}); codeOf(err) != client.CodeDocument {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Prepare(ctx, doc, doc.Size(), client.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAServiceThatDoesNotWait: a question that may take 30 seconds is not asked thousands of times because it is answered at once.
func TestAServiceThatDoesNotWait(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(rw, `{"id":"sr_1","state":"prepared"}`)
	}))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := w.client(t, srv.URL).Wait(ctx, "sr_1", nil); codeOf(err) != client.CodeUnreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if n := calls.Load(); n < 2 || n > 4 {
		t.Errorf("%d calls", n)
	}
}

// TestAnAnswerThatStops: the head is there, and then nothing comes. It is asked again, and a caller that has given no end still gets one
// for each call.
func TestAnAnswerThatStops(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if calls.Add(1) > 1 {
			_, _ = io.WriteString(rw, `{"id":"sr_1"}`)
			return
		}
		_, _ = io.WriteString(rw, `{"id":`)
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	c := w.client(t, srv.URL)
	c.Hurry(200 * time.Millisecond)
	if r, err := c.Send(t.Context(), client.Order{}, prepare(t, c, sample(t, "fpdf2.pdf"), client.Options{})); err != nil || r.ID != "sr_1" || calls.Load() != 2 {
		t.Errorf("%+v %v after %d calls", r, err, calls.Load())
	}
}

// TestALargeProduct: a confirmed signature is not lost to the list of revoked certificates that somebody else's authority has.
func TestALargeProduct(t *testing.T) {
	w := newWorld(t)
	list := make([]byte, 20<<20)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(client.Product{Format: client.CAdES, CMS: list, CRLs: [][]byte{list}})
	}))
	defer srv.Close()
	p, err := w.client(t, srv.URL).Product(t.Context(), "sr_1", 1)
	check(t, err)
	if len(p.CMS) != len(list) || len(p.CRLs) != 1 || len(p.CRLs[0]) != len(list) {
		t.Errorf("%d %d", len(p.CMS), len(p.CRLs))
	}
}
