package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tekend/audit"
	"tekend/sam"
)

// Limits keep an owned front, or a provider, from asking one person until he
// says yes (reliability §2 no. 30), and from filling the disk with refusals.
type Limits struct {
	// Open is how many confirmations of one person may wait for an answer.
	// A question asked anew about the same documents is the same confirmation.
	// Default 3.
	Open int `yaml:"open"`
	// PerHour is how many questions one person may be asked in an hour: those
	// for signatures, and apart from them the enrolments in which he identified
	// himself. Default 10.
	PerHour int `yaml:"per_hour"`
}

func (l Limits) withDefaults() (Limits, error) {
	if l.Open == 0 {
		l.Open = 3
	}
	if l.PerHour == 0 {
		l.PerHour = 10
	}
	if l.Open < 0 || l.PerHour < 0 {
		return l, errors.New("sam: limits must be more than 0")
	}
	return l, nil
}

// personName names a person at one of our clients of itsme, by a hash.
func personName(iss, aud, sub string) string {
	return digest(joined([][]byte{[]byte("tekend-person/1"), []byte(iss), []byte(aud), []byte(sub)}))
}

// allowed refuses one more question to a person who was asked too much, and
// writes it down otherwise, in the transaction that stores the question. nonce
// names the question, root its documents, "" for an enrolment.
func (r *Role) allowed(ctx context.Context, tx *sql.Tx, person, nonce, root string) error {
	now := r.cfg.Now()
	if root != "" {
		if err := r.roomOpen(ctx, tx, person, root); err != nil {
			return err
		}
	}
	hour := now.Add(-time.Hour).UnixMicro()
	// Of the newest PerHour questions the oldest says when there is room again.
	var first int64
	err := tx.QueryRowContext(ctx, "SELECT at FROM asked WHERE person = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?",
		person, hour, r.cfg.Limits.PerHour-1).Scan(&first)
	switch {
	case err == nil:
		return tooMany("the person was asked as often as once in an hour is allowed", time.UnixMicro(first).Add(time.Hour).Sub(now))
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("count questions: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM asked WHERE at < ?", now.Add(-keepOpen).UnixMicro()); err != nil {
		return fmt.Errorf("forget questions: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO asked (nonce, person, root, at) VALUES (?,?,?,?)", nonce, person, root, now.UnixMicro()); err != nil {
		return fmt.Errorf("store question: %w", err)
	}
	return nil
}

// roomOpen refuses when as many confirmations as allowed wait for the person.
// What an earlier process asked is void and does not count.
func (r *Role) roomOpen(ctx context.Context, tx *sql.Tx, person, root string) error {
	now := r.cfg.Now()
	var open int
	var ends sql.NullInt64
	err := tx.QueryRowContext(ctx, `SELECT COUNT(DISTINCT a.root), MIN(q.expires) FROM asked a JOIN questions q ON q.nonce = a.nonce
		WHERE a.person = ? AND a.at > ? AND a.root <> ? AND q.status IN ('prepared', 'exchanging') AND q.expires > ?
		AND EXISTS (SELECT 1 FROM boots b WHERE b.boot = q.boot)`,
		person, now.Add(-MaxLife).UnixMicro(), root, now.UnixMicro()).Scan(&open, &ends)
	if err != nil {
		return fmt.Errorf("count open questions: %w", err)
	}
	if open >= r.cfg.Limits.Open {
		return tooMany("as many questions as allowed wait for the person", time.UnixMicro(ends.Int64).Sub(now))
	}
	return nil
}

func tooMany(detail string, wait time.Duration) *refusal {
	return after(sam.CodeTooManyQuestions, detail, wait)
}

// after makes a retryable refusal that says when it is worth trying again.
func after(code, detail string, wait time.Duration) *refusal {
	ref := refuse(code, detail)
	ref.Retryable, ref.After = true, max(wait, time.Second)
	return ref
}

const (
	// tallyTime is how long equal refusals are only counted after one that has
	// a row of its own.
	tallyTime = time.Minute
	// tallySubjects is how many subjects have rows of their own in that time for
	// one kind and call; an honest front never gets there.
	tallySubjects = 60
)

// tally writes a refusal into the audit under a quota, so that whoever calls
// cannot fill the disk: the first one has its row at once; equal ones within a
// minute are counted, durably, and one row tells their number afterwards. When
// more than tallySubjects things were refused alike, the others share one
// count, whatever the reasons. No refusal is lost, and each is on the disk before it is told.
func (r *Role) tally(ctx context.Context, tx *sql.Tx, e audit.Event) error {
	if err := r.settleTally(ctx, tx, e.At.Add(-tallyTime), e.At); err != nil {
		return err
	}
	call, now := e.Detail["call"], e.At.UnixMicro()
	counted, err := countOne(ctx, tx, e)
	if err != nil || counted {
		return err
	}
	var others int
	if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM refusals WHERE kind = ? AND call = ?", e.Kind, call).Scan(&others); err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	if others >= tallySubjects {
		e.Subject, e.Detail = "", map[string]string{"call": call, "why": "several things, or for several reasons"}
		if counted, err = countOne(ctx, tx, e); err != nil || counted {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO refusals (kind, call, subject, why, since, last, times) VALUES (?,?,?,?,?,?,0)", e.Kind, call, e.Subject, e.Detail["why"], now, now)
	if err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	return audit.Append(ctx, tx, e)
}

// countOne counts a refusal like one that has its row already.
func countOne(ctx context.Context, tx *sql.Tx, e audit.Event) (bool, error) {
	err := changed(ctx, tx, "UPDATE refusals SET times = times + 1, last = ? WHERE kind = ? AND call = ? AND subject = ? AND why = ?",
		e.At.UnixMicro(), e.Kind, e.Detail["call"], e.Subject, e.Detail["why"])
	if errors.Is(err, errNotOne) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("tally: %w", err)
	}
	return true, nil
}

// settleTally writes the rows about refusals that were counted since before
// the given time, and forgets those.
func (r *Role) settleTally(ctx context.Context, tx *sql.Tx, before, at time.Time) error {
	rows, err := tx.QueryContext(ctx, "SELECT kind, call, subject, why, since, last, times FROM refusals WHERE since <= ? AND times > 0 ORDER BY since, kind, call, subject, why", before.UnixMicro())
	if err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []audit.Event
	for rows.Next() {
		var kind, call, subject, why string
		var since, last, times int64
		if err := rows.Scan(&kind, &call, &subject, &why, &since, &last, &times); err != nil {
			return fmt.Errorf("tally: %w", err)
		}
		all = append(all, audit.Event{At: at, Kind: "refusal." + strings.TrimPrefix(kind, "refusal."), Subject: subject, Detail: map[string]string{
			"call": call, "why": why, "times": strconv.FormatInt(times, 10),
			"since": time.UnixMicro(since).UTC().Format(time.RFC3339), "until": time.UnixMicro(last).UTC().Format(time.RFC3339),
		}})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	for _, e := range all {
		if err := audit.Append(ctx, tx, e); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM refusals WHERE since <= ?", before.UnixMicro()); err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	return nil
}
