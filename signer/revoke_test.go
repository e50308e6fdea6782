package signer_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/sam"
	"tekend/signer"
)

// revocation is what the page of a revocation shows.
func (w *world) revocation(token string) *signer.RevocationPage {
	w.t.Helper()
	p, err := w.front.RevocationPage(w.t.Context(), token)
	w.must(err)
	return p
}

// revoked waits for a step of a revocation.
func (w *world) revoked(token, want string) *signer.RevocationPage {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	p := w.revocation(token)
	for p.Step != want && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
		p = w.revocation(token)
	}
	if p.Step != want {
		w.t.Fatalf("the revocation stands at %s (%v, %v), not at %s", p.Step, p.Failure, p.Notice, want)
	}
	return p
}

// ask begins with the revocation of everything.
func (w *world) ask(reason string) (token string) {
	w.t.Helper()
	token, err := w.front.Revoke(w.t.Context(), "en", reason)
	w.must(err)
	return token
}

func (w *world) reply(a answer) (token string, err error) {
	w.t.Helper()
	if _, err := w.front.Callback(w.t.Context(), a.state, a.code, a.err); codeOf(err) != "callback_unknown" {
		w.t.Errorf("the state of a revocation is one of a request: %v", err)
	}
	return w.front.RevocationReply(w.t.Context(), a.state, a.code, a.err)
}

// credential is the one that a request was signed with.
func (w *world) credential(token string) string {
	w.t.Helper()
	rec, err := w.front.store.Load(w.t.Context(), signer.Lookup{Token: token})
	w.must(err)
	return rec.Progress.Credential
}

