package signer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"tekend/audit"
	"tekend/db"
	"tekend/signer"
)

// uses is what the SAM's own record says about users' keys: how often each position of each confirmation
// was burnt and signed. It is read from the file, as an assessor would.
type uses struct{ burnt, signed, unknown map[string]int }

func (w *world) uses() uses {
	w.t.Helper()
	raw, err := db.OpenReader(w.t.Context(), w.samCfg.DB)
	w.must(err)
	defer func() { _ = raw.Close() }()
	rep, err := audit.Verify(w.t.Context(), raw)
	w.must(err)
	if rep.FirstBad != 0 || rep.Rows == 0 {
		w.t.Fatalf("the SAM's audit is broken at row %d: %s", rep.FirstBad, rep.Reason)
	}
	u := uses{map[string]int{}, map[string]int{}, map[string]int{}}
	rows, err := raw.QueryContext(w.t.Context(), "SELECT kind, subject, detail FROM audit WHERE kind LIKE 'key.%'")
	w.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var kind, subject, detail string
		w.must(rows.Scan(&kind, &subject, &detail))
		var d struct{ Position string }
		w.must(json.Unmarshal([]byte(detail), &d))
		position := subject + " " + d.Position
		switch kind {
		case "key.intent":
			u.burnt[position]++
		case "key.not_used": // known for certain: the key was never asked
			u.burnt[position]--
		case "key.used":
			u.signed[position]++
		case "key.unknown":
			u.unknown[position]++
		}
	}
	w.must(rows.Err())
	for position, n := range u.burnt {
		if n == 0 {
			delete(u.burnt, position)
		}
	}
	return u
}

// enrolled is a world in which client acme knows cust-1 already.
func enrolled(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	r, token := w.order("cust-1", sample(t, "pdftex-1.4-classic.pdf"))
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	return w
}

// TestEachCallOfTheSignatureFailsInBothWays is the fault table of house §5.
func TestEachCallOfTheSignatureFailsInBothWays(t *testing.T) {
	w := enrolled(t)
	two := [][]byte{sample(t, "libreoffice-writer.pdf"), sample(t, "fpdf2.pdf")}
	const (
		signatures    = `PUT /v1/confirmations/[^/]+/signatures/`
		confirmations = `GET /v1/confirmations/`
	)
	type broken struct {
		call string
		f    fault
	}
	var cases [][]broken
	for _, f := range []fault{requestLost, replyLost} {
		for _, call := range []string{`GET /v1/credentials/`, `PUT /v1/preparations/`, `PUT /v1/confirmations/[^/]+/authorization`, signatures} {
			cases = append(cases, []broken{{call, f}})
		}
		// The question what happened is only asked after a signature call that failed.
		for _, g := range []fault{requestLost, replyLost} {
			cases = append(cases, []broken{{signatures, f}, {confirmations, g}})
		}
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			w.sam.heal()
			var rules []*rule
			for _, b := range c {
				rules = append(rules, w.sam.breakCall(b.call, 1, b.f))
			}
			before := w.uses()
			r, token := w.order("cust-1", two...)
			w.walk(token, "approve", signer.StepDone)
			r = w.wait(r.ID, signer.Finished)
			w.released(r, two...)
			for i, b := range c {
				if w.sam.hits(rules[i]) != 1 {
					t.Errorf("%v was not broken", b)
				}
			}
			w.check(before, r, 2)
		})
	}
}

// check looks at the whole world after a request has ended: at most one use of the key for each position of
// a confirmation, every use in the audit, and as many new ones as the request has documents if it finished.
func (w *world) check(before uses, r *signer.Request, documents int) {
	w.t.Helper()
	now := w.uses()
	for _, m := range []map[string]int{now.burnt, now.signed} {
		for position, n := range m {
			if n > 1 {
				w.t.Errorf("position %s: %d times", position, n)
			}
		}
	}
	signed := len(now.signed) - len(before.signed)
	if len(now.burnt) != len(now.signed)+len(now.unknown) {
		w.t.Errorf("%d burnt, %d signed, %d unknown", len(now.burnt), len(now.signed), len(now.unknown))
	}
	if r.State == signer.Finished && signed != documents {
		w.t.Errorf("%d signatures for %d documents", signed, documents)
	}
}

