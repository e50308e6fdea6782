package activation

import (
	"context"
	"errors"
	"net/http"

	"tekend/audit"
	"tekend/fence"
)

// openGate compares the role with what is known of it elsewhere, before the
// role has written anything. A locked role does not even settle what its last
// process left: that is another history.
func (r *Role) openGate(ctx context.Context, set *fence.Setup) (err error) {
	if err := audit.Ensure(ctx, r.db); err != nil {
		return err
	}
	r.gate, err = fence.Open(ctx, set, r.db)
	return err
}

// shut makes the answer of a closed gate. The lock has its one row; that people
// go on asking is no news for the audit.
func shut(err error) *refusal {
	var c *fence.Closed
	if !errors.As(err, &c) {
		return nil
	}
	return &refusal{Code: c.Code, Detail: c.Reasons[0], Status: http.StatusServiceUnavailable, Retryable: c.Code == fence.CodeUnwitnessed, recorded: true}
}

// Unlock opens the role's lock when two operators have approved it. The role
// must not run. It gives the lock's text.
func Unlock(ctx context.Context, source string, set fence.Setup, ask fence.Decision) (string, error) {
	return fence.UnlockIn(ctx, source, migrations, set, ask)
}
