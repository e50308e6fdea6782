//go:build sweep

package sweep_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"tekend/hsm/hsmtest/shim"
	"tekend/interop/sandboxtest"
	"tekend/signer"
)

// recovery is how long all may take that needs the token again (reliability I2).
const recovery = 30 * time.Second

// broken is a sandbox whose sam has a token that fails on order.
type broken struct {
	*sweeper
	faults shim.Faults
	oracle string
	sam    int // its process, which is never started again
	// A finished request and its signer's code: with both a browser may ask for the uses of the key.
	seen sandboxtest.Request
	code string
}

// What people, providers and operators see while the sam's token fails, and afterwards. The C_Sign of all that are held against
// audit and databases at the end.
func TestTheTokenFailsWhilePeopleSign(t *testing.T) {
	start := time.Now()
	b := &broken{sweeper: newSweeper(t)}
	b.faults = shim.Faults(filepath.Join(b.Dir, "sam", "faults"))
	b.oracle, b.sam = filepath.Join(b.Dir, "sam", "oracle.log"), b.pid(t, "sam")
	var back string
	b.seen, back = b.atCallback(t)
	if step := b.approve(t.Context(), b.seen, back); step != "done" {
		t.Fatalf("the page says %s", step)
	}
	b.code = codeOf(t, back)
	deviceError := shim.RV(pkcs11.CKR_DEVICE_ERROR)
	for _, call := range []string{"C_UnwrapKey", "C_SignInit", "C_Sign"} {
		t.Run(call+" fails", func(t *testing.T) { b.waits(t, shim.Always(call, deviceError)) })
	}
	for _, c := range []struct {
		name    string
		fault   shim.Fault
		reached int // C_Sign of the token
	}{
		{"C_SignInit of the confirmed key fails", shim.Once("C_SignInit", deviceError), 0},
		{"C_Sign of the confirmed key is refused", shim.Once("C_Sign", deviceError), 0},
		{"the answer of C_Sign is lost", shim.Once("C_Sign", "lose"), 1},
	} {
		t.Run(c.name, func(t *testing.T) { b.unknown(t, c.fault, c.reached) })
	}
	t.Run("a wrong value", b.wrongValue)
	if pid := b.pid(t, "sam"); pid != b.sam {
		t.Error("the sam was started again")
	}
	f := b.compare(t)
	b.end(t)
	t.Logf("C_Sign for documents %d = signed %d + unknown that reached the token %d (of %d unknown), none twice; %s; %.0f s",
		f.signs, f.signed, f.unknownUsed, f.unknown, list(f.failures), time.Since(start).Seconds())
	if f.signs != f.signed+f.unknownUsed {
		t.Error("C_Sign without a value or a position unknown")
	}
}

// waits lets a person confirm while a fault lasts. The request waits with its reason, and when the fault is over it is finished by
// itself.
func (b *broken) waits(t *testing.T, fault shim.Fault) {
	r, back := b.atCallback(t)
	before := b.signed(t)
	b.order(t, fault)
	came := make(chan error, 1)
	go func() { came <- b.flow.Callback(t.Context(), back) }()
	var now told
	within(t, recovery, "the request says why it waits", func() bool {
		now = b.get(t, "/v1/signature-requests/"+r.ID)
		return now.Notice != nil || now.Problem != nil
	})
	want := reason{"hsm_unavailable", signer.ErrHSM.Detail, signer.ErrHSM.Hint, true}
	if now.Problem != nil || now.Notice == nil || *now.Notice != want {
		t.Errorf("the request is %s, notice %+v, problem %+v", now.State, now.Notice, now.Problem)
	}
	if page := b.get(t, r.SigningURL); page.Step != "wait" || page.Notice == nil || *page.Notice != want {
		t.Errorf("the page says %q, notice %+v", page.Step, page.Notice)
	}
	if err := <-came; err != nil {
		t.Errorf("the browser came back from itsme and got %v", err)
	}
	b.unhealthy(t)
	if fault.Function != "C_UnwrapKey" { // whose keys were used is under a MAC, for which the token is asked too
		b.retryLater(t)
	}
	if n := b.signed(t); n != before {
		t.Errorf("%d C_Sign with a user's key meanwhile", n-before)
	}
	b.order(t)
	over := time.Now()
	b.ends(t, r, "finished", "")
	t.Logf("finished %v after the fault was over", time.Since(over).Round(100*time.Millisecond))
	b.healthy(t)
	if n := b.signed(t) - before; n != 2 {
		t.Errorf("%d C_Sign for two documents", n)
	}
}

