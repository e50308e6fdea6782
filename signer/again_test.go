package signer_test

import (
	"slices"
	"testing"
	"time"

	"tekend/sam"
	"tekend/signer"
)

// late brings an answer to a question that was given up: it signs nothing and leads to the page.
func (w *world) late(token string, a answer) {
	w.t.Helper()
	got, err := w.front.Callback(w.t.Context(), a.state, a.code, a.err)
	if codeOf(err) != "callback_expired" || got != token {
		w.t.Errorf("a late answer: %v, page %v", err, got == token)
	}
}

func (w *world) page(token string) *signer.Page {
	w.t.Helper()
	p, err := w.front.Page(w.t.Context(), token)
	w.must(err)
	return p
}

// bring gives an answer to the SAM past the front.
func (w *world) bring(token string, a answer) {
	w.t.Helper()
	rec, err := w.front.store.Load(w.t.Context(), signer.Lookup{Token: token})
	w.must(err)
	c, said := sam.NewClient(w.sam.socket, 20*time.Second), sam.Answer{Code: a.code, Error: a.err}
	if e := rec.Progress.Enrolment; e != nil {
		_, err = c.Identification(w.t.Context(), e.ID, said)
	} else {
		_, err = c.Authorize(w.t.Context(), rec.Progress.Confirmation.Nonce, said)
	}
	if (err != nil) != (a.err != "") {
		w.t.Fatal(err)
	}
}

// TestAConfirmationThatWasLostIsAskedAgain: the person answered, and the browser never came back.
func TestAConfirmationThatWasLostIsAskedAgain(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	p := w.walk(token, "approve", signer.StepConfirm)
	lost := w.atItsme(p.Link, "approve")
	w.must(w.front.Again(t.Context(), token))
	q := w.page(token)
	if q.Step != signer.StepConfirm || q.Link == p.Link || q.CheckCode != p.CheckCode || q.Notice != nil || q.Request.State != signer.Prepared {
		t.Errorf("step %s, same link %v, code %s after %s, %v", q.Step, q.Link == p.Link, q.CheckCode, p.CheckCode, q.Notice)
	}
	if err := w.front.Again(t.Context(), token); codeOf(err) != "too_soon" {
		t.Errorf("at once again: %v", err)
	}
	if again := w.page(token); again.Link != q.Link {
		t.Error("too soon, and yet a new link")
	}
	w.late(token, lost)
	w.sleep(10 * time.Second)
	w.must(w.front.Again(t.Context(), token))
	if again := w.page(token); again.Step != signer.StepConfirm || again.Link == q.Link {
		t.Errorf("after 10 s: %+v", again)
	}
	w.late(token, w.atItsme(q.Link, "approve"))
	w.walk(token, "approve", signer.StepDone)
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)
	w.check(before, r, 1)
	// What comes when all is over changes nothing.
	if _, err := w.front.Callback(t.Context(), lost.state, lost.code, lost.err); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if err := w.front.Again(t.Context(), token); codeOf(err) != "ended" {
		t.Errorf("after the end: %v", err)
	}
}

// TestBothLegsOfAnEnrolmentAreAskedAgain: each time from the first leg on, with a new key, without new terms.
func TestBothLegsOfAnEnrolmentAreAskedAgain(t *testing.T) {
	w := newWorld(t)
	before := w.uses()
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	w.must(w.front.Again(t.Context(), token)) // no question yet: nothing happens
	if p := w.page(token); p.Step != signer.StepTerms {
		t.Fatalf("%+v", p)
	}
	for _, step := range []string{signer.StepIdentify, signer.StepConsent} {
		p := w.walk(token, "approve", step)
		lost := w.atItsme(p.Link, "approve")
		w.sleep(11 * time.Second)
		w.must(w.front.Again(t.Context(), token))
		q := w.page(token)
		if q.Step != signer.StepIdentify || q.Link == p.Link || q.Notice != nil {
			t.Errorf("%s: step %s, same link %v, %v", step, q.Step, q.Link == p.Link, q.Notice)
		}
		w.late(token, lost)
	}
	if n := w.sam.count("PUT /v1/enrolments/[^/]*$"); n != 3 {
		t.Errorf("%d enrolments", n)
	}
	w.walk(token, "approve", signer.StepDone)
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)
	w.check(before, r, 1)
}

// TestAnAnswerThatHasArrivedIsNotAskedForAgain: the front took itsme's answer, and the SAM did not reply yet.
func TestAnAnswerThatHasArrivedIsNotAskedForAgain(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	rule := w.sam.breakCall("/authorization", 0, replyLost)
	preparations := w.sam.count("PUT /v1/preparations")
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.callback(w.atItsme(p.Link, "approve"))
	}()
	w.sam.await(t, rule)
	w.must(w.front.Again(t.Context(), token))
	w.sam.heal()
	<-done
	r = w.wait(r.ID, signer.Finished)
	if n := w.sam.count("PUT /v1/preparations"); n != preparations {
		t.Errorf("%d new preparations", n-preparations)
	}
	w.check(before, r, 1)
}

