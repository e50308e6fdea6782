package signer_test

import (
	"bytes"
	"crypto/x509"
	"io"
	"strings"
	"testing"
	"time"

	"tekend/certs"
	"tekend/sam"
	"tekend/signer"
	"tekend/validate"
)

// once is the client of the worlds whose people get one-time credentials.
const once = "once"

// orderOnce is an order of that client.
func (w *world) orderOnce(ref string, pdf []byte) (*signer.Request, string) {
	w.t.Helper()
	r, err := w.front.Create(w.t.Context(), once, signer.Order{Reference: ref}, upload(pdf))
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	return r, token
}

// waitOnce waits for a state of a request of that client.
func (w *world) waitOnce(id string, want signer.State) *signer.Request {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		r, err := w.front.Wait(w.t.Context(), once, id, "", time.Second)
		w.must(err)
		if r.State == want {
			return r
		}
		if r.State.End() || time.Now().After(end) {
			w.t.Fatalf("state %s (%v, %v), want %s", r.State, r.Failure, r.Notice, want)
		}
	}
}

// productOnce is the signed document of a finished request of that client.
func (w *world) productOnce(id string) []byte {
	w.t.Helper()
	c, err := w.front.Document(w.t.Context(), once, id, 1)
	w.must(err)
	b, err := io.ReadAll(c)
	w.must(err)
	w.must(c.Close())
	return b
}

func (w *world) credentialOf(id string) sam.Credential {
	w.t.Helper()
	rec, err := w.front.store.Load(w.t.Context(), signer.Lookup{ID: id})
	w.must(err)
	c, err := sam.NewClient(w.sam.socket, 10*time.Second).Credential(w.t.Context(), rec.Progress.Credential)
	w.must(err)
	return c
}

// One flow on one page: terms, identification, application, confirmation, and the document is there. The key is gone
// then, the client's name of the person stands for nothing, and the document validates, also when the certificate has
// long ended.
func TestAOneTimeClientEnrolsAndSignsInOneFlow(t *testing.T) {
	w := newWorld(t)
	file := sample(t, "pdftex-1.5-xref-stream.pdf")
	r, token := w.orderOnce("cust-1", file)
	var steps []string
	for _, step := range []string{signer.StepTerms, signer.StepIdentify, signer.StepConsent, signer.StepConfirm, signer.StepDone} {
		steps = append(steps, w.walk(token, "approve", step, signer.StepDone).Step)
	}
	if got := strings.Join(steps, " "); got != "accept_terms identify consent confirm done" {
		t.Errorf("the person saw %s", got)
	}
	w.waitOnce(r.ID, signer.Finished)
	cred := w.credentialOf(r.ID)
	leaf, err := x509.ParseCertificate(cred.Chain[0])
	w.must(err)
	if !certs.IsOneTime(leaf) || cred.State != sam.CredentialDestroyed || leaf.NotAfter.Sub(leaf.NotBefore) > 24*time.Hour {
		t.Errorf("%s, valid for %v", cred.State, leaf.NotAfter.Sub(leaf.NotBefore))
	}
	if id, err := w.front.store.CredentialOf(t.Context(), once, "cust-1"); err != nil || id != "" {
		t.Errorf("the reference stands for %q %v", id, err)
	}
	signed := w.productOnce(r.ID)
	for _, later := range []time.Duration{0, 25 * time.Hour, 365 * 24 * time.Hour} {
		rep, err := validate.PDF(t.Context(), bytes.NewReader(signed), int64(len(signed)), validate.Options{Roots: w.roots, At: w.now().Add(later), NoRevocation: true})
		w.must(err)
		if s := rep.Signatures[0]; s.Indication != validate.TotalPassed || s.Level != "B-T" {
			t.Errorf("%v later: %v %s %v", later, s.Indication, s.Level, s.Reasons)
		}
	}
	// The next request of the same person begins anew.
	second, token := w.orderOnce("cust-1", onePage(""))
	if p := w.walk(token, "approve", signer.StepTerms, signer.StepConfirm); p.Step != signer.StepTerms {
		t.Errorf("the second request began at %s", p.Step)
	}
	w.walk(token, "approve", signer.StepDone)
	w.waitOnce(second.ID, signer.Finished)
	if w.credentialOf(second.ID).ID == cred.ID {
		t.Error("one credential signed two requests")
	}
}

// A signature without a time-stamp of the certificate's day proves nothing, so it is not even ordered.
func TestOneTimeNeedsATimeStamp(t *testing.T) {
	w := newWorld(t)
	if _, err := w.front.Create(t.Context(), once, signer.Order{Level: "B-B"}, upload(onePage(""))); codeOf(err) != "level_not_supported" {
		t.Errorf("%v", err)
	}
}

