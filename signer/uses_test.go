package signer_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"tekend/sam/activation"
	"tekend/signer"
)

// TestOnlyTheBrowserThatConfirmedSeesTheUses: not the link, not the code of
// another request of the same person, not before the confirmation is accepted.
func TestOnlyTheBrowserThatConfirmedSeesTheUses(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	p := w.walk(token, "approve", signer.StepConfirm)
	a := w.atItsme(p.Link, "approve")
	mine := signer.ViewerOf(a.code)
	if _, err := w.front.Uses(t.Context(), token, mine, 0); codeOf(err) != "signer_unproven" {
		t.Errorf("before the callback: %v", err)
	}
	w.callback(a)
	w.wait(r.ID, signer.Finished)
	other, second := w.order("cust-1", sample(t, "libreoffice-writer.pdf"))
	q := w.walk(second, "approve", signer.StepConfirm)
	b := w.atItsme(q.Link, "approve")
	w.callback(b)
	w.wait(other.ID, signer.Finished)
	for name, viewer := range map[string]string{"none": "", "a guess": "x", "the token": token, "the code": a.code, "of another request": signer.ViewerOf(b.code)} {
		if _, err := w.front.Uses(t.Context(), token, viewer, 0); codeOf(err) != "signer_unproven" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.front.UseProof(t.Context(), token, viewer, 1); codeOf(err) != "signer_unproven" {
			t.Errorf("%s: %v", name, err)
		}
	}
	u, err := w.front.Uses(t.Context(), token, mine, 0)
	w.must(err)
	used := 0
	for _, one := range u.Uses {
		if one.Kind == "key.used" {
			used++
		}
	}
	if used != 3 { // of all requests, not of this one alone
		t.Errorf("%d uses", used)
	}
	if _, err := w.front.UseProof(t.Context(), token, mine, 1); codeOf(err) != "use_unknown" {
		t.Errorf("a row about no key: %v", err)
	}
	if _, err := w.front.UseProof(t.Context(), token, mine, u.Uses[0].Seq); codeOf(err) != "evidence_not_ready" {
		t.Errorf("the sam of this test has no log: %v", err)
	}
	// Somebody with the link who answers with a code of his own gets nothing.
	_, third := w.order("cust-1", sample(t, "pdftex-1.4-classic.pdf"))
	c := w.walk(third, "approve", signer.StepConfirm)
	w.callback(answer{state: w.atItsme(c.Link, "approve").state, code: "junk"})
	if _, err := w.front.Uses(t.Context(), third, signer.ViewerOf("junk"), 0); codeOf(err) != "signer_unproven" {
		t.Errorf("a junk code: %v", err)
	}
	rec, err := w.front.store.Load(t.Context(), signer.Lookup{Token: token})
	w.must(err)
	if b, err := json.Marshal(rec.Progress); err != nil || bytes.Contains(b, []byte(mine)) || bytes.Contains(b, []byte(a.code)) {
		t.Errorf("the front keeps more than a hash: %v", err)
	}
}

// TestWhoIsAskedTooOftenIsLeftAlone: a third question in the hour is not made;
// the page says so, and a new question is refused with the time when.
func TestWhoIsAskedTooOftenIsLeftAlone(t *testing.T) {
	w := enrolled(t) // one question
	w.samCfg.Limits = activation.Limits{Open: 100, PerHour: 2}
	w.restartSAM()
	_, first := w.order("cust-1", sample(t, "fpdf2.pdf"))
	w.walk(first, "approve", signer.StepConfirm)
	_, second := w.order("cust-1", sample(t, "libreoffice-writer.pdf"))
	p := w.walkTo(second)
	if p.Notice == nil || p.Notice.Code != "too_many_questions" || p.Notice.After < 60 || !p.Notice.Retryable || p.Request.State != signer.Prepared {
		t.Fatalf("%s %+v", p.Step, p.Notice)
	}
	w.ahead.Add(int64(11 * time.Second))
	if err := w.front.Again(t.Context(), first); codeOf(err) != "too_many_questions" {
		t.Errorf("again: %v", err)
	}
}

// TestAQuestionThatIsNotMadeTakesNothingAway: a file's attributes are too old for a new question, the new one is not made, and the
// answer to the old one, which still lives, counts.
func TestAQuestionThatIsNotMadeTakesNothingAway(t *testing.T) {
	w := enrolled(t) // one question
	w.samCfg.Limits = activation.Limits{Open: 100, PerHour: 2}
	w.restartSAM()
	r, token := w.ordered(signer.Order{Reference: "cust-1", Format: signer.CAdES}, upload([]byte("a file")))
	first := w.walk(token, "approve", signer.StepConfirm)
	w.sleep(first.ExpiresAt.Sub(w.now()) - 2*time.Minute)
	if p := w.walkTo(token); p.Notice == nil || p.Notice.Code != "too_many_questions" || p.Step != signer.StepConfirm || p.Link != first.Link {
		t.Fatalf("%s %+v", p.Step, p.Notice)
	}
	w.callback(w.atItsme(first.Link, "approve"))
	if r = w.wait(r.ID, signer.Finished); r.Documents[0].Level != "B-T" {
		t.Errorf("level %q", r.Documents[0].Level)
	}
}

// walkTo looks at a page until it says why it waits.
func (w *world) walkTo(token string) *signer.Page {
	w.t.Helper()
	p := w.page(token)
	for range 100 {
		if p.Notice != nil {
			return p
		}
		p = w.page(token)
	}
	return p
}
