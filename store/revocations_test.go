package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tekend/sam"
	"tekend/signer"
)

func revocation(n int) *signer.Revocation {
	at := time.Date(2026, 11, 25, 1, 0, 0, 0, time.UTC)
	return &signer.Revocation{
		ID: fmt.Sprint("rv_", n), Token: fmt.Sprint("token-", n), State: fmt.Sprint("state-", n), Language: "nl", Reason: "keyCompromise", Nonce: "n",
		URL: "https://idp.example/", Text: "Herroep", CreatedAt: at, ExpiresAt: at.Add(5 * time.Minute),
	}
}

func TestARevocationComesBackAsItWasStored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	r := revocation(1)
	if err := s.InsertRevocation(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, twin := range []func(*signer.Revocation){
		func(r *signer.Revocation) { r.ID = "rv_1" }, func(r *signer.Revocation) { r.Token = "token-1" }, func(r *signer.Revocation) { r.State = "state-1" },
	} {
		other := revocation(2)
		twin(other)
		if err := s.InsertRevocation(t.Context(), other); err == nil {
			t.Errorf("%s %s %s: stored twice", other.ID, other.Token, other.State)
		}
	}
	if ids, err := s.AnsweredRevocations(t.Context(), 10); err != nil || len(ids) != 0 {
		t.Errorf("%v %v", ids, err)
	}
	r.Answer, r.Used, r.Notice = &sam.Answer{Code: "c"}, true, signer.ErrSAM
	if err := s.AdvanceRevocation(t.Context(), r); err != nil || r.Version != 1 {
		t.Fatalf("version %d, %v", r.Version, err)
	}
	old := revocation(1)
	if err := s.AdvanceRevocation(t.Context(), old); !errors.Is(err, signer.ErrConflict) {
		t.Errorf("a write over a newer version: %v", err)
	}
	_ = s.Close()
	s = open(t, dir)
	want := *r
	want.State = "" // its hash is kept
	for _, l := range []signer.RevocationLookup{{ID: "rv_1"}, {Token: "token-1"}, {State: "state-1"}} {
		got, err := s.LoadRevocation(t.Context(), l)
		if err != nil {
			t.Fatalf("%v: %v", l, err)
		}
		if d := cmp.Diff(&want, got, cmp.Comparer(func(a, b *signer.Error) bool { return a == b || a != nil && b != nil && a.Code == b.Code })); d != "" {
			t.Errorf("%v:\n%s", l, d)
		}
	}
	for _, l := range []signer.RevocationLookup{{ID: "rv_2"}, {Token: "token-2"}, {State: "state-2"}, {Token: "state-1"}, {}} {
		if _, err := s.LoadRevocation(t.Context(), l); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("%v: %v", l, err)
		}
	}
	if ids, err := s.AnsweredRevocations(t.Context(), 10); err != nil || len(ids) != 1 || ids[0] != "rv_1" {
		t.Errorf("%v %v", ids, err)
	}
}

// TestOldRevocationsAreForgotten, but never an answer that the sam has not taken.
func TestOldRevocationsAreForgotten(t *testing.T) {
	s := open(t, t.TempDir())
	for n := range 4 {
		r := revocation(n)
		if n == 3 {
			r.ExpiresAt = r.ExpiresAt.Add(time.Hour)
		}
		if err := s.InsertRevocation(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		switch n {
		case 1: // was answered, and taken
			r.Used = true
		case 2: // was answered
			r.Used, r.Answer = true, &sam.Answer{Code: "c"}
		}
		if err := s.AdvanceRevocation(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want ...bool) {
		t.Helper()
		for n, there := range want {
			if _, err := s.LoadRevocation(t.Context(), signer.RevocationLookup{ID: fmt.Sprint("rv_", n)}); (err == nil) != there {
				t.Errorf("%d: %v, want %v", n, err, there)
			}
		}
	}
	end := revocation(0).ExpiresAt
	for _, c := range []struct {
		unanswered, all time.Time
		left            []bool
	}{
		{end, end.Add(-time.Hour), []bool{true, true, true, true}},
		{end.Add(time.Second), end, []bool{false, true, true, true}},
		{end.Add(time.Second), end.Add(time.Second), []bool{false, false, true, true}},
	} {
		if err := s.DropRevocations(t.Context(), c.unanswered, c.all); err != nil {
			t.Fatal(err)
		}
		left(c.left...)
	}
}
