package authority

import (
	"context"
	"errors"
	"net/http"

	"tekend/fence"
	"tekend/wire"
)

// Unlock opens the role's lock when two operators have approved it. The role
// must not run. It gives the lock's text.
func Unlock(ctx context.Context, source string, set fence.Setup, ask fence.Decision) (string, error) {
	return fence.UnlockIn(ctx, source, migrations, set, ask)
}

// shut makes the answer of a closed gate, nil when it is open. A locked ca says
// nothing about certificates either: its record may lack a revocation.
func (r *Role) shut() error { return told(r.gate.Check()) }

// mayIssue: the gate is open and the record is witnessed. CRLs and statuses do
// not wait for witnesses: they take trust away, and without them nobody could
// use what was issued.
func (r *Role) mayIssue() error {
	if err := r.shut(); err != nil {
		return err
	}
	return told(fence.Witnessed(r.log, r.cfg.Now()))
}

func told(err error) error {
	var c *fence.Closed
	if !errors.As(err, &c) {
		return err
	}
	return &wire.Error{Status: http.StatusServiceUnavailable, Code: c.Code, Detail: c.Reasons[0], Retryable: c.Code == fence.CodeUnwitnessed}
}
