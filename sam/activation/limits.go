package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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
	// PerMinute is how many questions this process makes in a minute of which it
	// is not known whom they are for: enrolments, which cost a key each, and
	// revocations of all of whoever answers. Default 600.
	PerMinute int `yaml:"per_minute"`
}

func (l Limits) withDefaults() (Limits, error) {
	if l.Open == 0 {
		l.Open = 3
	}
	if l.PerHour == 0 {
		l.PerHour = 10
	}
	if l.PerMinute == 0 {
		l.PerMinute = 600
	}
	if l.Open < 0 || l.PerHour < 0 || l.PerMinute < 0 {
		return l, errors.New("sam: limits must be more than 0")
	}
	return l, nil
}

// anybody refuses one more question that names nobody when this minute has had
// enough: without a person there is nothing else to count by.
func (r *Role) anybody() error {
	if r.unnamed.count(r.cfg.Now()) > r.cfg.Limits.PerMinute {
		return tooMany("as many questions as allowed were made in this minute for people who are not known yet", time.Minute)
	}
	return nil
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
