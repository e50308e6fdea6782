package activation_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"tekend/sam"
	"tekend/sam/activation"
	"tekend/wire"
	"tekend/witness/witnesstest"
)

// TestNothingIsSignedUnwitnessed is reliability F42: the witness is away, the
// record goes on for 15 minutes, then every act is refused, and comes back by
// itself. Refusals are no new rows that would wait as well.
func TestNothingIsSignedUnwitnessed(t *testing.T) {
	section, station := witnesstest.Start(t, "test/audit/sam")
	w := newWorld(t, func(c *activation.Config) { c.Audit = section })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.role.RunAudit(ctx) }()
	defer func() { stop(); <-done }()

	cred := w.enrol("approve")
	station.Away.Store(true)
	p := w.prepare(cred, documents(t, cred, 1))
	w.advance(8 * time.Minute) // the record goes on
	got(w.front.Authorize(t.Context(), p.Nonce, w.at(p.AuthorizationURL, "")))(t)
	w.advance(8 * time.Minute)
	rows := len(w.rows())
	for what, err := range map[string]error{
		"prepare": errorOf(w.front.Prepare(t.Context(), order(cred, documents(t, cred, 2)))),
		"sign":    errorOf(w.front.Sign(t.Context(), p.Nonce, sam.SignRequest{Session: "any", Positions: []int{0}})),
	} {
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != sam.CodeUnwitnessed || !e.Retryable || e.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now := len(w.rows()); now != rows {
		t.Errorf("%d rows of refusals", now-rows)
	}
	if h := got(w.front.Health(t.Context()))(t); h.Ready || len(h.Reasons) != 1 {
		t.Errorf("health %+v", h)
	}
	station.Away.Store(false)
	for range 100 {
		if got(w.front.Health(t.Context()))(t).Ready {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	got(w.front.Prepare(t.Context(), order(cred, documents(t, cred, 2))))(t)
	held, err := section.Witnesses[0].Held(t.Context(), section.Origin, station.Log)
	if err != nil || held == nil || held.Size < int64(rows) {
		t.Errorf("the witness holds %+v %v", held, err)
	}
}

func errorOf[T any](_ T, err error) error { return err }