// TestEachCallOfTheEnrolmentFailsInBothWays: steps 2 and 7 have no key of a person in them, or only make
// one; all their calls are repeatable. Each case has a new person, so that all of them come to the CA.
func TestEachCallOfTheEnrolmentFailsInBothWays(t *testing.T) {
	people := []string{"approve", "diacritics", "one-name", "no-email", "approve-slow", "nl-document", "eu-document"}
	for _, f := range []fault{requestLost, replyLost} {
		w := newWorld(t)
		file := sample(t, "pdftex-1.4-classic.pdf")
		for i, c := range []struct {
			p    *proxy
			call string
		}{
			{w.sam, `PUT /v1/enrolments/[^/]+$`}, {w.sam, `PUT /v1/enrolments/[^/]+/identification`}, {w.sam, `PUT /v1/enrolments/[^/]+/consent`},
			{w.sam, `GET /v1/enrolments/`}, {w.ca, `PUT /v1/certificates/`}, {w.sam, `PUT /v1/enrolments/[^/]+/certificate`}, {w.tsa, `POST /tsa`},
		} {
			t.Run(fmt.Sprintf("%s %s", f, c.call), func(t *testing.T) {
				x := c.p.breakCall(c.call, 1, f)
				r, token := w.order("", file)
				w.walk(token, people[i], signer.StepDone)
				w.released(w.wait(r.ID, signer.Finished), file)
				if c.p.hits(x) != 1 {
					t.Error("nothing was broken")
				}
				c.p.heal()
			})
		}
		w.stopFront()
	}
}

func TestWithTheTSADownRequestsAreKeptAndFinishedLater(t *testing.T) {
	w := enrolled(t)
	w.tsa.takeDown()
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	w.walk(token, "approve", signer.StepWait)
	w.wait(r.ID, signer.Signed)
	for w.get(r.ID).Notice == nil {
		time.Sleep(10 * time.Millisecond)
	}
	if n := w.get(r.ID).Notice; n.Code != "tsa_unavailable" || !n.Retryable {
		t.Errorf("notice %+v", n)
	}
	if _, err := w.front.Document(t.Context(), "acme", r.ID, 1); codeOf(err) != "not_finished" {
		t.Errorf("a document without its time-stamp: %v", err)
	}
	// What one of several documents has reached is not said while the others wait.
	for err := signer.ErrConflict; err != nil; { // the worker writes too
		rec, e := w.front.store.Load(t.Context(), signer.Lookup{ID: r.ID, Works: true})
		w.must(e)
		rec.Documents[0].Level = "B-T"
		if err = w.front.store.Advance(t.Context(), signer.Change{Was: signer.Signed, Now: rec, Works: true}); !errors.Is(err, signer.ErrConflict) {
			w.must(err)
		}
	}
	if l := w.get(r.ID).Documents[0].Level; l != "" {
		t.Errorf("level %q before the end", l)
	}
	w.restartFront()
	w.tsa.heal()
	w.sleep(time.Minute) // past the backoff
	w.released(w.wait(r.ID, signer.Finished), file)
	if n := w.sam.count(`/signatures/`); n != 2 {
		t.Errorf("%d calls of Sign for two requests", n)
	}
}

func (w *world) get(id string) *signer.Request {
	w.t.Helper()
	r, err := w.front.Get(w.t.Context(), "acme", id)
	w.must(err)
	return r
}

func TestATSAThatStaysDownEndsTheRequestAndNothingLowerIsReleased(t *testing.T) {
	w := enrolled(t)
	w.tsa.takeDown()
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	w.walk(token, "approve", signer.StepWait)
	w.wait(r.ID, signer.Signed)
	w.sleep(73 * time.Hour)
	if r = w.wait(r.ID, signer.Failed); r.Failure.Code != "time_stamp_late" {
		t.Errorf("%+v", r.Failure)
	}
}

