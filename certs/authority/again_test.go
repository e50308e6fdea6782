package authority_test

import (
	"testing"
	"time"
)

// Asking again for a stored certificate has no new CRL signed: whoever owns the
// front could otherwise fill the record with the CA key's signatures.
func TestAskingAgainSignsNoCRL(t *testing.T) {
	w := newWorld(t)
	order := w.enrolment().order()
	got(w.front.Issue(t.Context(), order))(t)
	w.advance(10 * time.Second)
	w.crl()
	before := w.signatures()
	for range 5 {
		w.advance(10 * time.Second)
		got(w.front.Issue(t.Context(), order))(t)
		got(w.front.Outcome(t.Context(), order))(t)
		w.crl()
	}
	if n := w.signatures(); n != before {
		t.Errorf("%d signatures by asking again", n-before)
	}
}