// Without a time-stamp the key is not used: the request waits for the authority, and goes on with it.
func TestTheOneTimeKeyWaitsForTheTimeStampingAuthority(t *testing.T) {
	w := newWorld(t)
	r, token := w.orderOnce("", onePage(""))
	w.walk(token, "approve", signer.StepConfirm)
	w.tsa.takeDown()
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	w.callback(w.atItsme(p.Link, "approve"))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got, err := w.front.Get(t.Context(), once, r.ID)
		w.must(err)
		if got.Notice != nil && got.Notice.Code == "tsa_unavailable" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%s %v", got.State, got.Notice)
		}
	}
	if n := len(w.uses().signed); n != 0 {
		t.Errorf("the key was used %d times without a time-stamp", n)
	}
	w.tsa.heal()
	w.waitOnce(r.ID, signer.Finished)
	if n := len(w.uses().signed); n != 1 {
		t.Errorf("%d uses", n)
	}
}

// The authority stays away until the session is over: nothing was signed, and the request says so.
func TestTheOneTimeSessionEndsWithoutATimeStamp(t *testing.T) {
	w := newWorld(t)
	r, token := w.orderOnce("", onePage(""))
	w.walk(token, "approve", signer.StepConfirm)
	w.tsa.takeDown()
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	w.callback(w.atItsme(p.Link, "approve"))
	w.sleep(11 * time.Minute)
	if got := w.waitOnce(r.ID, signer.Failed); got.Failure == nil || got.Failure.Code != "session_expired" {
		t.Errorf("%v", got.Failure)
	}
	if n := len(w.uses().signed); n != 0 {
		t.Errorf("%d uses", n)
	}
}

// The key was used, and the signature gets no time-stamp while the certificate is valid: the document is not released,
// and the problem says why.
func TestNoTimeStampBeforeTheCertificateEnds(t *testing.T) {
	w := newWorld(t)
	r, token := w.orderOnce("", onePage(""))
	w.walk(token, "approve", signer.StepConfirm)
	second := w.tsa.breakCall("POST", 2, requestLost) // the first one is before the key use
	second.at = w.tsa.takeDown
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	w.callback(w.atItsme(p.Link, "approve"))
	w.tsa.await(t, second)
	if n := len(w.uses().signed); n != 1 {
		t.Fatalf("%d uses", n)
	}
	w.sleep(25 * time.Hour)
	w.tsa.heal() // now there would be one, and it is worth nothing
	got := w.waitOnce(r.ID, signer.Failed)
	if got.Failure == nil || got.Failure.Code != "time_stamp_late" || !strings.Contains(got.Failure.Detail, "before the certificate ended") {
		t.Errorf("%v", got.Failure)
	}
	if n := len(w.uses().signed); n != 1 {
		t.Errorf("%d uses", n)
	}
}

// Half an hour after the identification it is over, whatever the page shows.
func TestTheOneTimePageEndsWithItsSession(t *testing.T) {
	w := newWorld(t)
	r, token := w.orderOnce("", onePage(""))
	w.walk(token, "approve", signer.StepConfirm)
	w.sleep(29 * time.Minute)
	if p := w.walk(token, "approve", signer.StepConfirm, signer.StepFailed); p.Step != signer.StepConfirm || p.ExpiresAt.After(w.credentialOf(r.ID).SessionEnds) {
		t.Errorf("after 29 minutes: %s until %v (%v)", p.Step, p.ExpiresAt, p.Failure)
	}
	w.sleep(2 * time.Minute)
	p, err := w.front.Page(t.Context(), token)
	w.must(err)
	if p.Step != signer.StepFailed || p.Failure == nil || p.Failure.Code != "session_expired" {
		t.Errorf("%s %v", p.Step, p.Failure)
	}
}

// Who lost the question asks for it again: the same documents, so the same credential.
func TestTheOneTimeQuestionCanBeAskedAgain(t *testing.T) {
	w := newWorld(t)
	r, token := w.orderOnce("", onePage(""))
	first := w.walk(token, "approve", signer.StepConfirm)
	w.must(w.front.Again(t.Context(), token))
	if p := w.walk(token, "approve", signer.StepConfirm); p.Link == first.Link {
		t.Error("the same question")
	}
	w.walk(token, "approve", signer.StepDone)
	w.waitOnce(r.ID, signer.Finished)
}

