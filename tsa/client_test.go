package tsa_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tekend/tsa"
)

// opensslTSA is `openssl ts -reply` behind a small HTTP server.
func opensslTSA(t *testing.T, u unit) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(u.key)
	check(t, err)
	write(t, dir, "key.der", key)
	write(t, dir, "unit.pem", pemOf(u.cert))
	write(t, dir, "root.pem", pemOf(u.root))
	write(t, dir, "serial", []byte("01"))
	run(t, dir, "openssl", "pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem")
	conf := fmt.Sprintf(`[tsa]
default_tsa = unit
[unit]
dir = %s
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/unit.pem
certs = $dir/root.pem
signer_key = $dir/key.pem
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
`, dir)
	write(t, dir, "tsa.cnf", []byte(conf))
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := io.ReadAll(io.LimitReader(r.Body, tsa.MaxRequest))
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		write(t, dir, "query", q)
		cmd := exec.Command("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("openssl: %v\n%s", err, out)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		http.ServeFile(w, r, filepath.Join(dir, "reply"))
	}))
}

func run(t testing.TB, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

func (u unit) client(url string) *tsa.Client {
	return tsa.NewClient(tsa.ClientConfig{URL: url, Roots: u.roots, Policies: []string{"1.2.3.4"}, Now: time.Now}, http.DefaultClient)
}

func TestClientAgainstOpenSSL(t *testing.T) {
	u := newUnit(t)
	srv := opensslTSA(t, u)
	defer srv.Close()
	c := u.client(srv.URL)
	if c.LearnedSize() != 10<<10 {
		t.Errorf("first size %d", c.LearnedSize())
	}
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		w := h.New()
		w.Write([]byte("document"))
		tok, err := c.Stamp(context.Background(), w.Sum(nil), h)
		if err != nil {
			t.Errorf("%v: %v", h, err)
			continue
		}
		if tok.Hash != h || tok.Nonce == nil || tok.Accuracy != time.Second {
			t.Errorf("%v: %+v", h, tok)
		}
	}
	digest := sha256.Sum256([]byte("document"))
	other := newUnit(t).client(srv.URL)
	if _, err := other.Stamp(context.Background(), digest[:], crypto.SHA256); code(err) != tsa.CodePath {
		t.Errorf("with other roots: %v", err)
	}
}

// answering serves one fixed answer.
func answering(status int, contentType string, body []byte) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
}

func TestClientRefuses(t *testing.T) {
	u := newUnit(t)
	digest := sha256.Sum256([]byte("document"))
	const reply = "application/timestamp-reply"
	rejected, err := tsa.EncodeRejected(&tsa.Failure{Info: tsa.BadAlg, Text: "no"})
	check(t, err)
	replayed, err := tsa.EncodeGranted(u.token(t, encode(t, info(digest[:])))) // good, with the nonce of another request
	check(t, err)
	for name, tc := range map[string]struct {
		status      int
		contentType string
		body        []byte
		want        error
	}{
		"HTTP 500":            {500, reply, nil, tsa.ErrUnreachable},
		"a web page":          {200, "text/html", []byte("<html>"), tsa.ErrUnreachable},
		"rejected":            {200, reply, rejected, &tsa.Error{Code: tsa.CodeRejected}},
		"an answer of before": {200, reply, replayed, &tsa.Error{Code: tsa.CodeNonce}},
		"empty":               {200, reply, nil, &tsa.Error{Code: tsa.CodeMalformed}},
		"without a token":     {200, reply, []byte{0x30, 5, 0x30, 3, 2, 1, 0}, &tsa.Error{Code: tsa.CodeMalformed}},
		"2 MB":                {200, reply, make([]byte, 2<<20), &tsa.Error{Code: tsa.CodeMalformed}},
	} {
		srv := answering(tc.status, tc.contentType, tc.body)
		_, err := u.client(srv.URL).Stamp(context.Background(), digest[:], crypto.SHA256)
		srv.Close()
		var e *tsa.Error
		if w, ok := tc.want.(*tsa.Error); ok {
			if !errors.As(err, &e) || e.Code != w.Code {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "rejected" {
			var f *tsa.Failure
			if !errors.As(err, &f) || f.Info != tsa.BadAlg || f.Text != "no" {
				t.Errorf("the reason is lost: %v", err)
			}
		}
	}
}

func TestClientDoesNotWaitForEver(t *testing.T) {
	u := newUnit(t)
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer srv.Close()
	defer close(stop)
	c := tsa.NewClient(tsa.ClientConfig{URL: srv.URL, Roots: u.roots, Now: time.Now, Timeout: 50 * time.Millisecond}, http.DefaultClient)
	digest := sha256.Sum256([]byte("document"))
	if _, err := c.Stamp(context.Background(), digest[:], crypto.SHA256); !errors.Is(err, tsa.ErrUnreachable) {
		t.Error(err)
	}
	if _, err := u.client("http://127.0.0.1:1/").Stamp(context.Background(), digest[:], crypto.SHA256); !errors.Is(err, tsa.ErrUnreachable) {
		t.Error(err)
	}
	if _, err := c.Stamp(context.Background(), digest[:31], crypto.SHA256); code(err) != tsa.CodeImprint {
		t.Error(err)
	}
}

// TestOneArrival: no header makes net/http send a request again.
func TestOneArrival(t *testing.T) {
	u := newUnit(t)
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		for _, h := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			if r.Header.Get(h) != "" {
				t.Errorf("%s is sent", h)
			}
		}
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("document")) {
			t.Error("the document itself is sent")
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		check(t, err)
		conn.Close()
	}))
	defer srv.Close()
	digest := sha256.Sum256([]byte("document"))
	if _, err := u.client(srv.URL).Stamp(context.Background(), digest[:], crypto.SHA256); !errors.Is(err, tsa.ErrUnreachable) {
		t.Error(err)
	}
	if n != 1 {
		t.Errorf("%d arrivals", n)
	}
}
