package authority_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tekend/fence"
	"tekend/wire"
	"tekend/witness/witnesstest"
)

// TestNothingIsIssuedUnwitnessed is reliability F42 for the ca: no certificate
// while the record waits for its witness too long; CRLs go on.
func TestNothingIsIssuedUnwitnessed(t *testing.T) {
	w := newWorld(t)
	section, station := witnesstest.Start(t, "test/audit/ca")
	w.cfg.Audit = section
	w.start()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.role.RunAudit(ctx) }()
	defer func() { stop(); <-done }()
	got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
	station.Away.Store(true)
	got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
	w.advance(16 * time.Minute)
	used := w.signatures()
	_, err := w.front.Issue(t.Context(), w.enrolment().order())
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != fence.CodeUnwitnessed || !e.Retryable {
		t.Errorf("%v", err)
	}
	if n := w.signatures(); n != used {
		t.Errorf("the key was used %d times", n-used)
	}
	if h := w.role.Health(t.Context()); h.Ready || len(h.Reasons) != 1 {
		t.Errorf("health %+v", h)
	}
	got(w.role.CRL(t.Context()))(t)
	station.Away.Store(false)
	for range 100 {
		if w.role.Health(t.Context()).Ready {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	got(w.front.Issue(t.Context(), w.enrolment().order()))(t)
}
