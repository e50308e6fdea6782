package signer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tekend/wire"
)

func TestFileNamesBecomeHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"contract.pdf":           "contract.pdf",
		"../../etc/passwd":       "passwd",
		`C:\Users\an\lease.pdf`:  "lease.pdf",
		"":                       "document-3.pdf",
		"..":                     "document-3.pdf",
		"a\x00b\nc.pdf":          "abc.pdf",
		"gnp\u202ef.pdf":         "gnpf.pdf",
		"\xff\xfe.pdf":           "_.pdf",
		strings.Repeat("é", 200): strings.Repeat("é", 127),
	} {
		if got := cleanName(in, 3); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestEveryFileNameHasALabelThatTheAppCanShow(t *testing.T) {
	for in, want := range map[string]string{
		"Contract.pdf":        "Contract.pdf",
		"Účtenka č. 5.pdf":    "Úctenka c. 5.pdf",
		"契約.pdf":              "??.pdf",
		"<b>Sign</b> me.pdf":  "b me.pdf", // the slash makes a folder of what is before it
		"Σύμβαση & annex.pdf": "Symvasi annex.pdf",
	} {
		d, err := newDocument(in, 1)
		if err != nil || d.Label != want {
			t.Errorf("%q: %q %v", in, d.Label, err)
		}
	}
}

func TestEveryRefusalOfThePartnersHasAMeaning(t *testing.T) {
	unknown := &wire.Error{Status: 403, Code: "never_heard_of"}
	for _, c := range []struct {
		err  error
		want *Error
		wait bool
	}{
		{wire.ErrUnreachable, ErrSAM, true},
		{wire.ErrNoReply, ErrSAM, true},
		{&wire.Error{Status: 500, Code: "internal"}, ErrSAM, true},
		{&wire.Error{Status: 503, Code: "hsm_busy", Retryable: true}, ErrHSM, true},
		{&wire.Error{Status: 403, Code: "wrong_person"}, ErrWrongPerson, false},
		{&wire.Error{Status: 403, Code: "declined"}, ErrDeclined, false},
		{&wire.Error{Status: 403, Code: "signer_minor"}, ErrMinor, false},
		{&wire.Error{Status: 403, Code: "identity_mismatch"}, ErrMismatch, false},
		{&wire.Error{Status: 403, Code: "ongoing_call"}, ErrOnCall, true},
		{&wire.Error{Status: 409, Code: "burnt"}, ErrOutcome, false},
		{unknown, ErrRefused, false},
	} {
		got := samError(c.err)
		if !errors.Is(got, c.want) || got.Retryable != c.wait {
			t.Errorf("%v: %+v", c.err, got)
		}
	}
	if e := samError(&wire.Error{Status: 400, Code: "Name: J. Doe"}); strings.Contains(e.Detail, "Doe") {
		t.Errorf("a foreign text went through: %s", e.Detail)
	}
	if e := caError(wire.ErrUnreachable); !errors.Is(e, ErrCA) {
		t.Errorf("ca: %v", e)
	}
}

func TestTheOutsideErrorsAreDistinctAndComplete(t *testing.T) {
	for code, e := range samErrors {
		if e.Code == "" || e.Detail == "" {
			t.Errorf("%s: %+v", code, e)
		}
	}
	for code, e := range pdfErrors {
		if e.Code == "" || e.Detail == "" || e.Retryable {
			t.Errorf("%s: %+v", code, e)
		}
	}
}

func TestBackoffGrowsToAMinute(t *testing.T) {
	last := time.Duration(0)
	for n := 1; n < 100; n++ {
		d := backoff(n)
		if d < last || d > time.Minute || d <= 0 {
			t.Fatalf("attempt %d: %v after %v", n, d, last)
		}
		last = d
	}
	if backoff(1) != 250*time.Millisecond || last != time.Minute {
		t.Errorf("from %v to %v", backoff(1), last)
	}
}
