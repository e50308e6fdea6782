package fence

import (
	"context"
	"errors"
	"time"

	"tekend/audit"
	"tekend/db"
)

// Sentences of an audit log that stops acts.
const (
	contradicts = "the audit record contradicts its own checkpoints or its witnesses'; its operators must look at it"
	notHeard    = "the audit record has not been witnessed for too long"
)

// OpenLog opens the tree and the checkpoints over a role's record, under the
// name that the gate gives. Without the section `audit:` (a role used as a
// library) there are none.
func OpenLog(ctx context.Context, g *Gate, d *db.DB, c audit.LogConfig) (*audit.Log, error) {
	if c.KeyFile == "" {
		return nil, nil
	}
	c.Under, c.Signed = g.Origin(c.Origin), g.Checkpoint
	return audit.OpenLog(ctx, d, c)
}

// RunLog signs checkpoints and has them witnessed until ctx ends, and a last one
// then. While the gate is closed nothing is signed.
func RunLog(ctx context.Context, g *Gate, l *audit.Log) {
	if g.Wait(ctx) == nil {
		l.Run(ctx)
	}
}

// Witnessed closes the gate, as it were, while the log of the role's record may
// not grow (reliability F42): nil, or a *Closed that says why. l may be nil.
func Witnessed(l *audit.Log, now time.Time) error {
	switch err := l.Ready(now); {
	case err == nil:
		return nil
	case errors.Is(err, audit.ErrInconsistent):
		return &Closed{CodeLocked, []string{contradicts}}
	default:
		return &Closed{CodeUnwitnessed, []string{notHeard}}
	}
}