// TestTheSAMKnowsMoreThanTheFront: somebody else has brought the answer to the SAM (an older database of the
// front was put back, or the front's memory of it was lost). The person is not asked twice.
func TestTheSAMKnowsMoreThanTheFront(t *testing.T) {
	w := enrolled(t)
	before := w.uses()
	file := sample(t, "fpdf2.pdf")
	r, token := w.order("cust-1", file)
	p := w.walk(token, "approve", signer.StepConfirm)
	w.bring(token, w.atItsme(p.Link, "approve"))
	w.must(w.front.Again(t.Context(), token))
	r = w.wait(r.ID, signer.Finished)
	w.released(r, file)
	w.check(before, r, 1)
	var states []string
	for _, e := range r.Events {
		states = append(states, e.Type)
	}
	if !slices.Contains(states, "signature_request.confirmed") {
		t.Errorf("%v", states)
	}

	r, token = w.order("cust-1", file)
	p = w.walk(token, "approve", signer.StepConfirm)
	w.bring(token, w.atItsme(p.Link, "refuse"))
	w.must(w.front.Again(t.Context(), token))
	w.wait(r.ID, signer.Declined)

	// An enrolment whose first leg the SAM has: the page goes on with the second.
	r, token = w.order("", file)
	p = w.walk(token, "approve", signer.StepIdentify)
	w.bring(token, w.atItsme(p.Link, "diacritics"))
	w.must(w.front.Again(t.Context(), token))
	if q := w.page(token); q.Step != signer.StepConsent {
		t.Errorf("step %s: %v", q.Step, q.Failure)
	}
	w.walk(token, "diacritics", signer.StepDone)
	w.wait(r.ID, signer.Finished)
}

// TestNoNewQuestionWhileTheSAMIsAway: it alone knows whether the old one was answered.
func TestNoNewQuestionWhileTheSAMIsAway(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	w.sam.takeDown()
	if err := w.front.Again(t.Context(), token); codeOf(err) != "sam_unavailable" {
		t.Errorf("%v", err)
	}
	w.sam.heal()
	w.callback(w.atItsme(p.Link, "approve")) // the old link works still
	w.wait(r.ID, signer.Finished)

	// After a restart of the SAM the old question is void, and there is a new one.
	r, token = w.order("cust-1", sample(t, "fpdf2.pdf"))
	p = w.walk(token, "approve", signer.StepConfirm)
	w.restartSAM()
	w.must(w.front.Again(t.Context(), token))
	if q := w.page(token); q.Step != signer.StepConfirm || q.Link == p.Link {
		t.Errorf("%+v", q)
	}
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
}

// TestAQuestionThatTheSAMHasForgotten: nobody can have answered it.
func TestAQuestionThatTheSAMHasForgotten(t *testing.T) {
	w := enrolled(t)
	for ref, step := range map[string]string{"": signer.StepIdentify, "cust-1": signer.StepConfirm} {
		r, token := w.order(ref, sample(t, "fpdf2.pdf"))
		w.walk(token, "approve", step)
		rec, err := w.front.store.Load(t.Context(), signer.Lookup{Token: token})
		w.must(err)
		if e := rec.Progress.Enrolment; e != nil {
			e.ID = "forgotten"
		} else {
			rec.Progress.Confirmation.Nonce = "forgotten"
		}
		w.must(w.front.store.Advance(t.Context(), signer.Change{Was: rec.State, Now: rec}))
		w.must(w.front.Again(t.Context(), token))
		w.walk(token, "approve", signer.StepDone)
		w.wait(r.ID, signer.Finished)
	}
}

// TestAgainAndTheAnswerAtOnce: one of them is first; there is never more than one signature, and never a
// request that hangs.
func TestAgainAndTheAnswerAtOnce(t *testing.T) {
	w := enrolled(t)
	for range 5 {
		before := w.uses()
		r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
		p := w.walk(token, "approve", signer.StepConfirm)
		a := w.atItsme(p.Link, "approve")
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = w.front.Callback(t.Context(), a.state, a.code, a.err)
		}()
		if err := w.front.Again(t.Context(), token); err != nil && codeOf(err) != "ended" {
			t.Errorf("again: %v", err)
		}
		<-done
		if err != nil && codeOf(err) != "callback_expired" {
			t.Errorf("answer: %v", err)
		}
		w.walk(token, "approve", signer.StepDone)
		w.check(before, w.wait(r.ID, signer.Finished), 1)
	}
}
