package authority_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tekend/ca"
	"tekend/wire"
	"tekend/wire/wiretest"
)

// FuzzIssue: whatever order comes, the ca answers in the protocol and does not use its key.
func FuzzIssue(f *testing.F) {
	w := newWorld(f)
	for _, v := range wiretest.Variants(f, got(json.Marshal(w.enrolment().order()))(f)) {
		f.Add(v)
	}
	h := w.role.Handler()
	f.Cleanup(func() {
		if n := w.signatures(); n != 0 {
			f.Errorf("the CA key was used %d times", n)
		}
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPut, "/v1/certificates/"+wire.BodyHash(body), bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if err := wiretest.Check(rec.Code, rec.Body.Bytes()); err != nil || rec.Code < 400 {
			t.Errorf("status %d: %v", rec.Code, err)
		}
	})
}

// FuzzStatusAndPublished asks both sockets of the ca for everything, by every name.
func FuzzStatusAndPublished(f *testing.F) {
	w := newWorld(f)
	for _, path := range []string{
		"status/01", "status/0", "status/" + strings.Repeat("ab", 20), "status/" + strings.Repeat("ab", 21), "status/AB", "status/%00", "status/..%2f01",
		"published/ca/root.crt", "published/ca/%2e%2e", "published/crl/root.crl", "published/crl/x", "certificates/x", "certificates/%ff", "health", "../x",
	} {
		f.Add(path)
	}
	handlers := []http.Handler{w.role.Handler(), w.role.StatusHandler()}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI("/v1/" + path)
		if err != nil {
			return // net/http would refuse it before the handler
		}
		for _, h := range handlers {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.URL, r.RequestURI = u, u.RequestURI()
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			ours := rec.Header().Get("Content-Type") == "application/json"
			if err := wiretest.Check(rec.Code, rec.Body.Bytes()); ours && err != nil || rec.Code >= 500 && rec.Code != 503 {
				t.Errorf("GET %s: %d %s", u, rec.Code, rec.Body)
			}
		}
	})
}

// TestOwnedFrontMessages: bodies at the limit and over it, of a wrong type, under another's name.
func TestOwnedFrontMessages(t *testing.T) {
	w := newWorld(t)
	kinds, _ := w.events()
	right := string(got(json.Marshal(w.enrolment().order()))(t))
	long := func(n int) string {
		return strings.TrimSuffix(right, "}") + `,"x":1` + strings.Repeat(" ", n-len(right)-6) + "}"
	}
	lists := `{"application":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`
	calls := []struct{ name, media, path, body, code string }{
		{"at the limit, with an unknown member", "application/json", "", long(wire.MaxBody), "bad_request"},
		{"one byte over the limit", "application/json", "", long(wire.MaxBody + 1), "too_large"},
		{"twice the limit", "application/json", "", long(2 * wire.MaxBody), "too_large"},
		{"another type", "text/plain", "", right, "unsupported_media_type"},
		{"under another name", "application/json", "x", right, "conflict"},
		{"under the name of a file", "application/json", "..%2f..%2fetc", right, "conflict"},
		{"lists in lists", "application/json", "", lists, "bad_request"},
		{"a list of orders", "application/json", "", "[" + right + "]", "bad_request"},
		{"nothing", "application/json", "", "{}", ca.CodeBadOrder},
		{"a key that was pushed", "application/json", "", `{"jwks":{"keys":[]},` + right[1:], "bad_request"},
		{"another issuer pushed", "application/json", "", `{"issuer":"https://other.test",` + right[1:], "bad_request"},
		{"a person pushed", "application/json", "", `{"name":"Piet",` + right[1:], "bad_request"},
		{"a certificate's life pushed", "application/json", "", `{"not_after":"2099-01-01",` + right[1:], "bad_request"},
	}
	h := w.role.Handler()
	for _, c := range calls {
		if c.path == "" {
			c.path = wire.BodyHash([]byte(c.body))
		}
		r := httptest.NewRequest(http.MethodPut, "/v1/certificates/"+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.media)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		var e wire.Error
		if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Code != c.code || rec.Code < 400 || rec.Code >= 500 {
			t.Errorf("%s: %d %s, want %s", c.name, rec.Code, rec.Body, c.code)
		}
	}
	w.figure("messages outside the contract at the ca", len(calls), kinds["certificate.refused"], w.signatures())
}
