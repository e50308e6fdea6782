package signer

import "testing"

// TestEveryRefusedDocumentSaysWhatToDo: who sent it can only help himself with that.
func TestEveryRefusedDocumentSaysWhatToDo(t *testing.T) {
	for code, e := range pdfErrors {
		if e.Detail == "" || e.Hint == "" {
			t.Errorf("%s: %+v", code, e)
		}
	}
	for _, e := range []*Error{
		ErrUnknown, ErrDocumentAbsent, ErrNotFinished, ErrDocumentSize, ErrRequestSize, ErrBadReply, ErrStateUnknown, ErrStateUsed,
		ErrStateExpired, ErrDeclined, ErrExpired, ErrMinor, ErrWrongPerson, ErrMismatch, ErrBadToken, ErrOnCall, ErrAgain,
		ErrSAM, ErrCA, ErrTSA, ErrItsme, ErrHSM, ErrOutcome,
	} {
		if e.Hint == "" {
			t.Errorf("%s has no hint", e.Code)
		}
	}
}
