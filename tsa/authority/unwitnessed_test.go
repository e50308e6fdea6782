package authority_test

import (
	"context"
	"testing"
	"time"

	"tekend/tsa"
	"tekend/tsa/authority"
	"tekend/witness/witnesstest"
)

// TestNothingIsStampedUnwitnessed is reliability F42 for the tsa.
func TestNothingIsStampedUnwitnessed(t *testing.T) {
	w := start(t, softKey(t))
	section, station := witnesstest.Start(t, "test/audit/tsa")
	w.close()
	role, err := authority.New(context.Background(), authority.Config{Now: w.clock.now, DB: w.path, Audit: section}, w.dep)
	check(t, err)
	w.serve(t, role)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.role.RunAudit(ctx) }()
	defer func() { stop(); <-done }()
	station.Away.Store(true)
	_, err = w.stamp()
	check(t, err)
	w.clock.add(16 * time.Minute)
	rows := w.rows(t)
	if _, err := w.stamp(); failure(err) != tsa.SystemFailure {
		t.Errorf("%v", err)
	}
	if h := w.role.Health(t.Context()); h.Ready || len(h.Reasons) != 1 || w.rows(t) != rows {
		t.Errorf("health %+v, %d rows more", h, w.rows(t)-rows)
	}
	station.Away.Store(false)
	for range 100 {
		if w.role.Health(t.Context()).Ready {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_, err = w.stamp()
	check(t, err)
}