// unknown puts the fault between C_UnwrapKey of the confirmed key and what follows. Nobody can say whether a value was made, so no
// second one is.
func (b *broken) unknown(t *testing.T, fault shim.Fault, reached int) {
	before := b.signed(t)
	r := b.confirmedWith(t, fault)
	b.ends(t, r, "failed", "outcome_unknown")
	b.order(t)
	if n := b.signed(t) - before; n != reached {
		t.Errorf("%d C_Sign, want %d", n, reached)
	}
	over := time.Now()
	b.wholeOrder(t)
	t.Logf("the next order was finished after %v", time.Since(over).Round(100*time.Millisecond))
}

// wrongValue: the token makes a wrong value for a person. It is not released, operators are told, and the token is not trusted before
// the canary has proven it; others then sign.
func (b *broken) wrongValue(t *testing.T) {
	r := b.confirmedWith(t, shim.Always("C_Sign", "flip"))
	b.ends(t, r, "failed", "outcome_unknown")
	for range 3 { // as long as the canary's values are wrong too
		b.unhealthy(t)
		time.Sleep(1200 * time.Millisecond) // it is tried once in a second
	}
	if rows := b.rows(t, "key.wrong_value"); rows != 1 {
		t.Errorf("%d rows key.wrong_value", rows)
	}
	canaries := b.canaries(t)
	b.order(t)
	over := time.Now()
	b.healthy(t)
	proven := b.canaries(t) - canaries
	if proven < 10 {
		t.Errorf("trusted again after %d values of the canary", proven)
	}
	t.Logf("trusted again after %d values of the canary and %v", proven, time.Since(over).Round(100*time.Millisecond))
	// The person whose key it was is told; his key is suspended until the role starts again.
	again, back := b.atCallback(t)
	signs := b.signed(t)
	if step := b.approve(t.Context(), again, back); step != "failed" || b.signed(t) != signs {
		t.Errorf("the suspended key: the page says %s, %d C_Sign", step, b.signed(t)-signs)
	}
	b.ends(t, again, "failed", "certificate_not_good")
	other, err := order(t.Context(), b.flow, "somebody-else", [][]byte{smallPDF("of somebody else")})
	if err != nil {
		t.Fatal(err)
	}
	if step := walk(t.Context(), b.flow, other.SigningURL, "nl-document"); step != "done" {
		t.Errorf("somebody else: the page says %s", step)
	}
}

// confirmedWith lets a person confirm, stops the sam when C_UnwrapKey of his key has returned, and puts the fault in what follows. A
// delay of the shim ends when the orders change.
func (b *broken) confirmedWith(t *testing.T, fault shim.Fault) sandboxtest.Request {
	t.Helper()
	r, back := b.atCallback(t)
	unwrapped := func() int { return shim.Count(b.events(t), "C_UnwrapKey") }
	b.order(t, shim.Once("C_UnwrapKey", "late:60000"))
	before := unwrapped()
	go func() { _ = b.flow.Callback(t.Context(), back) }() // the page tells what became of it
	within(t, recovery, "the key is unwrapped", func() bool { return unwrapped() > before })
	b.order(t, fault)
	return r
}

func (b *broken) order(t *testing.T, list ...shim.Fault) {
	t.Helper()
	if err := b.faults.Set(list...); err != nil {
		t.Fatal(err)
	}
}

// told is what a request or its page says.
type told struct {
	State, Step, Code string
	Notice, Problem   *reason
}

type reason struct {
	Code, Detail, Hint string
	Retryable          bool
}

