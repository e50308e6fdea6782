package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The tally keeps refusals from filling the disk: whoever may call a role may
// call it with nonsense as often as he likes. A role that uses it has the table
//
//	refusals (kind, call, subject, why: text, the primary key; since, last, times: integers)
//
// in its own migrations, with an index on since.

const (
	// TallyTime is how long equal refusals are only counted after one that has
	// a row of its own.
	TallyTime = time.Minute
	// tallySubjects is how many subjects have rows of their own in that time for
	// one kind and call; an honest front never gets there.
	tallySubjects = 60
)

// Tally writes a refusal into the audit under a quota, so that whoever calls
// cannot fill the disk: the first one has its row at once; equal ones (kind,
// call, subject and why) within a minute are counted, durably, and one row tells
// their number afterwards. When more than 60 things were refused alike, the
// others share one count, whatever the reasons. No refusal is lost, and each is
// on the disk before it is told.
func Tally(ctx context.Context, tx *sql.Tx, e Event, call, why string) error {
	if err := SettleTally(ctx, tx, e.At.Add(-TallyTime), e.At); err != nil {
		return err
	}
	now := e.At.UnixMicro()
	counted, err := countOne(ctx, tx, e, call, why)
	if err != nil || counted {
		return err
	}
	var others int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM refusals WHERE kind = ? AND call = ?", e.Kind, call).Scan(&others); err != nil {
		return fmt.Errorf("audit: tally: %w", err)
	}
	if others >= tallySubjects {
		why = "several things, or for several reasons"
		e.Subject, e.Detail = "", map[string]string{"call": call, "why": why}
		if counted, err = countOne(ctx, tx, e, call, why); err != nil || counted {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO refusals (kind, call, subject, why, since, last, times) VALUES (?,?,?,?,?,?,0)", e.Kind, call, e.Subject, why, now, now)
	if err != nil {
		return fmt.Errorf("audit: tally: %w", err)
	}
	return Append(ctx, tx, e)
}

// countOne counts a refusal like one that has its row already.
func countOne(ctx context.Context, tx *sql.Tx, e Event, call, why string) (bool, error) {
	res, err := tx.ExecContext(ctx, "UPDATE refusals SET times = times + 1, last = ? WHERE kind = ? AND call = ? AND subject = ? AND why = ?",
		e.At.UnixMicro(), e.Kind, call, e.Subject, why)
	if err != nil {
		return false, fmt.Errorf("audit: tally: %w", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("audit: tally: %w", err)
	}
	return n > 0, nil
}

// SettleTally writes the rows about refusals that were counted since before the
// given time, dated at, and forgets those.
func SettleTally(ctx context.Context, tx *sql.Tx, before, at time.Time) error {
	rows, err := tx.QueryContext(ctx, "SELECT kind, call, subject, why, since, last, times FROM refusals WHERE since <= ? AND times > 0 ORDER BY since, kind, call, subject, why", before.UnixMicro())
	if err != nil {
		return fmt.Errorf("audit: tally: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Event
	for rows.Next() {
		var kind, call, subject, why string
		var since, last, times int64
		if err := rows.Scan(&kind, &call, &subject, &why, &since, &last, &times); err != nil {
			return fmt.Errorf("audit: tally: %w", err)
		}
		all = append(all, Event{At: at, Kind: kind, Subject: subject, Detail: map[string]string{
			"call": call, "why": why, "times": strconv.FormatInt(times, 10),
			"since": time.UnixMicro(since).UTC().Format(time.RFC3339), "until": time.UnixMicro(last).UTC().Format(time.RFC3339),
		}})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("audit: tally: %w", err)
	}
	for _, e := range all {
		if err := Append(ctx, tx, e); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM refusals WHERE since <= ?", before.UnixMicro()); err != nil {
		return fmt.Errorf("audit: tally: %w", err)
	}
	return nil
}

// TallyDue tells whether SettleTally would have something to do.
func TallyDue(ctx context.Context, q Querier, before time.Time) (bool, error) {
	var n int
	if err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM refusals WHERE since <= ?", before.UnixMicro()).Scan(&n); err != nil {
		return false, fmt.Errorf("audit: tally: %w", err)
	}
	return n > 0, nil
}
