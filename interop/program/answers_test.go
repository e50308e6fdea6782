//go:build interop

package program

import (
	"testing"

	"tekend/interop/sandboxtest"
	"tekend/itsme/sandbox"
)

// testAnswers lets itsme answer with each defect of SB-81 in each leg, and with
// everything else than yes.
func (w *world) testAnswers(t *testing.T) {
	w.known(t, "answers", "approve")
	if n := len(sandbox.Defects()); n < 25 {
		t.Fatalf("only %d defects", n)
	}
	before := w.uses(t)
	w.nothingSigned(t, func() {
		t.Run("people", w.testPeople)
	})
	if now := w.uses(t); now.certificates != before.certificates {
		t.Errorf("%d certificates for answers that were not yes", now.certificates-before.certificates)
	}
	// Whoever has a certificate is not asked for consent again: somebody who never gets one is.
	for _, leg := range []leg{
		{"identification", "identify", "", "eu-document"}, {"consent", "consent", "", "eu-document"}, {"signing", "confirm", "answers", "approve"},
	} {
		before := w.uses(t)
		w.nothingSigned(t, func() {
			t.Run(leg.name, func(t *testing.T) {
				for _, defect := range sandbox.Defects() {
					if leg.step == "consent" && defect == sandbox.DefectWrongSub {
						continue // testNewSub
					}
					t.Run(defect, func(t *testing.T) {
						t.Parallel()
						w.defective(t, leg, defect)
					})
				}
			})
		})
		if now := w.uses(t); now.certificates != before.certificates {
			t.Errorf("%s: %d certificates for defective tokens", leg.name, now.certificates-before.certificates)
		}
	}

	t.Run("consent with another sub", w.testNewSub)
}

// leg is one question to itsme, and who answers it.
type leg struct{ name, step, reference, person string }

// newSub: a sub that was never seen is nothing that can be wrong, so the
// enrolment goes on. The defect wrong_sub is one in a signature, which is for one person.
func newSub(step, defect string) bool {
	return defect == sandbox.DefectWrongSub && step == "identify"
}

// testNewSub: at enrolment the sub of the client for Confirmation is learned
// from the consent (itsme §9). If itsme told a wrong one there, the certificate
// is bound to it, and nobody can sign with it.
func (w *world) testNewSub(t *testing.T) {
	w.nothingSigned(t, func() {
		r := w.order(t, "", w.sample(t, "fpdf2.pdf"))
		p := w.until(t, r, "app-to-app", "consent")
		w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, withQuery(t, p.Link, "sandbox_defect", sandbox.DefectWrongSub), "app-to-app")))
		p = w.until(t, r, "app-to-app", "confirm")
		w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, p.Link, "app-to-app")))
		w.ends(t, r, "declined")
		w.notSigned(t, r)
	})
}

// defective lets itsme answer at one step with one defect: the request fails,
// and the reason says so.
func (w *world) defective(t *testing.T, l leg, defect string) {
	step := l.step
	r := w.order(t, l.reference, w.sample(t, "fpdf2.pdf"))
	p := w.until(t, r, l.person, step)
	w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, withQuery(t, p.Link, "sandbox_defect", defect), l.person)))
	switch {
	case newSub(step, defect):
		w.until(t, r, l.person, "consent")
		w.state(t, r, "created")
		return
	case defect == sandbox.DefectTooLong:
		// The answer is not read to its end, so it is like none: the person is asked again.
		w.waitsWith(t, r, map[string]string{"identify": "created", "consent": "created", "confirm": "prepared"}[step], "confirmation_expired")
		return
	}
	code := "answer_refused"
	if defect == sandbox.DefectWrongSub && step == "confirm" {
		code = "wrong_person"
	}
	now := w.ends(t, r, "failed")
	if now.Problem == nil || now.Problem.Code != code || now.Problem.Retryable || now.Problem.Hint == "" {
		t.Errorf("%+v, want %s", now.Problem, code)
	}
	w.notSigned(t, r)
	if p, err := w.flow.Page(t.Context(), r.SigningURL); err != nil || p.Step != "failed" || p.Link != "" {
		t.Errorf("the page is at %s with link %q: %v", p.Step, p.Link, err)
	}
}

// testPeople: who says no at the signature itself, and who cannot sign at all.
func (w *world) testPeople(t *testing.T) {
	cases := []struct{ person, step, state, code string }{
		{"refuse", "confirm", "declined", "declined"},
		{"expire", "confirm", "declined", "declined"}, // itsme tells no more than access_denied
		{"blocked", "confirm", "declined", "declined"},
		{"other-person", "confirm", "failed", "wrong_person"},
		{"wrong-nonce", "confirm", "failed", "answer_refused"},
		{"wrong-sub", "confirm", "failed", "wrong_person"},
		{"refuse", "identify", "declined", "declined"},
		{"expire", "identify", "declined", "declined"},
		{"minor", "identify", "failed", "signer_minor"},
	}
	for _, c := range cases {
		t.Run(c.person+" at "+c.step, func(t *testing.T) {
			t.Parallel()
			r := w.toStep(t, c.step)
			w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, w.until(t, r, "approve", c.step).Link, c.person)))
			now := w.ends(t, r, c.state)
			if now.Problem == nil || now.Problem.Code != c.code || now.Problem.Detail == "" || now.Problem.Hint == "" || now.Problem.Retryable {
				t.Errorf("%+v, want %s", now.Problem, c.code)
			}
			w.notSigned(t, r)
		})
	}
	// These two may answer again: the request stays.
	for person, code := range map[string]string{"call": "ongoing_call", "error": "confirmation_expired"} {
		t.Run(person, func(t *testing.T) {
			t.Parallel()
			r := w.toStep(t, "confirm")
			w.must(t, w.flow.Callback(t.Context(), w.atItsme(t, w.until(t, r, "approve", "confirm").Link, person)))
			var now request
			w.eventually(t, "the request says why it waits", func() bool {
				now = w.get(t, r.ID)
				return now.Notice != nil
			})
			if now.State != "prepared" || now.Notice.Code != code || !now.Notice.Retryable || now.Notice.Hint == "" {
				t.Errorf("%s %+v, want %s", now.State, now.Notice, code)
			}
			w.notSigned(t, r)
		})
	}
}

// toStep makes a request that will come to step: only who is known confirms without enrolling.
func (w *world) toStep(t *testing.T, step string) sandboxtest.Request {
	reference := ""
	if step == "confirm" {
		reference = "answers"
	}
	return w.order(t, reference, w.sample(t, "fpdf2.pdf"))
}
