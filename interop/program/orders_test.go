//go:build interop

package program

import (
	"net/http"
	"strings"
	"testing"
)

// testOrders sends orders that are wrong, and asks for what is not there.
func (w *world) testOrders(t *testing.T) {
	w.nothingSigned(t, func() {
		t.Run("json", w.testJSON)
		t.Run("media types", w.testMedia)
		t.Run("unknown", w.testUnknown)
		t.Run("keys", w.testKeys)
		t.Run("idempotency keys", w.testOnce)
	})
	t.Run("another client", w.testAnotherClient)
}

// testJSON: JSON that two programs could read in two ways.
func (w *world) testJSON(t *testing.T) {
	pdf := part{"document", "a.pdf", "application/pdf", string(w.sample(t, "fpdf2.pdf"))}
	cases := []struct {
		name, json string
		want       want
		issue      string
	}{
		{"duplicate key", `{"level":"B-T","level":"B-B"}`, want{400, "json_invalid", false}, "stands twice"},
		{"duplicate key deeper", `{"signer":{"reference":"a","reference":"b"}}`, want{400, "json_invalid", false}, "stands twice"},
		{"duplicate key with an escape", `{"level":"B-T","l\u0065vel":"B-B"}`, want{400, "json_invalid", false}, "stands twice"},
		{"two keys in two cases", `{"level":"B-T","Level":"B-B"}`, want{400, "json_invalid", false}, "differ by case"},
		{"key in another case", `{"Level":"B-B"}`, want{400, "", false}, ""},
		{"unknown key", `{"colour":"red"}`, want{400, "request_invalid", false}, ""},
		{"wrong type", `{"level":7}`, want{400, "request_invalid", false}, ""},
		{"two values", `{} {}`, want{400, "json_invalid", false}, ""},
		{"not JSON", `level=B-T`, want{400, "json_invalid", false}, ""},
		{"deep", strings.Repeat("[", 30000), want{400, "json_invalid", false}, ""},
		{"too long", `{"redirect_url":"` + strings.Repeat("x", 260<<10) + `"}`, want{400, "json_invalid", false}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			blobs := w.blobs(t)
			h, b := multipartBody(t, part{"request", "", "application/json", c.json}, pdf)
			resp, body := w.do(t, w.flow, http.MethodPost, "/v1/signature-requests", h, b)
			if c.want.code == "" { // strict reader and contract both refuse it
				c.want.code = asProblem(t, resp, body).Code
				if c.want.code != "json_invalid" && c.want.code != "request_invalid" {
					t.Errorf("%s", body)
				}
			}
			p := refused(t, resp, body, c.want)
			if len(p.Issues) == 0 || !strings.Contains(p.Issues[0].Reason, c.issue) {
				t.Errorf("issues do not say %q: %s", c.issue, body)
			}
			if w.blobs(t) != blobs {
				t.Error("something was kept")
			}
		})
	}
	t.Run("accepting terms", func(t *testing.T) {
		r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
		page := w.until(t, r, "approve", "accept_terms")
		for _, text := range []string{
			`{"terms_version":"x","terms_version":"` + page.TermsVersion + `"}`,
			`{"Terms_Version":"` + page.TermsVersion + `"}`,
		} {
			resp, body := w.do(t, w.flow, http.MethodPost, r.SigningURL+"/terms", header("Content-Type", "application/json"), strings.NewReader(text))
			if p := asProblem(t, resp, body); p.Status != http.StatusBadRequest || len(p.Issues) == 0 {
				t.Errorf("%s: %s", text, body)
			}
		}
		if p, err := w.flow.Page(t.Context(), r.SigningURL); err != nil || p.Step != "accept_terms" {
			t.Errorf("the terms were taken: %s %v", p.Step, err)
		}
	})
}

// testMedia: bodies of a type that the address does not take.
func (w *world) testMedia(t *testing.T) {
	pdf := string(w.sample(t, "fpdf2.pdf"))
	send := func(t *testing.T, address string, h http.Header, body string) {
		t.Helper()
		resp, b := w.do(t, w.flow, http.MethodPost, address, h, strings.NewReader(body))
		refused(t, resp, b, want{415, "unsupported_media_type", false})
	}
	orders := "/v1/signature-requests"
	for _, media := range []string{"text/plain", "application/octet-stream", "application/jose", "image/png", "application/pdf, application/pdf"} {
		t.Run(media, func(t *testing.T) { send(t, orders, header("Content-Type", media), pdf) })
	}
	t.Run("none", func(t *testing.T) { send(t, orders, http.Header{"Content-Type": nil}, pdf) })
	t.Run("compressed", func(t *testing.T) {
		send(t, orders, http.Header{"Content-Type": {"application/pdf"}, "Content-Encoding": {"gzip"}}, pdf)
	})
	t.Run("part", func(t *testing.T) {
		h, b := multipartBody(t, part{"document", "a.pdf", "text/plain", pdf})
		resp, body := w.do(t, w.flow, http.MethodPost, orders, h, b)
		refused(t, resp, body, want{415, "unsupported_media_type", false})
	})
	t.Run("terms", func(t *testing.T) {
		r := w.order(t, "", []byte(pdf))
		send(t, r.SigningURL+"/terms", header("Content-Type", "text/plain"), "terms_version=x")
	})
	t.Run("time-stamp", func(t *testing.T) { send(t, "/tsa", header("Content-Type", "application/pdf"), pdf) })
}

