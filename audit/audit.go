// Package audit is the tamper-evident record of a role: rows chained by hash
// in the role's own database, written in the transaction of the act they tell
// (no audit, no act). The record is also the role's memory of time: an act
// dated before the newest row is refused, so that neither a clock put back nor
// an old date revives anything.
package audit

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tekend/db"
)

// Event is one row. Subject and Detail hold opaque ids, digests and codes,
// never personal data, tokens or documents.
type Event struct {
	At      time.Time
	Kind    string            // what happened, e.g. "key.intent"
	Subject string            // what it happened to
	Detail  map[string]string // at most MaxDetail bytes as JSON
}

// MaxDetail bounds one row; 70 digests fit with room to spare.
const MaxDetail = 16 << 10

// Backstep is how far before the newest row an act may be dated: transactions
// take their time before they queue for the database.
const Backstep = 2 * time.Second

// ErrClockBack is returned for an event dated more than Backstep before the
// newest one. The act must not be done.
var ErrClockBack = errors.New("the clock is before the newest audit row")

// A row's high is the highest time of the chain so far, so that reading the
// last row is enough to know it. The triggers keep honest code from editing;
// the chain shows what dishonest code did.
const schema = `
CREATE TABLE IF NOT EXISTS audit (
  seq     INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL, -- microseconds since 1970, UTC
  high    INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail  TEXT NOT NULL,
  prev    BLOB NOT NULL,
  hash    BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_subject ON audit (subject);
CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are final'); END;
CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are final'); END;
`

// Ensure makes the audit table in d if it is not there.
func Ensure(ctx context.Context, d *db.DB) error {
	if _, err := d.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make audit table: %w", err)
	}
	return nil
}

type row struct {
	seq, at, high         int64
	kind, subject, detail string
	prev, hash            []byte
}

// Append writes e in the caller's transaction. If it fails the caller must
// roll back and must not act.
func Append(ctx context.Context, tx *sql.Tx, e Event) error {
	if e.Kind == "" || e.At.IsZero() {
		return errors.New("audit: event without kind or time")
	}
	detail, err := json.Marshal(e.Detail) // map keys come out sorted
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if len(detail) > MaxDetail {
		return fmt.Errorf("audit: detail of %d bytes, at most %d", len(detail), MaxDetail)
	}
	last := row{hash: make([]byte, sha256.Size)}
	err = tx.QueryRowContext(ctx, "SELECT seq, high, hash FROM audit ORDER BY seq DESC LIMIT 1").Scan(&last.seq, &last.high, &last.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("audit: read the newest row: %w", err)
	}
	r := row{
		seq: last.seq + 1, at: e.At.UnixMicro(), kind: e.Kind, subject: e.Subject,
		detail: string(detail), prev: last.hash,
	}
	if r.at < last.high-Backstep.Microseconds() {
		return ErrClockBack
	}
	r.high = max(r.at, last.high)
	_, err = tx.ExecContext(ctx, "INSERT INTO audit (seq, at, high, kind, subject, detail, prev, hash) VALUES (?,?,?,?,?,?,?,?)",
		r.seq, r.at, r.high, r.kind, r.subject, r.detail, r.prev, r.sum())
	if err != nil {
		return fmt.Errorf("audit: write: %w", err)
	}
	return nil
}

// sum is the row's hash: SHA-256 over a label, the numbers as 64-bit
// big-endian and every text with its length before it, so that no two rows
// have the same bytes.
func (r row) sum() []byte {
	b := []byte("tekend-audit/1\x00")
	for _, n := range []int64{r.seq, r.at, r.high} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{r.kind, r.subject, r.detail, string(r.prev)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	h := sha256.Sum256(b)
	return h[:]
}

// HighWater is the highest time the record has seen, zero when it is empty.
func HighWater(ctx context.Context, d *db.DB) (time.Time, error) {
	var high int64
	err := d.QueryRowContext(ctx, "SELECT high FROM audit ORDER BY seq DESC LIMIT 1").Scan(&high)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("audit: %w", err)
	}
	return time.UnixMicro(high).UTC(), nil
}

// Report is what Verify found. The record is whole when FirstBad is 0; then
// Head is the hash that a later reading must still contain at seq Rows. An old
// copy put back is whole too: only a Head kept elsewhere shows that.
type Report struct {
	Rows     int64
	Head     []byte
	FirstBad int64  // seq of the first row that does not fit
	Reason   string // what does not fit there
}

// Verify reads the whole record and recomputes the chain. An error means that
// it could not be read.
func Verify(ctx context.Context, d *db.DB) (Report, error) {
	rows, err := d.QueryContext(ctx, "SELECT seq, at, high, kind, subject, detail, prev, hash FROM audit ORDER BY seq")
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	rep := Report{Head: make([]byte, sha256.Size)}
	var high int64
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.seq, &r.at, &r.high, &r.kind, &r.subject, &r.detail, &r.prev, &r.hash); err != nil {
			return Report{}, fmt.Errorf("audit: %w", err)
		}
		if reason := r.unfit(rep, high); reason != "" {
			rep.FirstBad, rep.Reason = rep.Rows+1, reason
			return rep, nil
		}
		rep.Rows, rep.Head, high = r.seq, r.hash, r.high
	}
	if err := rows.Err(); err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	return rep, nil
}

// unfit says why r cannot follow what was read so far, "" if it can.
func (r row) unfit(before Report, high int64) string {
	switch {
	case r.seq != before.Rows+1:
		return "a row is missing"
	case subtle.ConstantTimeCompare(r.prev, before.Head) != 1:
		return "the row does not follow the one before it"
	case subtle.ConstantTimeCompare(r.hash, r.sum()) != 1:
		return "the row was changed"
	case r.high != max(high, r.at) || r.at < high-Backstep.Microseconds():
		return "the row's time runs backwards"
	}
	return ""
}
