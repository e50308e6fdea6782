package authority

import (
	"context"
	"errors"

	"tekend/audit"
	"tekend/db"
	"tekend/fence"
)

// Unlock opens the role's lock when two operators have approved it. The role
// must not run. It gives the lock's text.
func Unlock(ctx context.Context, source string, set fence.Setup, ask fence.Decision) (string, error) {
	d, err := db.Open(ctx, source, migrations)
	if err != nil {
		return "", err
	}
	if err := audit.Ensure(ctx, d); err != nil {
		return "", errors.Join(err, d.Close())
	}
	text, err := fence.Unlock(ctx, set, d, ask)
	return text, errors.Join(err, d.Close())
}