// ask calls the front as the provider and, below /sign/, as the signer's browser.
func (b *broken) ask(t *testing.T, address string) (*http.Response, []byte) {
	t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.flow.Front + address
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if strings.HasPrefix(req.URL.Path, "/v1/") {
		req.Header.Set("Authorization", "Bearer "+b.flow.Key)
	}
	req.AddCookie(&http.Cookie{Name: "tekend_signer", Value: signer.ViewerOf(b.code)})
	resp, err := b.flow.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func (b *broken) get(t *testing.T, address string) (now told) {
	t.Helper()
	resp, body := b.ask(t, address)
	if err := json.Unmarshal(body, &now); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	return now
}

// retryLater holds that a call that waits for the token is refused at once, with the time to come again.
func (b *broken) retryLater(t *testing.T) {
	t.Helper()
	start := time.Now()
	resp, body := b.ask(t, b.seen.SigningURL+"/uses")
	took := time.Since(start)
	var p told
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || p.Code != "hsm_unavailable" || resp.Header.Get("Retry-After") == "" || took > 10*time.Second {
		t.Errorf("a call that needs the token: %d %s, Retry-After %q, after %v", resp.StatusCode, p.Code, resp.Header.Get("Retry-After"), took)
	}
}

func (b *broken) health(t *testing.T) string {
	t.Helper()
	_, body := b.ask(t, "/health")
	var h struct{ Status, Reason string }
	if err := json.Unmarshal(body, &h); err != nil {
		t.Fatal(err)
	}
	return h.Status + " " + h.Reason
}

// unhealthy: the front's answer may be some seconds old.
func (b *broken) unhealthy(t *testing.T) {
	t.Helper()
	within(t, recovery, "the front says that the sam is not ready", func() bool { return b.health(t) == "DEGRADED sam: not ready" })
}

func (b *broken) healthy(t *testing.T) {
	t.Helper()
	within(t, recovery, "the front is well", func() bool { return b.health(t) == "UP " })
}

// ends waits for the end of a request, of which nobody looks at the page.
func (b *broken) ends(t *testing.T, r sandboxtest.Request, state, code string) {
	t.Helper()
	var now told
	within(t, recovery, "request "+r.ID+" is "+state, func() bool {
		now = b.get(t, "/v1/signature-requests/"+r.ID)
		return now.State == "finished" || now.State == "failed"
	})
	got := ""
	if now.Problem != nil {
		got = now.Problem.Code
	}
	if now.State != state || got != code {
		t.Errorf("the request is %s %s, want %s %s", now.State, got, state, code)
	}
}

func (b *broken) events(t *testing.T) []shim.Event {
	t.Helper()
	var all []shim.Event
	within(t, time.Second, "the oracle's lines are whole", func() (ok bool) {
		var err error
		all, err = shim.ReadOracle(b.oracle)
		return err == nil
	})
	return all
}

// signed counts the C_Sign of users' keys that reached the token.
func (b *broken) signed(t *testing.T) (n int) {
	t.Helper()
	for _, s := range shim.Signatures(b.events(t)) {
		if strings.HasPrefix(s.Key, "blob:") && !s.Canary() {
			n++
		}
	}
	return n
}

func (b *broken) canaries(t *testing.T) (n int) {
	t.Helper()
	for _, s := range shim.Signatures(b.events(t)) {
		if s.Canary() && s.Made() {
			n++
		}
	}
	return n
}

// rows counts the rows of a kind in the sam's audit.
func (b *broken) rows(t *testing.T, kind string) (n int) {
	t.Helper()
	db, err := openDB(filepath.Join(b.Dir, "sam", "sam.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRow("SELECT count(*) FROM audit WHERE kind = ?", kind).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// codeOf is itsme's code in the address of the callback.
func codeOf(t *testing.T, back string) string {
	t.Helper()
	u, err := url.Parse(back)
	if err != nil || u.Query().Get("code") == "" {
		t.Fatal(fmt.Errorf("no code: %w", err))
	}
	return u.Query().Get("code")
}
