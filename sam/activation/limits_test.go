package activation_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
)

func limited(open, hour int) func(*activation.Config) {
	return func(c *activation.Config) { c.Limits = activation.Limits{Open: open, PerHour: hour} }
}

// tooMany asserts a refusal that says when to come again.
func (w *world) tooMany(err error, least, most time.Duration) {
	w.t.Helper()
	e, ok := errors.AsType[*wire.Error](err)
	if !ok || e.Code != sam.CodeTooManyQuestions || e.Status != http.StatusTooManyRequests || !e.Retryable {
		w.t.Fatalf("%v", err)
	}
	if after := time.Duration(e.After) * time.Second; after < least || after > most {
		w.t.Errorf("to be tried again after %v, want %v to %v", after, least, most)
	}
}

func (w *world) ask(c sam.Credential, text string) (sam.Prepared, error) {
	return w.front.Prepare(w.t.Context(), order(c, []sam.Document{document(w.t, c, "A.pdf", text)}))
}

// TestThreeQuestionsWait is reliability §2 no. 30: no more than three
// confirmations of one person wait, however many requests the front has.
func TestThreeQuestionsWait(t *testing.T) {
	w := newWorld(t, limited(0, 1000))
	cred, other := w.enrol("approve"), w.enrol("nl-document")
	var first sam.Prepared
	for i := range 3 {
		p := got(w.ask(cred, fmt.Sprint("text ", i)))(t)
		if i == 0 {
			first = p
		}
	}
	_, err := w.ask(cred, "text 3")
	w.tooMany(err, time.Minute, activation.MaxLife)
	got(w.ask(cred, "text 0"))(t) // the same documents anew: the same confirmation
	got(w.ask(other, "text 3"))(t)
	got(w.front.Authorize(t.Context(), first.Nonce, w.at(first.AuthorizationURL, "")))(t)
	_, err = w.ask(cred, "text 3") // the renewed one waits still
	w.tooMany(err, time.Minute, activation.MaxLife)
	w.advance(activation.MaxLife + time.Second)
	got(w.ask(cred, "text 3"))(t)
}

// TestTenQuestionsAnHour: answered or not.
func TestTenQuestionsAnHour(t *testing.T) {
	w := newWorld(t, limited(100, 0))
	cred := w.enrol("approve")
	for i := range 10 {
		p := got(w.ask(cred, fmt.Sprint("text ", i)))(t)
		if i%2 == 0 {
			got(w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
		}
		w.advance(time.Minute)
	}
	_, err := w.ask(cred, "text 10")
	w.tooMany(err, 49*time.Minute, 51*time.Minute)
	w.start() // a restart forgets nothing
	_, err = w.ask(cred, "text 10")
	w.tooMany(err, 49*time.Minute, 51*time.Minute)
	w.advance(51 * time.Minute)
	got(w.ask(cred, "text 10"))(t)
	got(w.ask(cred, "text 11"))(t)
}

// TestEnrolmentsOfOnePersonAreLimited: whoever identifies himself again and
// again is asked nothing further.
func TestEnrolmentsOfOnePersonAreLimited(t *testing.T) {
	w := newWorld(t, limited(3, 4))
	for range 4 {
		w.toConsent("approve")
	}
	st := w.apply()
	_, err := w.front.Identification(t.Context(), st.ID, w.at(st.AuthorizationURL, "approve"))
	if code(err) != sam.CodeTooManyQuestions {
		t.Fatal(err)
	}
	w.toConsent("nl-document")
	w.advance(61 * time.Minute)
	w.toConsent("approve")
}

// TestQuestionsOfNobodyAreLimited: enrolments, which cost a key each, and revocations of all of whoever answers are counted
// together, since there is nobody to count them by; what names its person goes on.
func TestQuestionsOfNobodyAreLimited(t *testing.T) {
	w := newWorld(t, func(c *activation.Config) { c.Limits = activation.Limits{Open: 9, PerHour: 99, PerMinute: 5} })
	cred := w.enrol("approve")
	w.apply()
	w.apply()
	for range 2 {
		got(w.front.Revoke(t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Language: "en"}))(t)
	}
	keys := w.count("key.generate")
	_, err := w.front.Revoke(t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Language: "en"})
	w.tooMany(err, time.Second, time.Minute)
	_, err = w.front.Enrol(t.Context(), sam.EnrolRequest{V: 1, Txn: txn(), Language: "nl", TermsVersion: terms, TermsSHA256: termsDigest()})
	w.tooMany(err, time.Second, time.Minute)
	if n := w.count("key.generate"); n != keys {
		t.Errorf("%d keys were made for a refused enrolment", n-keys)
	}
	got(w.ask(cred, "text"))(t)
	got(w.front.Revoke(t.Context(), sam.RevokeRequest{V: 1, Txn: txn(), Credential: cred.ID, Language: "en"}))(t)
	w.advance(61 * time.Second)
	w.apply()
}

