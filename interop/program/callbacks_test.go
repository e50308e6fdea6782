//go:build interop

package program

import (
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tekend/interop/sandboxtest"
)

// testCallbacks brings answers that nobody waits for.
func (w *world) testCallbacks(t *testing.T) {
	w.known(t, "callbacks", "approve")
	file := w.sample(t, "fpdf2.pdf")
	callback := func(q url.Values) string { return "/itsme/callback?" + q.Encode() }
	code := strings.Repeat("c", 36)
	expect := func(t *testing.T, address string, e want) {
		t.Helper()
		resp, body := w.do(t, w.flow, http.MethodGet, address, nil, nil)
		p := refused(t, resp, body, e)
		if p.Hint == "" {
			t.Errorf("no hint: %s", body)
		}
	}
	t.Run("unknown state", func(t *testing.T) {
		w.nothingSigned(t, func() {
			for _, s := range []string{strings.Repeat("A", 43), "x", "' OR 1=1 --", strings.Repeat("s", 512)} {
				expect(t, callback(url.Values{"state": {s}, "code": {code}}), want{404, "callback_unknown", false})
			}
		})
	})
	t.Run("malformed", func(t *testing.T) {
		r := w.order(t, "callbacks", file)
		state := query(t, w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve"), "state")
		w.nothingSigned(t, func() {
			for _, q := range []url.Values{
				{}, {"state": {state}}, {"code": {code}}, {"error": {"access_denied"}},
				{"state": {state}, "code": {code}, "error": {"access_denied"}},
			} {
				expect(t, callback(q), want{400, "callback_malformed", false})
			}
			for _, q := range []url.Values{
				{"state": {state, state}, "code": {code}}, {"state": {state}, "code": {strings.Repeat("c", 5000)}}, {"state": {strings.Repeat("s", 513)}, "code": {code}},
			} {
				expect(t, callback(q), want{400, "request_invalid", false})
			}
		})
		w.state(t, r, "prepared")
	})
	t.Run("used state", func(t *testing.T) {
		r := w.order(t, "callbacks", file)
		back := w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve")
		before := w.uses(t)
		w.must(t, w.flow.Callback(t.Context(), back))
		w.signed(t, r, file)
		expect(t, back, want{409, "callback_used", false})
		expect(t, withQuery(t, back, "code", code), want{409, "callback_used", false})
		if now := w.uses(t); now.signed != before.signed+1 {
			t.Errorf("%d signatures for one confirmation", now.signed-before.signed)
		}
	})
	t.Run("expired state", func(t *testing.T) {
		r := w.order(t, "callbacks", file)
		back := w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve")
		// A question lives for minutes; here its end is put back in the front's database.
		w.expireCallbacks(t, r.ID)
		w.nothingSigned(t, func() {
			expect(t, back, want{410, "callback_expired", false})
			w.state(t, r, "prepared")
		})
	})
	t.Run("abandoned state", func(t *testing.T) {
		r := w.order(t, "callbacks", file)
		back := w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve")
		address := strings.TrimPrefix(r.SigningURL, w.flow.Front) + "/again"
		ask := func() (*http.Response, []byte) {
			h := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
			return w.do(t, w.flow, http.MethodPost, address, h, strings.NewReader("{}"))
		}
		w.nothingSigned(t, func() {
			if resp, body := ask(); resp.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			resp, body := ask()
			refused(t, resp, body, want{429, "too_soon", true})
			expect(t, back, want{410, "callback_expired", false})
			w.state(t, r, "prepared")
		})
		w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, w.until(t, r, "approve", "confirm").Link, "approve")))
		w.signed(t, r, file)
	})
	t.Run("answer to another question", func(t *testing.T) {
		w.nothingSigned(t, func() { w.swapped(t, file) })
	})
}

// swapped brings the code of one request with the state of another.
func (w *world) swapped(t *testing.T, file []byte) {
	a, b := w.order(t, "callbacks", file), w.order(t, "callbacks", file)
	backA := w.atItsme(t, w.until(t, a, "approve", "confirm").Link, "approve")
	backB := w.atItsme(t, w.until(t, b, "approve", "confirm").Link, "approve")
	w.must(t, w.flow.Callback(t.Context(), withQuery(t, backB, "code", query(t, backA, "code"))))
	// itsme does not take the code, which may mean many things: the person is asked again.
	w.waitsWith(t, b, "prepared", "confirmation_expired")
	w.state(t, a, "prepared")
}

// state holds that a request is where it was.
func (w *world) state(t testing.TB, r sandboxtest.Request, state string) {
	t.Helper()
	if now := w.get(t, r.ID); now.State != state {
		t.Errorf("%s is %s, not %s", r.ID, now.State, state)
	}
	w.notSigned(t, r)
}

func (w *world) expireCallbacks(t testing.TB, id string) {
	t.Helper()
	d, err := sql.Open("sqlite", "file:"+filepath.Join(w.s.Dir, "front/front.db")+"?_pragma=busy_timeout(5000)")
	w.must(t, err)
	defer func() { _ = d.Close() }()
	res, err := d.Exec("UPDATE callbacks SET expires_at = ? WHERE request = ? AND used = 0", time.Now().Add(-time.Second).UnixMicro(), id)
	w.must(t, err)
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d open questions: %v", n, err)
	}
}

// short is a request that nobody confirms.
type short struct {
	r    sandboxtest.Request
	back string // an answer that comes too late
	till time.Time
}

// shortOrder makes a request with the shortest life there is, one minute.
func (w *world) shortOrder(t *testing.T) short {
	w.known(t, "too-late", "approve")
	s := short{till: time.Now().Add(time.Minute)}
	resp, body := w.do(t, w.flow, http.MethodPost, "/v1/signature-requests?expires_in=PT1M&signer_reference=too-late",
		header("Content-Type", "application/pdf"), strings.NewReader(string(w.sample(t, "fpdf2.pdf"))))
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	s.r = w.decode(t, body)
	s.back = w.atItsme(t, w.until(t, s.r, "approve", "confirm").Link, "approve")
	return s
}

// testExpired: a confirmation that comes after the request's end signs nothing.
func (w *world) testExpired(t *testing.T, s short) {
	time.Sleep(time.Until(s.till))
	r := w.ends(t, s.r, "expired")
	if r.Problem == nil || r.Problem.Code != "expired" || r.Problem.Hint == "" || r.Problem.Retryable {
		t.Errorf("%+v", r.Problem)
	}
	w.nothingSigned(t, func() {
		w.must(t, w.flow.Callback(t.Context(), s.back)) // leads to the page, which says it
		if p, err := w.flow.Page(t.Context(), s.r.SigningURL); err != nil || p.Step != "expired" || p.Link != "" {
			t.Errorf("%+v %v", p, err)
		}
		w.state(t, s.r, "expired")
		resp, body := w.do(t, w.flow, http.MethodPost, s.r.SigningURL+"/decline", header("Content-Type", "application/x-www-form-urlencoded"), nil)
		if p := asProblem(t, resp, body); p.Status != http.StatusConflict || p.Code != "ended" {
			t.Errorf("%s", body)
		}
	})
}
