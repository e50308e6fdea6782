package activation_test

import (
	"context"
	"testing"
	"time"

	"tekend/db"
	"tekend/sam"
)

// TestEvidenceIsKeptBeforeAnyKeyUse: when a person has confirmed, and nothing
// is signed yet, all that the bundle is made of is in the database
// (specs/itsme.md §9.4 step 11); the key sets once for all.
func TestEvidenceIsKeptBeforeAnyKeyUse(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	first, second := w.confirm(cred, 2), w.confirm(cred, 1)
	if n := w.count("key.intent"); n != 0 {
		t.Fatalf("%d uses", n)
	}
	counts := map[string]int{"evidence_asked": 2, "evidence_judged": 2, "evidence_sets": 2}
	for table, want := range counts {
		if n := w.inTable(table); n != want {
			t.Errorf("%s: %d rows, want %d", table, n, want)
		}
	}
	for _, c := range []confirmed{first, second} {
		if _, err := w.front.Evidence(t.Context(), c.Nonce); code(err) != sam.CodeNotSigned {
			t.Errorf("before signing: %v", err)
		}
	}
	// In part signed is not signed.
	got(w.front.Sign(t.Context(), first.Nonce, first.request(0)))(t)
	if _, err := w.front.Evidence(t.Context(), first.Nonce); code(err) != sam.CodeNotSigned {
		t.Errorf("signed in part: %v", err)
	}
	got(w.front.Sign(t.Context(), first.Nonce, first.request(1)))(t)
	// A world without a log has no checkpoint: without proofs there is no evidence.
	if _, err := w.front.Evidence(t.Context(), first.Nonce); code(err) != sam.CodeNotYet {
		t.Errorf("without checkpoint: %v", err)
	}
	unknown := w.prepare(cred, documents(t, cred, 1))
	for name, nonce := range map[string]string{"unknown": "nobody", "of an enrolment": "consent"} {
		if _, err := w.front.Evidence(t.Context(), nonce); code(err) != sam.CodeNotAuthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.front.Evidence(t.Context(), unknown.Nonce); code(err) != sam.CodeNotSigned {
		t.Errorf("not confirmed: %v", err)
	}
}

// TestEvidenceOfQuestionsNobodyConfirmedGoes: with its question, after a day.
func TestEvidenceOfQuestionsNobodyConfirmedGoes(t *testing.T) {
	w := newWorld(t)
	cred := w.enrol("approve")
	w.prepare(cred, documents(t, cred, 1))
	kept := w.confirm(cred, 2)
	w.advance(25 * time.Hour)
	w.apply() // forgets what is old
	if n := w.inTable("evidence_asked"); n != 1 {
		t.Errorf("%d rows of questions, want that of the confirmation", n)
	}
	if n := w.inTable("evidence_judged"); n != 1 {
		t.Errorf("%d rows of confirmations", n)
	}
	if st := got(w.front.Confirmation(t.Context(), kept.Nonce))(t); st.State != sam.StateAuthorized {
		t.Errorf("%+v", st)
	}
}

func (w *world) inTable(table string) (n int) {
	w.t.Helper()
	d := got(db.OpenReader(context.Background(), w.cfg.DB))(w.t)
	defer func() { _ = d.Close() }()
	must(w.t, d.QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n))
	return n
}