func TestWithTheSAMDownNothingIsLost(t *testing.T) {
	w := enrolled(t)
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	w.sam.takeDown()
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	if p.Step != signer.StepWait || p.Notice == nil || p.Notice.Code != "sam_unavailable" {
		t.Fatalf("before the preparation: %+v", p)
	}
	w.sam.heal()
	p = w.walk(token, "approve", signer.StepConfirm)
	a := w.atItsme(p.Link, "approve")
	w.sam.takeDown()
	w.callback(a) // the answer is kept
	if p, err = w.front.Page(t.Context(), token); err != nil || p.Step != signer.StepWait || p.Notice == nil {
		t.Fatalf("after the answer: %+v %v", p, err)
	}
	if w.get(r.ID).State != signer.Prepared {
		t.Errorf("state %s", w.get(r.ID).State)
	}
	w.restartFront()
	w.sam.heal()
	w.released(w.wait(r.ID, signer.Finished), file)
	if n := w.sam.count(`/authorization`); n < 2 {
		t.Errorf("%d calls of Authorize", n)
	}
}

func TestWithTheCADownTheEnrolmentGoesOnLater(t *testing.T) {
	w := newWorld(t)
	w.ca.takeDown()
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-9", file)
	w.walk(token, "approve", signer.StepIdentify)
	for range 2 {
		p, err := w.front.Page(t.Context(), token)
		w.must(err)
		w.callback(w.atItsme(p.Link, "approve"))
	}
	for w.get(r.ID).Notice == nil {
		time.Sleep(10 * time.Millisecond)
	}
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	if p.Step != signer.StepWait || p.Notice == nil || p.Notice.Code != "ca_unavailable" {
		t.Fatalf("%+v", p)
	}
	w.restartFront()
	w.ca.heal()
	w.walk(token, "approve", signer.StepDone)
	w.released(w.wait(r.ID, signer.Finished), file)
}

// TestTheFrontIsKilledInEveryState holds a call, ends the front while it waits, and starts it anew.
func TestTheFrontIsKilledInEveryState(t *testing.T) {
	w := enrolled(t)
	file := sample(t, "fpdf2.pdf")
	cases := []struct {
		name string
		p    *proxy
		call string
		f    fault
	}{
		{"created: before the credential is known", w.sam, `GET /v1/credentials/`, requestLost},
		{"prepared: the question was made", w.sam, `PUT /v1/preparations/`, replyLost},
		{"prepared: the answer was not handed over", w.sam, `/authorization`, requestLost},
		{"prepared: the answer was taken", w.sam, `/authorization`, replyLost},
		{"activating: the key was not used", w.sam, `/signatures/`, requestLost},
		{"activating: the key was used", w.sam, `/signatures/`, replyLost},
		{"signed: no time-stamp", w.tsa, `POST /tsa`, requestLost},
		{"signed: the time-stamp was made", w.tsa, `POST /tsa`, replyLost},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before := w.uses()
			held, release := make(chan struct{}), make(chan struct{})
			x := c.p.breakCall(c.call, 1, c.f)
			x.at = func() { close(held); <-release }
			r, token := w.order("cust-1", file)
			gone := make(chan struct{})
			old := w.front
			go func() { // the browser, whose front dies
				defer close(gone)
				p, err := old.Page(context.Background(), token)
				if err == nil && p.Step == signer.StepConfirm {
					a := w.atItsme(p.Link, "approve")
					_, _ = old.Callback(context.Background(), a.state, a.code, a.err)
				}
			}()
			select {
			case <-held:
			case <-time.After(30 * time.Second):
				t.Fatal("the call never came")
			}
			w.restartFront()
			close(release)
			<-gone
			c.p.heal()
			w.walk(token, "approve", signer.StepDone)
			r = w.wait(r.ID, signer.Finished)
			w.released(r, file)
			w.check(before, r, 1)
		})
	}
}
