package activation

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/sam"
)

// Several processes may serve one database: instances, each with a name of its
// own (Config.Instance), one process for each name. What a process asked, only
// it acts on: its questions are under a seal that it alone can make. The table
// boots holds the newest process of each instance. A process that finds
// another one there has been replaced, perhaps while it stood still, and does
// nothing any more (reliability F39).

// gone is how long after its last act an instance counts as not there. Nothing
// that a process made is good for as long: a question and a session live for
// MaxLife at most.
const gone = 2 * MaxLife

// takeOver makes this process the one of its instance, for the transaction of
// the start.
func (r *Role) takeOver(ctx context.Context, tx *sql.Tx) error {
	now := r.cfg.Now().UnixMicro()
	_, err := tx.ExecContext(ctx, `INSERT INTO boots (instance, boot, started, seen) VALUES (?,?,?,?)
		ON CONFLICT (instance) DO UPDATE SET boot = excluded.boot, started = excluded.started, seen = excluded.seen`,
		r.cfg.Instance, r.boot, now, now)
	if err != nil {
		return fmt.Errorf("take over the instance: %w", err)
	}
	return nil
}

// inTx is the transaction of every act: in it this process is the one of its
// instance, and until it ends no other one can become that.
func (r *Role) inTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		err := changed(ctx, tx, "UPDATE boots SET seen = ? WHERE instance = ? AND boot = ?", r.cfg.Now().UnixMicro(), r.cfg.Instance, r.boot)
		if errors.Is(err, errNotOne) {
			return replaced()
		}
		if err != nil {
			return fmt.Errorf("say that we are here: %w", err)
		}
		return fn(tx)
	})
}

// ours refuses when another process has become this instance. It is for a
// moment between two transactions; inTx is the one that nothing gets past.
func (r *Role) ours(ctx context.Context) error {
	var boot string
	err := r.db.QueryRowContext(ctx, "SELECT boot FROM boots WHERE instance = ?", r.cfg.Instance).Scan(&boot)
	if err != nil {
		return fmt.Errorf("ask who we are: %w", err)
	}
	if boot != r.boot {
		return replaced()
	}
	return nil
}

// replaced is what a process answers when a newer one has its name.
func replaced() *refusal {
	ref := refuse(sam.CodeElsewhere, "a newer process is this instance now")
	ref.Retryable = true
	return ref
}

// busyElsewhere is the answer when another instance did the same at the same
// time. An equal call gets what came of it.
func busyElsewhere() *refusal {
	ref := refuse(sam.CodeElsewhere, "another instance is at this; ask again")
	ref.Retryable, ref.recorded = true, true
	return ref
}

// elsewhere refuses to act on a question that another instance, which is at
// work, has asked. Nothing was done, and nothing was decided: so there is no
// row of the audit about it; the instance that is asked next will write its own.
func (r *Role) elsewhere(ctx context.Context, q *question) error {
	there, err := r.atWork(ctx, q)
	if err != nil || !there {
		return err
	}
	ref := refuse(sam.CodeElsewhere, "another instance asked this question")
	ref.Retryable, ref.recorded = true, true
	return ref
}

// atWork says whether another process than this one made the question and is
// still there: not replaced, and seen not long ago.
func (r *Role) atWork(ctx context.Context, q *question) (bool, error) {
	if q.Boot == r.boot {
		return false, nil
	}
	var seen int64
	err := r.db.QueryRowContext(ctx, "SELECT seen FROM boots WHERE boot = ?", q.Boot).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the instance of a question: %w", err)
	}
	return r.cfg.Now().Sub(time.UnixMicro(seen)) < gone, nil
}

// left is the part of a query on questions q that finds those whose process is
// no more: of this instance before this process, or of an instance that is gone.
const left = `NOT EXISTS (SELECT 1 FROM boots b WHERE b.boot = q.boot AND b.boot <> ? AND b.seen > ?)`

// leftBy are the parameters of left.
func (r *Role) leftBy() []any { return []any{r.boot, r.cfg.Now().Add(-gone).UnixMicro()} }

// fresh is how long after the begin of the burning the key may be used without asking again
// whether this process is still the one of its instance (reliability §3.3).
// PKCS#11 has no fencing token: between question and use there is nothing else.
const fresh = time.Second

// still gives what signAll asks before each use of the key. The burning begins
// now: whatever it waits for counts. Two clocks are asked, because the monotonic
// one stands still with a machine that sleeps, and the other one can be set: a
// doubt costs one query.
func (r *Role) still(ctx context.Context) func() error {
	last := r.cfg.Now()
	return func() error {
		now := r.cfg.Now()
		if now.Sub(last) > fresh || now.Round(0).Sub(last.Round(0)).Abs() > fresh {
			last = now
			return r.ours(ctx)
		}
		return nil
	}
}

// keepPosition stores what is known of one burnt position; e is its row, without
// a kind when row and position are stored already. late: a newer process has
// settled the position; then nothing is stored, and e tells that and whether
// the key was asked.
func (r *Role) keepPosition(ctx context.Context, tx *sql.Tx, nonce string, u use) (e audit.Event, late bool, err error) {
	state, e := u.result()
	err = changed(ctx, tx, "UPDATE positions SET state = ?, value = ? WHERE nonce = ? AND position = ? AND state = 'burnt'",
		state, u.value, nonce, u.position)
	if !errors.Is(err, errNotOne) {
		return e, false, err
	}
	var now string
	var value []byte
	err = tx.QueryRowContext(ctx, "SELECT state, value FROM positions WHERE nonce = ? AND position = ?", nonce, u.position).Scan(&now, &value)
	switch {
	case err != nil:
		return e, false, fmt.Errorf("read position: %w", err)
	case now == state && bytes.Equal(value, u.value):
		return audit.Event{}, false, nil // stored by an attempt whose outcome was not known
	}
	return audit.Event{Kind: "key.late", Detail: map[string]string{
		"position": strconv.Itoa(u.position), "asked": strconv.FormatBool(u.sent), "why": "a newer process has settled the position",
	}}, true, nil
}