// testUnknown: what does not exist.
func (w *world) testUnknown(t *testing.T) {
	ask := func(t *testing.T, method, address string, e want) {
		t.Helper()
		resp, body := w.do(t, w.flow, method, address, nil, nil)
		p := asProblem(t, resp, body)
		if p.Status != e.status || p.Code != e.code || *p.Retryable {
			t.Errorf("%s %s: %s", method, address, body)
		}
	}
	missing := want{404, "not_found", false}
	id := "/v1/signature-requests/sr_01890000-0000-7000-8000-000000000000"
	ask(t, "GET", id, missing)
	ask(t, "GET", id+"/documents/1", missing)
	ask(t, "GET", "/v1/signature-requests/1", missing)
	ask(t, "GET", "/v1/signature-requests/..%2f..%2fetc%2fpasswd", missing)
	ask(t, "GET", "/v1/nothing", missing)
	ask(t, "GET", "/sign/"+strings.Repeat("A", 43), missing)
	ask(t, "POST", "/sign/"+strings.Repeat("A", 43)+"/decline", missing)
	ask(t, "DELETE", "/v1/signature-requests", want{405, "method_not_allowed", false})
	r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
	for _, n := range []string{"0", "2", "-1", "99999999999999999999", "x"} {
		ask(t, "GET", "/v1/signature-requests/"+r.ID+"/documents/"+n, want{404, "document_not_found", false})
	}
	ask(t, "GET", "/v1/signature-requests/"+r.ID+"/documents/1", want{409, "not_finished", false})
}

// testAnotherClient: a request of another client is answered like one that is not there, byte by byte.
func (w *world) testAnotherClient(t *testing.T) {
	r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
	mine := "/v1/signature-requests/" + r.ID
	nobodys := mine[:len(mine)-4] + "0000"
	for _, tail := range []string{"", "?wait=1s", "/documents/1"} {
		a, theirs := w.do(t, w.other, http.MethodGet, mine+tail, nil, nil)
		b, none := w.do(t, w.other, http.MethodGet, nobodys+tail, nil, nil)
		p, q := asProblem(t, a, theirs), asProblem(t, b, none)
		if p.Status != http.StatusNotFound || p.Code != "not_found" || *p.Retryable {
			t.Errorf("%s: %s", tail, theirs)
		}
		p.Instance, q.Instance = "", ""
		p.Retryable, q.Retryable = nil, nil
		if p.Detail != q.Detail || p.Code != q.Code || p.Hint != q.Hint || p.State != q.State {
			t.Errorf("another client's request is told from none: %s %s", theirs, none)
		}
	}
	// A reference names a person for one client only: the other one's person starts anew.
	w.known(t, "shared-name", "approve")
	o, err := w.other.Create(t.Context(), "shared-name", w.sample(t, "fpdf2.pdf"))
	w.must(t, err)
	w.keep(o)
	if p, err := w.other.Page(t.Context(), o.SigningURL); err != nil || p.Step != "accept_terms" {
		t.Errorf("another client's name of a person leads to %s %v", p.Step, err)
	}
}

// testKeys: who has no key gets nothing.
// testOnce repeats an order under its key: the same one is the same request, another one is refused.
func (w *world) testOnce(t *testing.T) {
	first, other := string(w.sample(t, "fpdf2.pdf")), string(w.sample(t, "weasyprint.pdf"))
	send := func(document string) (*http.Response, []byte) {
		h, b := multipartBody(t, part{"document", "a.pdf", "application/pdf", document})
		h.Set("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324")
		return w.do(t, w.flow, http.MethodPost, "/v1/signature-requests", h, b)
	}
	resp, body := send("no PDF") // leaves the key free
	refused(t, resp, body, want{422, "not_a_pdf", false})
	resp, one := send(first)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, one)
	}
	w.keep(w.decode(t, one))
	blobs := w.blobs(t)
	resp, again := send(first)
	if resp.StatusCode != http.StatusCreated || string(again) != string(one) {
		t.Errorf("%d %s after %s", resp.StatusCode, again, one)
	}
	resp, body = send(other)
	if p := refused(t, resp, body, want{422, "idempotency_key_reused", false}); p.Hint == "" {
		t.Errorf("no hint: %s", body)
	}
	if w.blobs(t) != blobs {
		t.Error("something was kept of a repeated order")
	}
}

func (w *world) testKeys(t *testing.T) {
	r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
	for name, h := range map[string]http.Header{
		"none":      {"Authorization": nil},
		"wrong":     header("Authorization", "Bearer tk_"+strings.Repeat("A", 26)),
		"cut":       header("Authorization", "Bearer "+w.flow.Key[:len(w.flow.Key)-1]),
		"basic":     header("Authorization", "Basic "+w.flow.Key),
		"two":       {"Authorization": {"Bearer " + w.flow.Key, "Bearer " + w.flow.Key}},
		"very long": header("Authorization", "Bearer "+strings.Repeat("k", 4000)),
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := w.do(t, w.flow, http.MethodGet, "/v1/signature-requests/"+r.ID, h, nil)
			refused(t, resp, body, want{401, "unauthorized", false})
			if resp.Header.Get("WWW-Authenticate") == "" {
				t.Error("does not say which authentication is wanted")
			}
		})
	}
}
