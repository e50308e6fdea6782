package activation

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/hsm"
)

// auditWrong writes, for operators, a row for each value that the token made and the public key does not verify. The
// value is destroyed and the position unknown, as after any failure in C_Sign; the key is suspended until the role is
// started again, and the token is not used before the canary has proven it (hsm).
func (r *Role) auditWrong(ctx context.Context, tx *sql.Tx, s *session, work []use, at time.Time) error {
	for _, u := range work {
		if !u.sent || !errors.Is(u.err, hsm.ErrWrongValue) {
			continue
		}
		err := audit.Append(ctx, tx, audit.Event{At: at, Kind: "key.wrong_value", Subject: s.Nonce, Detail: map[string]string{
			"position": strconv.Itoa(u.position), "credential": s.Credential,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}
