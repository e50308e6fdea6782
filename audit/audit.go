// Package audit is the tamper-evident record of a role: rows chained by hash
// in the role's own database, written in the transaction of the act they tell
// (no audit, no act). The record is also the role's memory of time: an act
// dated before the newest row is refused, so that neither a clock put back nor
// an old date revives anything.
//
// The chain shows an edit; it does not show that the end was cut off or that
// all was computed anew. So the rows are also the leaves of an RFC 6962 tree.
// Its sequencer ([Log]) signs checkpoints, has witnesses cosign them and a
// foreign authority time-stamp them; [Prove] shows one row to somebody who sees
// no other, and [Inspect] holds the whole record to all of these.
package audit

import (
	"context"
	"crypto/rand"
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

// saltSize is the length of a row's salt in bytes. Leaf hashes leave the
// house in proofs of other rows; without a salt, a row of few bits (a kind, a
// time, a known subject) could be guessed from its hash.
const saltSize = 16

// row is one row of the table audit. high is the highest time of the chain so
// far, so that reading the last row is enough to know it.
type row struct {
	seq, at, high         int64 // from 1; microseconds since 1970, UTC
	kind, subject, detail string
	salt, prev, hash      []byte
}

// Append writes e in the caller's transaction, which [db.DB.InTx] made (one
// writer per database). If it fails the caller must roll back and must not act.
func Append(ctx context.Context, tx *sql.Tx, e Event) error {
	_, err := AppendRow(ctx, tx, e)
	return err
}

// AppendRow is [Append] and gives the row's number, from 1, by which [Prove]
// finds it once a checkpoint covers it. It is one indexed read and one INSERT;
// the last row is read and not kept in memory, because another process may
// have written after us and our own transaction may yet be rolled back.
func AppendRow(ctx context.Context, tx *sql.Tx, e Event) (int64, error) {
	if e.Kind == "" || e.At.IsZero() {
		return 0, errors.New("audit: event without kind or time")
	}
	detail, err := json.Marshal(e.Detail) // map keys come out sorted
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	if len(detail) > MaxDetail {
		return 0, fmt.Errorf("audit: detail of %d bytes, at most %d", len(detail), MaxDetail)
	}
	last := row{hash: make([]byte, sha256.Size)}
	err = tx.QueryRowContext(ctx, "SELECT seq, high, hash FROM audit ORDER BY seq DESC LIMIT 1").Scan(&last.seq, &last.high, &last.hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("audit: read the newest row: %w", err)
	}
	r := row{
		seq: last.seq + 1, at: e.At.UnixMicro(), kind: e.Kind, subject: e.Subject,
		detail: string(detail), salt: make([]byte, saltSize), prev: last.hash,
	}
	if r.at < last.high-Backstep.Microseconds() {
		return 0, ErrClockBack
	}
	if _, err := rand.Read(r.salt); err != nil {
		return 0, fmt.Errorf("audit: make salt: %w", err)
	}
	r.high = max(r.at, last.high)
	_, err = tx.ExecContext(ctx, "INSERT INTO audit (seq, at, high, kind, subject, detail, salt, prev, hash) VALUES (?,?,?,?,?,?,?,?,?)",
		r.seq, r.at, r.high, r.kind, r.subject, r.detail, r.salt, r.prev, r.sum())
	if err != nil {
		return 0, fmt.Errorf("audit: write: %w", err)
	}
	return r.seq, nil
}

// rowLabel begins the bytes of every row, so that they are no other message.
const rowLabel = "tekend-audit/2\x00"

// bytes are a row as the chain and the tree hash it, and as a proof shows it: a
// label, the numbers seq, at and high as 64-bit big-endian, then kind, subject,
// detail, salt and prev, each with its length as 64-bit big-endian before it.
// No two rows have the same bytes.
func (r row) bytes() []byte {
	b := make([]byte, 0, len(rowLabel)+8*8+len(r.kind)+len(r.subject)+len(r.detail)+len(r.salt)+len(r.prev))
	b = append(b, rowLabel...)
	for _, n := range []int64{r.seq, r.at, r.high} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, s := range []string{r.kind, r.subject, r.detail, string(r.salt), string(r.prev)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// readRow is the reverse of bytes; it takes no other bytes.
func readRow(b []byte) (row, error) {
	bad := errors.New("audit: these are not the bytes of a row")
	rest, ok := cutPrefix(b, rowLabel)
	if !ok || len(rest) < 24 {
		return row{}, bad
	}
	number := func() int64 {
		n := int64(binary.BigEndian.Uint64(rest))
		rest = rest[8:]
		return n
	}
	r := row{seq: number(), at: number(), high: number()}
	var fields [5][]byte
	for i := range fields {
		if len(rest) < 8 {
			return row{}, bad
		}
		n := number()
		if n < 0 || n > int64(len(rest)) {
			return row{}, bad
		}
		fields[i], rest = rest[:n], rest[n:]
	}
	r.kind, r.subject, r.detail, r.salt, r.prev = string(fields[0]), string(fields[1]), string(fields[2]), fields[3], fields[4]
	if len(rest) != 0 || r.seq < 1 || len(r.salt) != saltSize || len(r.prev) != sha256.Size {
		return row{}, bad
	}
	return r, nil
}

func cutPrefix(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return nil, false
	}
	return b[len(prefix):], true
}

// event is the row as its writer gave it.
func (r row) event() (Event, error) {
	e := Event{At: time.UnixMicro(r.at).UTC(), Kind: r.kind, Subject: r.subject}
	if err := json.Unmarshal([]byte(r.detail), &e.Detail); err != nil {
		return Event{}, fmt.Errorf("audit: details of row %d: %w", r.seq, err)
	}
	return e, nil
}

// sum is the row's hash in the chain.
func (r row) sum() []byte {
	h := sha256.Sum256(r.bytes())
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

// Report is what [Verify] found. The chain is whole when FirstBad is 0; then
// Head is the hash that a later reading must still contain at seq Rows. An old
// copy put back is whole too: only a checkpoint kept elsewhere shows that.
type Report struct {
	Rows     int64
	Head     []byte
	FirstBad int64  // seq of the first row that does not fit
	Reason   string // what does not fit there
}

// Verify reads the whole record and recomputes the chain, and nothing else:
// [Inspect] also looks at tree and checkpoints. An error means that it could
// not be read.
func Verify(ctx context.Context, d *db.DB) (Report, error) {
	rep := Report{Head: make([]byte, sha256.Size)}
	var high int64
	for {
		rows, err := readRows(ctx, d, rep.Rows, 0)
		if err != nil {
			return Report{}, err
		}
		for _, r := range rows {
			if reason := r.unfit(rep.Rows, rep.Head, high); reason != "" {
				rep.FirstBad, rep.Reason = rep.Rows+1, reason
				return rep, nil
			}
			rep.Rows, rep.Head, high = r.seq, r.hash, r.high
		}
		if len(rows) == 0 {
			return rep, nil
		}
	}
}

// batch is how many rows are read at once; a row has at most some 17 kB.
const batch = 500

// Querier is a database or a transaction, to read from.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readRows gives the next rows, at most batch, behind seq after, and before
// seq upTo+1 unless that is 0. At the start it also finds rows before the
// first, which must not be there.
func readRows(ctx context.Context, q Querier, after, upTo int64) ([]row, error) {
	if after == 0 {
		after = -1 << 62
	}
	if upTo == 0 {
		upTo = 1 << 62
	}
	rows, err := q.QueryContext(ctx, "SELECT seq, at, high, kind, subject, detail, salt, prev, hash FROM audit WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", after, upTo, batch)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.seq, &r.at, &r.high, &r.kind, &r.subject, &r.detail, &r.salt, &r.prev, &r.hash); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return all, nil
}

// unfit says why r cannot follow what was read so far, "" if it can.
func (r row) unfit(rows int64, head []byte, high int64) string {
	switch {
	case r.seq != rows+1:
		return "a row is missing, or one is there that does not belong"
	case subtle.ConstantTimeCompare(r.prev, head) != 1:
		return "the row does not follow the one before it"
	case len(r.salt) != saltSize, subtle.ConstantTimeCompare(r.hash, r.sum()) != 1:
		return "the row was changed"
	case r.high != max(high, r.at) || r.at < high-Backstep.Microseconds():
		return "the row's time runs backwards"
	}
	return ""
}