func TestAPersonRevokesEverythingWithoutALink(t *testing.T) {
	w := newWorld(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	old := w.credential(token)
	page := w.ask("keyCompromise")
	p := w.revocation(page)
	if p.Step != signer.StepConfirm || !p.All || !strings.Contains(p.Text, "Revoke all my certificates") || p.Link == "" {
		t.Fatalf("%+v", p)
	}
	back, err := w.reply(w.atItsme(p.Link, "approve"))
	if err != nil || back != page {
		t.Fatalf("%q %v", back, err)
	}
	if p = w.revoked(page, signer.StepPublished); p.Count != 1 || p.At.IsZero() || p.Link != "" {
		t.Errorf("%+v", p)
	}
	c, err := sam.NewClient(w.sam.socket, 10*time.Second).Credential(t.Context(), old)
	if err != nil || c.State != sam.CredentialRevoked && c.State != sam.CredentialDestroyed {
		t.Errorf("the credential is %q, %v", c.State, err)
	}
	// The next time he enrols anew.
	r, token = w.order("cust-1", sample(t, "fpdf2.pdf"))
	if p := w.walk(token, "approve", signer.StepTerms, signer.StepConfirm); p.Step != signer.StepTerms {
		t.Fatalf("after the revocation the page shows %s", p.Step)
	}
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	if now := w.credential(token); now == old || now == "" {
		t.Errorf("signed with %s", now)
	}
}

// TestWhatRevokesNothing: every way to the question that does not end with its owner's yes.
func TestWhatRevokesNothing(t *testing.T) {
	w := enrolled(t)
	for _, c := range []struct{ person, defect, step, code string }{
		{"refuse", "", signer.StepRefused, "declined"}, {"call", "", signer.StepFailed, "ongoing_call"},
		{"minor", "", signer.StepFailed, "credential_unknown"}, // who never had a certificate
		{"approve", "&sandbox_defect=wrong_nonce", signer.StepFailed, "answer_refused"},
		{"approve", "&sandbox_defect=unsigned", signer.StepFailed, "answer_refused"},
	} {
		page := w.ask("")
		if _, err := w.reply(w.atItsme(w.revocation(page).Link+c.defect, c.person)); err != nil {
			t.Fatalf("%s: %v", c.person, err)
		}
		if p := w.revocation(page); p.Step != c.step || p.Failure == nil || p.Failure.Code != c.code {
			t.Errorf("%s %s: %s %v", c.person, c.defect, p.Step, p.Failure)
		}
	}
	page := w.ask("superseded")
	a := w.atItsme(w.revocation(page).Link, "approve")
	w.sleep(16 * time.Minute)
	if p := w.revocation(page); p.Step != signer.StepExpired || p.Failure != nil {
		t.Errorf("too late: %s %v", p.Step, p.Failure)
	}
	if back, err := w.reply(a); codeOf(err) != "callback_expired" || back != page {
		t.Errorf("an answer too late: %q %v", back, err)
	}
	if _, err := w.front.RevocationReply(t.Context(), "no state of ours", "x", ""); codeOf(err) != "callback_unknown" {
		t.Errorf("%v", err)
	}
	if _, err := w.front.RevocationReply(t.Context(), a.state, "x", "y"); codeOf(err) != "callback_malformed" {
		t.Errorf("%v", err)
	}
	for _, c := range []struct{ lang, reason, code string }{{"fr", "", "language_not_supported"}, {"en", "privilegeWithdrawn", "reason_invalid"}} {
		if _, err := w.front.Revoke(t.Context(), c.lang, c.reason); codeOf(err) != c.code {
			t.Errorf("%v: %v", c, err)
		}
	}
	for _, token := range []string{"", "x", page[:42]} {
		if _, err := w.front.RevocationPage(t.Context(), token); codeOf(err) != "revocation_unknown" {
			t.Errorf("%q: %v", token, err)
		}
	}
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	w.walk(token, "approve", signer.StepConfirm) // the certificate is there as before
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
}

// TestASignerRevokesOneOfHisCertificates: in the browser that has his proof, and with an answer of his own alone.
func TestASignerRevokesOneOfHisCertificates(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	a := w.atItsme(w.walk(token, "approve", signer.StepConfirm).Link, "approve")
	w.callback(a)
	w.wait(r.ID, signer.Finished)
	viewer := signer.ViewerOf(a.code)
	all, err := w.front.Credentials(t.Context(), token, viewer)
	if err != nil || len(all) != 1 || all[0].State != sam.CredentialActive || !all[0].Revocable || all[0].Serial == "" || all[0].OneTime {
		t.Fatalf("%+v %v", all, err)
	}
	mine := all[0].ID
	if _, err := w.front.Credentials(t.Context(), token, "x"); codeOf(err) != "signer_unproven" {
		t.Errorf("a list for everybody: %v", err)
	}
	if _, err := w.front.RevokeOne(t.Context(), token, "x", mine); codeOf(err) != "signer_unproven" {
		t.Errorf("a question for everybody: %v", err)
	}
	if _, err := w.front.RevokeOne(t.Context(), token, viewer, "cred_of_somebody_else"); codeOf(err) != "credential_unknown" {
		t.Errorf("somebody else's: %v", err)
	}
	page, err := w.front.RevokeOne(t.Context(), token, viewer, mine)
	w.must(err)
	p := w.revocation(page)
	if p.All || !strings.Contains(p.Text, all[0].Serial) {
		t.Errorf("%+v", p)
	}
	if _, err := w.reply(w.atItsme(p.Link, "other-person")); err != nil {
		t.Fatal(err)
	}
	if p := w.revocation(page); p.Step != signer.StepFailed || p.Failure.Code != "wrong_person" {
		t.Errorf("another person revoked it: %s %v", p.Step, p.Failure)
	}
	page, err = w.front.RevokeOne(t.Context(), token, viewer, mine)
	w.must(err)
	if _, err := w.reply(w.atItsme(w.revocation(page).Link, "approve")); err != nil {
		t.Fatal(err)
	}
	w.revoked(page, signer.StepPublished)
	all, err = w.front.Credentials(t.Context(), token, viewer)
	if err != nil || len(all) != 1 || all[0].Revocable || all[0].State == sam.CredentialActive {
		t.Errorf("afterwards: %+v %v", all, err)
	}
	if _, err := w.front.RevokeOne(t.Context(), token, viewer, mine); codeOf(err) != "credential_unknown" {
		t.Errorf("twice: %v", err)
	}
}

// TestARequestSaysThatItsCertificateIsRevoked, when that happened while it waited for its signer.
func TestARequestSaysThatItsCertificateIsRevoked(t *testing.T) {
	w := enrolled(t)
	r, token := w.order("cust-1", sample(t, "fpdf2.pdf"))
	a := w.atItsme(w.walk(token, "approve", signer.StepConfirm).Link, "approve")
	page := w.ask("")
	if _, err := w.reply(w.atItsme(w.revocation(page).Link, "approve")); err != nil {
		t.Fatal(err)
	}
	w.callback(a)
	got := w.wait(r.ID, signer.Failed)
	if got.Failure.Code != "certificate_not_good" || got.Failure.Detail != "the person's certificate is revoked" {
		t.Errorf("%+v", got.Failure)
	}
	if u := w.uses(); len(u.signed) != 1 { // of the enrolment's request
		t.Errorf("signed: %v", u.signed)
	}
}

// TestAnAnswerIsCarriedToTheSAMUntilItHasIt: over an outage, a lost reply and a restart of the front; and it counts once.
func TestAnAnswerIsCarriedToTheSAMUntilItHasIt(t *testing.T) {
	w := enrolled(t)
	page := w.ask("")
	a := w.atItsme(w.revocation(page).Link, "approve")
	w.sam.mu.Lock()
	w.sam.down = true
	w.sam.mu.Unlock()
	if _, err := w.reply(a); err != nil {
		t.Fatal(err)
	}
	if p := w.revocation(page); p.Step != signer.StepWait || p.Notice == nil || p.Notice.Code != "sam_unavailable" {
		t.Errorf("while the sam is away: %s %v", p.Step, p.Notice)
	}
	if _, err := w.reply(a); codeOf(err) != "callback_used" {
		t.Errorf("the same answer again: %v", err)
	}
	w.restartFront()
	w.sam.mu.Lock()
	w.sam.down = false
	w.sam.mu.Unlock()
	if p := w.revoked(page, signer.StepPublished); p.Notice != nil {
		t.Errorf("%+v", p.Notice)
	}
	if _, err := w.reply(a); codeOf(err) != "callback_used" {
		t.Errorf("after it: %v", err)
	}
}

func TestOfManyRepliesOneIsTaken(t *testing.T) {
	w := enrolled(t)
	page := w.ask("")
	a := w.atItsme(w.revocation(page).Link, "approve")
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	for range 8 {
		wg.Go(func() {
			_, err := w.front.RevocationReply(t.Context(), a.state, a.code, a.err)
			mu.Lock()
			defer mu.Unlock()
			got[codeOf(err)]++
		})
	}
	wg.Wait()
	if got[""] != 1 || got["callback_used"] != 7 {
		t.Errorf("%v", got)
	}
	w.revoked(page, signer.StepPublished)
}

// TestQuestionsForRevocationsHaveALimit, of all people together, since each costs the sam a signature and nobody has proven anything.
func TestQuestionsForRevocationsHaveALimit(t *testing.T) {
	w := newWorld(t)
	taken := 0
	for range 130 {
		_, err := w.front.Revoke(t.Context(), "en", "")
		switch {
		case err == nil:
			taken++
		case codeOf(err) != "too_many_revocations":
			t.Fatal(err)
		}
	}
	if taken != 120 {
		t.Errorf("%d questions in a minute", taken)
	}
	w.sleep(61 * time.Second)
	w.ask("")
}