// TestABurstIsOneLineAndANumber: 100 questions too many are one row of the
// audit, and then one with the number; 500 refusals about as many things that
// do not exist are few rows; none is lost, also when the process is
// killed: what was counted is told at the next start.
func TestABurstIsOneLineAndANumber(t *testing.T) {
	w := newWorld(t, limited(3, 1000))
	cred := w.enrol("approve")
	for i := range 3 {
		got(w.ask(cred, fmt.Sprint("text ", i)))(t)
	}
	r := order(cred, []sam.Document{document(t, cred, "A.pdf", "text 3")})
	for range 100 {
		_, err := w.front.Prepare(t.Context(), r)
		w.tooMany(err, time.Second, activation.MaxLife)
	}
	rows := func(kind string) (n int) {
		for _, r := range w.rows() {
			if r.kind == kind {
				n++
			}
		}
		return n
	}
	if n := rows("refusal.too_many_questions"); n != 1 || w.count("refusal.too_many_questions") != 100 {
		t.Errorf("%d rows about %d refusals", n, w.count("refusal.too_many_questions"))
	}
	for i := range 500 {
		_, err := w.front.Credential(t.Context(), fmt.Sprint("cred_", i))
		if code(err) != sam.CodeCredentialUnknown {
			t.Fatal(err)
		}
	}
	if n, all := rows("refusal.credential_unknown"), w.count("refusal.credential_unknown"); n > 61 || all != 500 {
		t.Errorf("%d rows about %d refusals", n, all)
	}
	if n := w.counted("refusal.too_many_questions"); n != 99 { // what a kill would leave
		t.Errorf("%d are counted durably", n)
	}
	w.halt()
	if n, all := rows("refusal.too_many_questions"), w.count("refusal.too_many_questions"); n != 2 || all != 100 || w.counted("refusal.too_many_questions") != 0 {
		t.Errorf("after the stop %d rows about %d refusals", n, all)
	}
	w.exec("INSERT INTO refusals (kind, call, subject, why, since, last, times) VALUES ('refusal.too_many_questions', 'prepare', 'x', 'y', 1, 2, 5)")
	w.start()
	if all := w.count("refusal.too_many_questions"); all != 105 || w.counted("refusal.too_many_questions") != 0 {
		t.Errorf("after a kill %d refusals", all)
	}
	if all := w.count("refusal.credential_unknown"); all != 500 {
		t.Errorf("after the stop %d refusals", all)
	}
	_, err := w.front.Credential(t.Context(), "cred_1")
	if code(err) != sam.CodeCredentialUnknown || w.count("refusal.credential_unknown") != 501 {
		t.Error("a new refusal has no row")
	}
	w.advance(2 * time.Minute)
	must(t, w.role.SettleRefusals(t.Context()))
	if w.counted("refusal.credential_unknown") != 0 {
		t.Error("a count was not told")
	}
}

// TestWhatComesInStaysOutOfTheAudit: an error about a message names members of
// it, so a caller could write anything into the audit, make rows without end, or
// a row too long to be written. The caller still hears which member it was.
func TestWhatComesInStaysOutOfTheAudit(t *testing.T) {
	w := newWorld(t)
	raw := wire.NewClient(w.socket, 10*time.Second)
	const n = 200
	for i := range n {
		name := fmt.Sprint("Alice-Peeters-", i, strings.Repeat("x", 100*i)) // up to 20 kB, more than a row may have
		body := fmt.Appendf(nil, `{%q:1}`, name)
		err := raw.Do(t.Context(), http.MethodPut, "/v1/preparations/"+wire.BodyHash(body), body, nil)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != sam.CodeBadRequest || !strings.Contains(e.Detail, name) {
			t.Fatal(err)
		}
	}
	rows := 0
	for _, r := range w.rows() {
		if strings.Contains(r.raw, "Peeters") {
			t.Fatalf("the audit repeats what came in: %.200s", r.raw)
		}
		if r.kind == "refusal."+sam.CodeBadRequest {
			rows++
		}
	}
	if all := w.count("refusal." + sam.CodeBadRequest); rows > 61 || all != n {
		t.Errorf("%d rows about %d of %d refusals", rows, all, n)
	}
}

// TestReasonsAreNoWayAroundTheQuota: equal refusals for many reasons share one
// count as those about many subjects do.
func TestReasonsAreNoWayAroundTheQuota(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	doc := document(t, cred, "A.pdf", "A")
	n := 0
	for at := range 40 { // document 0 to 39 is wrong, in three ways each
		for _, wrong := range []func(*sam.Document){
			func(d *sam.Document) { d.SignedAttrs = []byte("x") },
			func(d *sam.Document) { d.Label = "\x00" },
			func(d *sam.Document) { d.Digest = slices.Repeat([]byte{7}, len(d.Digest)) },
		} {
			docs := make([]sam.Document, at+1)
			for i := range docs {
				docs[i] = document(t, cred, "A.pdf", fmt.Sprint(i))
			}
			docs[at] = doc
			wrong(&docs[at])
			if _, err := w.front.Prepare(t.Context(), order(cred, docs)); code(err) != sam.CodeAttributesRefused {
				t.Fatal(err)
			}
			n++
		}
	}
	rows := 0
	for _, r := range w.rows() {
		if r.kind == "refusal."+sam.CodeAttributesRefused {
			rows++
		}
	}
	if all := w.count("refusal." + sam.CodeAttributesRefused); rows > 61 || all != n {
		t.Errorf("%d rows about %d of %d refusals", rows, all, n)
	}
}
