package authority

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tekend/audit"
)

// note writes a row about cause, and gives cause. Refusals are written under a
// quota: whoever may call us may call with nonsense as often as he likes.
func (r *Role) note(ctx context.Context, e audit.Event, cause error) error {
	ctx = context.WithoutCancel(ctx)
	e.At = r.cfg.Now()
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		if !strings.HasSuffix(e.Kind, "refused") {
			return audit.Append(ctx, tx, e)
		}
		return audit.Tally(ctx, tx, e, "", strings.TrimSuffix(e.Detail["code"]+": "+e.Detail["detail"], ": "))
	})
	if err != nil && !errors.Is(err, audit.ErrClockBack) {
		return errors.Join(cause, err)
	}
	return cause
}

// settleRefusals writes the rows about refusals that were counted for longer
// than age.
func (r *Role) settleRefusals(ctx context.Context, age time.Duration) error {
	now := r.cfg.Now()
	due, err := audit.TallyDue(ctx, r.db, now.Add(-age))
	if err != nil || !due {
		return err
	}
	if err := r.db.InTx(ctx, func(tx *sql.Tx) error { return audit.SettleTally(ctx, tx, now.Add(-age), now) }); err != nil {
		return fmt.Errorf("settle refusals: %w", err)
	}
	return nil
}
