package signer_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"tekend/signer"
)

// TestWhatTheMagicPeopleLeadTo: what each person of the simulation does to a request.
func TestWhatTheMagicPeopleLeadTo(t *testing.T) {
	w := newWorld(t)
	file := sample(t, "fpdf2.pdf")
	cases := []struct {
		person string
		state  signer.State
		code   string
	}{
		{"approve", signer.Finished, ""},
		{"approve-slow", signer.Finished, ""},
		{"diacritics", signer.Finished, ""},
		{"one-name", signer.Finished, ""},
		{"no-email", signer.Finished, ""},
		{"refuse", signer.Declined, "declined"},
		{"expire", signer.Declined, "declined"}, // itsme tells no more than access_denied
		{"blocked", signer.Declined, "declined"},
		{"minor", signer.Failed, "signer_minor"},
		{"other-person", signer.Failed, "identity_mismatch"},
		{"wrong-nonce", signer.Failed, "answer_refused"},
		{"wrong-sub", signer.Failed, "wrong_person"},
	}
	for _, c := range cases {
		t.Run(c.person, func(t *testing.T) {
			before := w.uses()
			r, token := w.order("", file)
			w.walk(token, c.person, signer.StepDone)
			r = w.wait(r.ID, c.state)
			if c.code != "" && (r.Failure == nil || r.Failure.Code != c.code || r.Failure.Detail == "") {
				t.Errorf("failure %+v, want %s", r.Failure, c.code)
			}
			if c.state == signer.Finished {
				w.released(r, file)
			} else if _, err := w.front.Document(t.Context(), "acme", r.ID, 1); codeOf(err) != "not_finished" {
				t.Errorf("document of a request that is %s: %v", r.State, err)
			}
			w.check(before, r, 1)
		})
	}
}

// TestPeopleWhoAreAskedAgain: nothing is lost when itsme has a fault or somebody is on the phone.
func TestPeopleWhoAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	for person, code := range map[string]string{"call": "ongoing_call", "error": "confirmation_expired"} {
		r, token := w.order("", sample(t, "fpdf2.pdf"))
		p := w.walk(token, person, signer.StepIdentify)
		w.callback(w.atItsme(p.Link, person))
		p, err := w.front.Page(t.Context(), token)
		w.must(err)
		if p.Step != signer.StepTerms || p.Notice == nil || p.Notice.Code != code || p.Request.State != signer.Created {
			t.Errorf("%s: step %s in state %s, notice %+v", person, p.Step, p.Request.State, p.Notice)
			continue
		}
		w.walk(token, "approve", signer.StepDone)
		w.wait(r.ID, signer.Finished)
	}
}

func TestARefusedSignatureIsDeclinedAndNoKeyIsUsed(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	w.callback(w.atItsme(p.Link, "refuse"))
	r = w.wait(r.ID, signer.Declined)
	if p, err := w.front.Page(t.Context(), token); err != nil || p.Step != signer.StepRefused || p.Failure.Code != "declined" {
		t.Errorf("%+v %v", p, err)
	}
	if now := w.uses(); len(now.burnt) != len(before.burnt) {
		t.Error("a key was used")
	}
	if r.Failure == nil || r.Failure.Code != "declined" {
		t.Errorf("%+v", r.Failure)
	}
}

func TestCallbacksAreTakenOnceAndInTime(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	a := w.atItsme(p.Link, "approve")
	// Two devices bring the same answer at once: one is taken, both are shown the page.
	results := make(chan error, 2)
	for range 2 {
		go func() {
			got, err := w.front.Callback(t.Context(), a.state, a.code, a.err)
			if got != token {
				t.Errorf("the page of another request: %q", got)
			}
			results <- err
		}()
	}
	codes := map[string]int{codeOf(<-results): 1}
	codes[codeOf(<-results)]++
	if codes[""] != 1 || codes["callback_used"] != 1 {
		t.Errorf("%v", codes)
	}
	w.wait(r.ID, signer.Finished)
	if _, err := w.front.Callback(t.Context(), a.state, a.code, a.err); codeOf(err) != "callback_used" {
		t.Errorf("used again: %v", err)
	}
	if n := w.sam.count("/authorization"); n != 2 { // one when cust-1 became known
		t.Errorf("%d calls of Authorize", n)
	}

	r, token = w.order("cust-1", sample(t, "fpdf2.pdf"))
	p = w.walk(token, "approve", signer.StepConfirm)
	a = w.atItsme(p.Link, "approve")
	w.sleep(11 * time.Minute)
	got, err := w.front.Callback(t.Context(), a.state, a.code, a.err)
	if codeOf(err) != "callback_expired" || got != token {
		t.Errorf("too late: %q %v", got, err)
	}
	// The page has a new question, and the request goes on.
	q := w.walk(token, "approve", signer.StepConfirm)
	if q.Link == p.Link || q.CheckCode != p.CheckCode {
		t.Errorf("old link %v, check code %s after %s", q.Link == p.Link, q.CheckCode, p.CheckCode)
	}
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
}

