package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	tlog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/note"

	"tekend/db"
	"tekend/strictjson"
)

// Proof shows that one row is in the record, to somebody who sees no other
// row. It is JSON; bytes are base64 (RFC 4648 §4).
type Proof struct {
	Origin     string   `json:"origin"`     // names the log
	Seq        int64    `json:"seq"`        // number of the row, from 1; the leaf is Seq-1
	Row        []byte   `json:"row"`        // the row's bytes, which the tree hashes
	Size       int64    `json:"size"`       // of the tree
	Hashes     [][]byte `json:"hashes"`     // audit path, RFC 6962 §2.1.1, leaf's sibling first
	Checkpoint string   `json:"checkpoint"` // signed note of C2SP tlog-checkpoint with the witnesses' cosignatures
}

// ErrNotYet: no checkpoint covers the row. [Log.Flush] makes one.
var ErrNotYet = errors.New("no checkpoint covers this audit row yet")

// ErrNoRow: there is no such row.
var ErrNoRow = errors.New("there is no such audit row")

// Prove makes the proof of row seq from what is stored, under the newest
// checkpoint with enough cosignatures if that covers it, else under the newest.
// The error wraps [ErrNotYet] or [ErrNoRow].
func Prove(ctx context.Context, d *db.DB, seq int64) (*Proof, error) {
	rows, err := readRows(ctx, d, seq-1, seq)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%w: %d", ErrNoRow, seq)
	}
	h, err := readHead(ctx, d)
	if err != nil {
		return nil, err
	}
	p := &Proof{Seq: seq, Row: rows[0].bytes(), Size: h.size}
	switch {
	case h.witnessed >= seq:
		p.Size = h.witnessed
	case h.size < seq:
		return nil, fmt.Errorf("%w: %d", ErrNotYet, seq)
	}
	if p.Hashes, err = inclusion(ctx, d, uint64(seq-1), uint64(p.Size)); err != nil {
		return nil, err
	}
	if p.Checkpoint, err = Checkpoint(ctx, d, p.Size); err != nil {
		return nil, err
	}
	var cp tlog.Checkpoint
	if _, err := cp.Unmarshal([]byte(p.Checkpoint)); err != nil {
		return nil, fmt.Errorf("audit: checkpoint %d: %w", p.Size, err)
	}
	p.Origin = cp.Origin
	return p, nil
}

// Checkpoint gives the checkpoint of a size as signed note with all
// cosignatures that are stored. The error wraps sql.ErrNoRows if there is none.
func Checkpoint(ctx context.Context, d *db.DB, size int64) (string, error) {
	text, err := readNote(ctx, d, size)
	if err != nil {
		return "", err
	}
	lines, err := cosignatures(ctx, d, size)
	if err != nil {
		return "", err
	}
	for _, l := range lines {
		text += l
	}
	return text, nil
}

// NewestOrigin gives the origin under which the log goes on, "" before its
// first checkpoint.
func NewestOrigin(ctx context.Context, q Querier) (string, error) {
	h, err := readHead(ctx, q)
	if err != nil || h.size == 0 {
		return "", err
	}
	text, err := readNote(ctx, q, h.size)
	origin, _, _ := strings.Cut(text, "\n")
	return origin, err
}

func cosignatures(ctx context.Context, q Querier, size int64) (lines []string, err error) {
	rows, err := q.QueryContext(ctx, "SELECT line FROM audit_cosignatures WHERE size = ? ORDER BY witness", size)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var l string
		if err := rows.Scan(&l); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		lines = append(lines, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return lines, nil
}

// MaxProof bounds the JSON of a proof, in bytes: a row, 63 hashes, a note.
const MaxProof = 128 << 10

// ParseProof reads the JSON of a proof strictly: one spelling, no other members.
func ParseProof(b []byte) (Proof, error) {
	var p Proof
	if err := strictjson.Decode(b, MaxProof, &p); err != nil {
		return p, fmt.Errorf("audit: proof: %w", err)
	}
	return p, nil
}

// Verify says, without network, what event the proof shows: that a log with
// this key committed to it, in a tree that at least need of the witnesses have
// cosigned. The zero Event comes with every error.
func (p Proof) Verify(log note.Verifier, witnesses []note.Verifier, need int) (Event, error) {
	cp, n, err := openCheckpoint([]byte(p.Checkpoint), log, witnesses...)
	if err != nil {
		return Event{}, fmt.Errorf("audit proof: %w", err)
	}
	if cp.Origin != p.Origin {
		return Event{}, fmt.Errorf("audit proof: it speaks of log %q, its checkpoint of %q", p.Origin, cp.Origin)
	}
	if cosigned := countCosigned(n, witnesses); cosigned < need {
		return Event{}, fmt.Errorf("audit proof: %d of the given witnesses cosigned, %d are needed", cosigned, need)
	}
	r, err := readRow(p.Row)
	if err != nil {
		return Event{}, err
	}
	if p.Size < 1 || cp.Size != uint64(p.Size) || r.seq != p.Seq || p.Seq > p.Size {
		return Event{}, errors.New("audit proof: row, checkpoint and proof speak of different numbers")
	}
	if err := proof.VerifyInclusion(hasher, uint64(p.Seq-1), cp.Size, r.leaf(), p.Hashes, cp.Hash); err != nil {
		return Event{}, fmt.Errorf("audit proof: the row is not in the tree: %w", err)
	}
	return r.event()
}

// countCosigned counts the witnesses whose signature note.Open has verified.
func countCosigned(n *note.Note, witnesses []note.Verifier) int {
	names := map[string]bool{}
	for _, s := range n.Sigs {
		for _, w := range witnesses {
			if s.Name == w.Name() && s.Hash == w.KeyHash() {
				names[s.Name] = true
			}
		}
	}
	return len(names)
}

// BySubject gives the numbers of the rows about a subject, oldest first, at
// most limit.
func BySubject(ctx context.Context, d *db.DB, subject string, limit int) ([]int64, error) {
	rows, err := d.QueryContext(ctx, "SELECT seq FROM audit WHERE subject = ? ORDER BY seq LIMIT ?", subject, limit)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return all, nil
}