// A known person whose certificate ends within 60 days enrols anew at the next order, and the client's name stands for
// the new credential when there is one, not before.
func TestTheNextOrderRenews(t *testing.T) {
	w := newWorld(t)
	r, token := w.order("cust-1", onePage(""))
	w.walk(token, "approve", signer.StepDone)
	w.wait(r.ID, signer.Finished)
	old := w.credentialOf(r.ID)
	leaf, err := x509.ParseCertificate(old.Chain[0])
	w.must(err)
	w.sleep(leaf.NotAfter.Add(-59 * 24 * time.Hour).Sub(w.now()))
	r, token = w.order("cust-1", onePage("%2\n"))
	if p := w.walk(token, "approve", signer.StepTerms, signer.StepConfirm); p.Step != signer.StepTerms || p.Notice != nil {
		t.Fatalf("%s %v", p.Step, p.Notice)
	}
	if id, err := w.front.store.CredentialOf(t.Context(), "acme", "cust-1"); err != nil || id != old.ID {
		t.Errorf("%q %v", id, err)
	}
	w.walk(token, "approve", signer.StepConfirm) // the time-stamping unit's own key has ended by then
	young := w.credentialOf(r.ID)
	if id, err := w.front.store.CredentialOf(t.Context(), "acme", "cust-1"); err != nil || id != young.ID || id == old.ID {
		t.Errorf("%q %v", id, err)
	}
	_, token = w.order("cust-1", onePage("%3\n"))
	if p := w.walk(token, "approve", signer.StepTerms, signer.StepConfirm); p.Step != signer.StepConfirm {
		t.Errorf("the third order is at %s", p.Step)
	}
}

// TestAOneTimeCertificateReachesEveryLevel: nobody publishes whether it is good, so nobody is asked.
func TestAOneTimeCertificateReachesEveryLevel(t *testing.T) {
	w := newWorld(t)
	for _, level := range []string{"B-T", "B-LT", "B-LTA"} {
		r, err := w.front.Create(t.Context(), once, signer.Order{Level: level}, upload(onePage("% once "+level+"\n")))
		w.must(err)
		_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
		w.walk(token, "approve", signer.StepDone, signer.StepFailed)
		if r = w.waitOnce(r.ID, signer.Finished); r.Documents[0].Level != level {
			t.Errorf("ordered %s, reached %q", level, r.Documents[0].Level)
		}
	}
}

// TestTheOneTimeQuestionAboutAFileCanBeAskedAgain: the signing-time of a CAdES signature is made anew for an old question, and
// the documents are the same all the same.
func TestTheOneTimeQuestionAboutAFileCanBeAskedAgain(t *testing.T) {
	w := newWorld(t)
	r, err := w.front.Create(t.Context(), once, signer.Order{Format: signer.CAdES}, upload([]byte("a file")))
	w.must(err)
	_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
	w.walk(token, "approve", signer.StepConfirm)
	w.sleep(6 * time.Minute)
	w.must(w.front.Again(t.Context(), token))
	w.walk(token, "approve", signer.StepDone, signer.StepFailed)
	w.waitOnce(r.ID, signer.Finished)
	if n := len(w.uses().signed); n != 1 {
		t.Errorf("%d uses", n)
	}
}

// TestACertificateThatEndsWhileAPartnerIsAway: the signature has its time-stamp of the certificate's day, so that what proves the rest
// may come later.
func TestACertificateThatEndsWhileAPartnerIsAway(t *testing.T) {
	w := newWorld(t)
	for _, level := range []string{"B-LT", "B-LTA"} {
		w.restartFront() // it knows no status any more
		w.net.set("ocsp", true)
		w.net.set("crl", true)
		r, err := w.front.Create(t.Context(), once, signer.Order{Level: level}, upload(onePage("% away "+level+"\n")))
		w.must(err)
		_, token, _ := strings.Cut(w.front.SigningURL(r), "/sign/")
		p := w.walk(token, "approve", signer.StepConfirm)
		w.callback(w.atItsme(p.Link, "approve"))
		for r = w.waitOnce(r.ID, signer.Signed); r.Notice == nil; time.Sleep(10 * time.Millisecond) {
			r = w.waitOnce(r.ID, signer.Signed) // it has its time-stamp when it waits
		}
		w.sleep(25 * time.Hour)
		time.Sleep(100 * time.Millisecond) // the worker looks
		w.net.set("ocsp", false)
		w.net.set("crl", false)
		w.sleep(2 * time.Minute)
		if r = w.waitOnce(r.ID, signer.Finished); r.Documents[0].Level != level {
			t.Errorf("ordered %s, reached %q", level, r.Documents[0].Level)
		}
	}
}
