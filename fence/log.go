package fence

import (
	"errors"
	"time"

	"tekend/audit"
)

// Sentences of an audit log that stops acts.
const (
	contradicts = "the audit record contradicts its own checkpoints or its witnesses'; its operators must look at it"
	notHeard    = "the audit record has not been witnessed for too long"
)

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