func TestARequestThatNobodyConfirmsExpires(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	a := w.atItsme(p.Link, "approve")
	w.sleep(25 * time.Hour)
	r = w.wait(r.ID, signer.Expired)
	if r.Failure == nil || r.Failure.Code != "expired" {
		t.Errorf("%+v", r.Failure)
	}
	// What comes later changes nothing.
	if _, err := w.front.Callback(t.Context(), a.state, a.code, a.err); err != nil {
		t.Errorf("callback: %v", err)
	}
	if p, err := w.front.Page(t.Context(), token); err != nil || p.Step != signer.StepExpired {
		t.Errorf("%+v %v", p, err)
	}
	if err := w.front.Decline(t.Context(), token); codeOf(err) != "ended" {
		t.Errorf("decline: %v", err)
	}
}

func TestParallelRequestsOfOnePersonAndDoubleClicks(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	const n = 4
	ids := make(chan string, n)
	for range n {
		go func() {
			r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
			for range 3 { // somebody who reloads the page
				go func() { _, _ = w.front.Page(t.Context(), token) }()
			}
			w.walk(token, "approve", signer.StepDone)
			ids <- r.ID
		}()
	}
	var last *signer.Request
	for range n {
		last = w.wait(<-ids, signer.Finished)
	}
	w.check(before, last, n)
}

func TestARestartOfTheSAMVoidsWhatWasNotConfirmed(t *testing.T) {
	w := enrolled(t)
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	p := w.walk(token, "approve", signer.StepConfirm)
	a := w.atItsme(p.Link, "approve")
	w.restartSAM()
	w.callback(a)
	q, err := w.front.Page(t.Context(), token)
	w.must(err)
	if q.Step != signer.StepConfirm || q.Link == p.Link || q.Notice == nil || q.Notice.Code != "confirmation_expired" {
		t.Fatalf("%+v", q)
	}
	w.walk(token, "approve", signer.StepDone)
	w.released(w.wait(r.ID, signer.Finished), file)
}

// TestARestartOfTheSAMAfterSigning: the values survive both restarts, and nothing is signed again.
func TestARestartOfTheSAMAfterSigning(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	file := sample(t, "fpdf2.pdf")
	lost := w.sam.breakCall("/signatures/", 1, replyLost)
	lost.at = w.sam.takeDown
	r, token := w.order("cust-1", file)
	p := w.walk(token, "approve", signer.StepConfirm)
	w.callback(w.atItsme(p.Link, "approve"))
	w.wait(r.ID, signer.Activating)
	w.sam.await(t, lost)
	w.sam.untilDown(t)
	w.stopFront()
	w.restartSAM()
	w.sam.heal()
	w.startFront()
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)
	w.check(before, r, 1)
}

// TestTheSAMDiesBeforeItUsedTheKey: the session is void after the restart, so the request fails, unsigned.
func TestTheSAMDiesBeforeItUsedTheKey(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	lost := w.sam.breakCall("/signatures/", 1, requestLost)
	lost.at = w.sam.takeDown
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	w.callback(w.atItsme(p.Link, "approve"))
	w.wait(r.ID, signer.Activating)
	w.sam.await(t, lost)
	w.sam.untilDown(t)
	w.restartSAM()
	w.sam.heal()
	r = w.wait(r.ID, signer.Failed)
	if c := r.Failure.Code; c != "confirmation_void" && c != "session_expired" {
		t.Errorf("%+v", r.Failure)
	}
	if now := w.uses(); len(now.signed) != len(before.signed) {
		t.Error("a key was used")
	}
}

// TestTheSAMDiesWhileItUsesTheKey: after its restart the position is unknown, so the request fails, and nothing
// is ever signed for this confirmation again.
func TestTheSAMDiesWhileItUsesTheKey(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	lost := w.sam.breakCall("/signatures/", 1, requestLost)
	lost.at = func() {
		// What a kill between burning and storing leaves behind.
		raw, err := sql.Open("sqlite", "file:"+w.path("sam.db")+"?_pragma=busy_timeout(5000)")
		if err == nil {
			_, err = raw.Exec("UPDATE positions SET state = 'burnt' WHERE state = 'free'")
		}
		if err := errors.Join(err, raw.Close()); err != nil {
			t.Error(err)
		}
		w.sam.takeDown()
	}
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	w.callback(w.atItsme(p.Link, "approve"))
	w.wait(r.ID, signer.Activating)
	w.sam.await(t, lost)
	w.sam.untilDown(t)
	calls := w.sam.count("/signatures/")
	w.restartSAM()
	w.sam.heal()
	if r = w.wait(r.ID, signer.Failed); r.Failure.Code != "outcome_unknown" {
		t.Errorf("%+v", r.Failure)
	}
	if n := w.sam.count("/signatures/"); n != calls {
		t.Errorf("%d more calls of Sign", n-calls)
	}
	if now := w.uses(); len(now.signed) != len(before.signed) || len(now.unknown) != 1 {
		t.Errorf("%d signed, %d unknown", len(now.signed)-len(before.signed), len(now.unknown))
	}
	if p, err := w.front.Page(t.Context(), token); err != nil || p.Step != signer.StepFailed {
		t.Errorf("%+v %v", p, err)
	}
}
