package authority_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/clock"
	"tekend/clock/ntp"
	"tekend/foureyes"
	"tekend/tsa"
	"tekend/tsa/authority"
	"tekend/wire"
)

// desk are two operators and what they can sign.
type desk struct {
	keys []ed25519.PrivateKey
	list foureyes.Operators
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	var list []foureyes.Operator
	for _, name := range []string{"an", "bo"} {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		check(t, err)
		d.keys = append(d.keys, key)
		list = append(list, foureyes.Operator{Name: name, Key: base64.RawURLEncoding.EncodeToString(pub)})
	}
	var err error
	d.list, err = foureyes.Load(list)
	check(t, err)
	return d
}

// act has an act approved by the operators of the given numbers.
func (d *desk) act(t *testing.T, act, subject, reason string, who ...int) tsa.ActRequest {
	t.Helper()
	a, err := foureyes.NewAct(act, subject, reason)
	check(t, err)
	req := tsa.ActRequest{Text: a.String()}
	for _, i := range who {
		approval, err := foureyes.Approve(d.keys[i], req.Text, time.Now(), 10*time.Minute)
		check(t, err)
		req.Approvals = append(req.Approvals, approval.String())
	}
	return req
}

func do(t *testing.T, r *authority.Role, req tsa.ActRequest) int {
	t.Helper()
	body, err := json.Marshal(req)
	check(t, err)
	q := httptest.NewRequest(http.MethodPut, "/v1/acts/"+wire.BodyHash(body), strings.NewReader(string(body)))
	q.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	r.OperatorHandler().ServeHTTP(rec, q)
	return rec.Code
}

// subject names the unit's clock in an act.
func (g *guarded) subject() string {
	sum := sha256.Sum256(g.dep.Chain[0].Raw)
	return hex.EncodeToString(sum[:])
}

// TestOperatorsLookAtTheClock: with operator_resume a doubt ends only by the word of two operators, once the sources agree; a restart does
// not end it, and approvals count once.
func TestOperatorsLookAtTheClock(t *testing.T) {
	d := newDesk(t)
	g := startGuarded(t, func(c *clock.Config) { c.OperatorResume = true }, d.list)
	_, err := g.ask()
	check(t, err)
	early := d.act(t, foureyes.ActResume, g.subject(), "clockChecked", 0, 1)
	if code := do(t, g.role, early); code != http.StatusConflict {
		t.Errorf("without a doubt: %d", code)
	}
	g.lose(t)
	if code := do(t, g.role, early); code != http.StatusConflict {
		t.Errorf("while the clock is wrong: %d", code)
	}
	g.find(t)
	if _, err := g.ask(); failure(err) != tsa.TimeNotAvailable {
		t.Errorf("before the operators: %v", err)
	}
	g.again(t, d.list)
	g.find(t)
	if _, err := g.ask(); failure(err) != tsa.TimeNotAvailable {
		t.Errorf("after a restart: %v", err)
	}
	for name, tc := range map[string]struct {
		req  tsa.ActRequest
		want int
	}{
		"one operator":        {d.act(t, foureyes.ActResume, g.subject(), "clockChecked", 0), http.StatusForbidden},
		"one twice":           {d.act(t, foureyes.ActResume, g.subject(), "clockChecked", 1, 1), http.StatusForbidden},
		"strangers":           {newDesk(t).act(t, foureyes.ActResume, g.subject(), "clockChecked", 0, 1), http.StatusForbidden},
		"another unit":        {d.act(t, foureyes.ActResume, strings.Repeat("0a", 32), "clockChecked", 0, 1), http.StatusBadRequest},
		"another subject":     {d.act(t, foureyes.ActResume, "cred_1", "clockChecked", 0, 1), http.StatusBadRequest},
		"another reason":      {d.act(t, foureyes.ActResume, g.subject(), "investigationOver", 0, 1), http.StatusBadRequest},
		"another act":         {d.act(t, foureyes.ActSuspend, g.subject(), "investigation", 0, 1), http.StatusBadRequest},
		"another act's words": {tsa.ActRequest{Text: early.Text, Approvals: d.act(t, foureyes.ActResume, g.subject(), "clockChecked", 0, 1).Approvals}, http.StatusForbidden},
	} {
		if code := do(t, g.role, tc.req); code != tc.want {
			t.Errorf("%s: %d", name, code)
		}
	}
	if code := do(t, g.role, early); code != http.StatusOK {
		t.Fatalf("two operators: %d", code)
	}
	_, err = g.ask()
	check(t, err)
	g.again(t, d.list)
	_, err = g.ask()
	check(t, err)
	g.lose(t)
	g.find(t)
	if code := do(t, g.role, early); code != http.StatusOK { // the stored outcome, which changes nothing
		t.Errorf("an equal call: %d", code)
	}
	if _, err := g.ask(); failure(err) != tsa.TimeNotAvailable {
		t.Errorf("the approvals count twice: %v", err)
	}
	kinds := kindsOf(t, g.world)
	if slices.Index(kinds, "clock.resumed") < slices.Index(kinds, "clock.lost") {
		t.Errorf("recorded %v", kinds)
	}
}

// lose has the sources contradict the clock, and find agree with it again, until operators may be asked.
func (g *guarded) lose(t *testing.T) {
	t.Helper()
	g.stations.set(ntp.State{Ahead: 5 * time.Second}, 0, 1, 2)
	for at := time.Now(); g.role.Health(t.Context()).Ready && time.Since(at) < 10*time.Second; {
		time.Sleep(20 * time.Millisecond)
	}
	for range 100 { // the row, and with it what the next process must know, is written beside
		if kinds := kindsOf(t, g.world); kinds[len(kinds)-1] == "clock.lost" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the loss is not recorded")
}

func (g *guarded) find(t *testing.T) {
	t.Helper()
	g.stations.set(ntp.State{}, 0, 1, 2)
	for at := time.Now(); time.Since(at) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if h := g.role.Health(t.Context()); !h.Ready && slices.ContainsFunc(h.Reasons, func(r string) bool { return strings.Contains(r, "two operators") }) {
			return
		}
	}
	t.Fatalf("%+v", g.role.Health(context.Background()))
}

// TestOperatorResumeNeedsOperators.
func TestOperatorResumeNeedsOperators(t *testing.T) {
	g := startGuarded(t, nil, nil)
	cfg := g.cfg
	cfg.OperatorResume = true
	if r, err := authority.New(t.Context(), authority.Config{Now: time.Now, DB: t.TempDir() + "/x.db", Clock: &cfg}, g.dep); err == nil {
		t.Error("it starts without operators")
		_ = r.Close()
	}
}
