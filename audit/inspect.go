package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	tlog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/note"
)

// Against is what [Inspect] holds a record to. What is left out is not
// checked; the caller says so to whoever reads the result.
type Against struct {
	// Log is the log's verifier; nil: signatures of checkpoints are not checked.
	Log note.Verifier
	// Witnesses are those whose cosignatures count; Need of them must be on the
	// checkpoint that the record calls witnessed.
	Witnesses []note.Verifier
	Need      int
	// Anchor verifies an RFC 3161 token over a SHA-256 digest and gives its
	// time; nil: anchors are not checked.
	Anchor func(token, digest []byte) (time.Time, error)
	// Held are checkpoints that witnesses keep: only they show that the end was
	// cut off, an old copy put back, or another record shown to others.
	Held []Held
}

// Findings are what [Inspect] saw. The record is whole when Problems is empty.
type Findings struct {
	Rows         int64
	Head         []byte // hash of the last row
	FirstBad     int64  // seq of the first row that does not fit, 0 for none
	Checkpoints  int
	Size         int64     // rows under the newest checkpoint
	Witnessed    int64     // rows under the newest one that is said to have enough cosignatures
	Cosignatures int       // verified ones
	Anchors      int       // verified ones
	Anchored     time.Time // time of the newest anchor
	AnchoredSize int64     // rows under it
	Problems     []string  // at most maxProblems
}

// maxProblems bounds what is told: one is enough.
const maxProblems = 20

// anchorSkew is how far a row's time may be behind an anchor that covers it:
// two clocks, and the tolerance of the time-stamping client.
const anchorSkew = 2 * time.Minute

// Inspect reads the whole record and recomputes everything: the chain, every
// node of the tree, the root and signature of every checkpoint, cosignatures,
// anchors, and what witnesses hold. It asks nobody. q is a database, or a
// transaction for a view that does not move. An error means that the record
// could not be read.
func Inspect(ctx context.Context, q Querier, a Against) (*Findings, error) {
	in := &inspection{q: q, a: a, tree: ranges.NewEmptyRange(0), roots: map[int64][]byte{}, loaded: math.MinInt64}
	in.f.Head = make([]byte, sha256.Size)
	h, err := readHead(ctx, q) // before the rows: a running role only adds
	if err != nil {
		return nil, err
	}
	in.head, in.f.Size, in.f.Witnessed = h, h.size, h.witnessed
	for _, held := range a.Held {
		in.roots[held.Size] = nil
	}
	in.roots[0] = hasher.EmptyRoot()
	for _, step := range []func(context.Context) error{in.rows, in.strays, in.finish} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &in.f, nil
}

// inspection is one run of Inspect.
type inspection struct {
	q    Querier
	a    Against
	f    Findings
	head head

	tree  *compact.Range
	high  int64
	stale bool             // a row did not fit: the tree ends before it
	roots map[int64][]byte // at sizes of interest

	ahead  []checkpoint // the next ones, in order
	loaded int64        // size of the last one that was read
	read   bool         // no more of them
	epoch  uint64
	seen   int64 // size of the last checkpoint
}

func (in *inspection) problem(format string, a ...any) {
	if len(in.f.Problems) < maxProblems {
		in.f.Problems = append(in.f.Problems, fmt.Sprintf(format, a...))
	}
}

// rows walks the record, and the checkpoints in step with it.
func (in *inspection) rows(ctx context.Context) error {
	for !in.stale {
		rows, err := readRows(ctx, in.q, in.f.Rows, 0)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			break
		}
		stored, err := in.nodes(ctx, rows)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if why := r.unfit(in.f.Rows, in.f.Head, in.high); why != "" {
				in.f.FirstBad, in.stale = in.f.Rows+1, true
				in.problem("row %d: %s", in.f.FirstBad, why)
				break
			}
			in.f.Rows, in.f.Head, in.high = r.seq, r.hash, r.high
			if err := in.leaf(ctx, r, stored); err != nil {
				return err
			}
		}
	}
	// Checkpoints behind the last good row: they speak of rows that are not there.
	for {
		c, err := in.next(ctx)
		if err != nil || c == nil {
			return err
		}
		in.ahead = in.ahead[1:]
		in.f.Checkpoints++
		if !in.stale {
			in.problem("checkpoint %d covers rows that are not there", c.size)
		}
	}
}

// nodes reads the stored nodes that the rows, numbered on from the last one, complete.
func (in *inspection) nodes(ctx context.Context, rows []row) (map[int64][]byte, error) {
	from, to := nodesOf(uint64(in.f.Rows)), nodesOf(uint64(in.f.Rows)+uint64(len(rows)))
	found, err := in.q.QueryContext(ctx, "SELECT pos, hash FROM audit_nodes WHERE pos >= ? AND pos < ?", from, to)
	if err != nil {
		return nil, fmt.Errorf("audit: read the tree: %w", err)
	}
	defer func() { _ = found.Close() }()
	nodes := map[int64][]byte{}
	for found.Next() {
		var pos int64
		var hash []byte
		if err := found.Scan(&pos, &hash); err != nil {
			return nil, fmt.Errorf("audit: read the tree: %w", err)
		}
		nodes[pos] = hash
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("audit: read the tree: %w", err)
	}
	return nodes, nil
}

// leaf adds a row to the tree and looks at what that completes: nodes, roots, checkpoints.
func (in *inspection) leaf(ctx context.Context, r row, stored map[int64][]byte) error {
	err := in.tree.Append(r.leaf(), func(id compact.NodeID, hash []byte) {
		if r.seq <= in.head.size && !bytes.Equal(stored[position(id)], hash) {
			in.problem("row %d: node %d of level %d is not what the rows give", r.seq, id.Index, id.Level)
		}
	})
	if err != nil {
		return fmt.Errorf("audit: tree: %w", err)
	}
	c, err := in.next(ctx)
	if err != nil {
		return err
	}
	_, wanted := in.roots[r.seq]
	due := c != nil && c.size <= r.seq
	if !wanted && !due && r.seq != in.head.size {
		return nil
	}
	root, err := rootOf(in.tree)
	if err != nil {
		return err
	}
	if wanted || r.seq == in.head.size {
		in.roots[r.seq] = root
	}
	if due {
		in.ahead = in.ahead[1:]
		in.f.Checkpoints++
		return in.checkpoint(ctx, *c, root)
	}
	return nil
}

// checkpoint holds one to the rows it covers; the tree has exactly those.
func (in *inspection) checkpoint(ctx context.Context, c checkpoint, root []byte) error {
	if c.size < 1 || uint64(c.size) != in.tree.End() {
		in.problem("a checkpoint of %d rows cannot be", c.size)
		return nil
	}
	in.seen = c.size
	cp, err := in.open(c.note)
	if err != nil {
		in.problem("checkpoint %d: %v", c.size, err)
		return nil
	}
	if cp.Size != uint64(c.size) || !bytes.Equal(cp.Hash, root) {
		in.problem("checkpoint %d: its root is not that of the rows", c.size)
	}
	if err := in.cosigned(ctx, c); err != nil {
		return err
	}
	in.anchored(c)
	return nil
}

// open reads a checkpoint; epochs of a log follow one another.
func (in *inspection) open(text string) (*tlog.Checkpoint, error) {
	if in.a.Log == nil {
		var cp tlog.Checkpoint
		_, err := cp.Unmarshal([]byte(text))
		return &cp, err
	}
	cp, n, err := openCheckpoint([]byte(text), in.a.Log)
	if err != nil {
		return nil, err
	}
	if len(n.UnverifiedSigs) > 0 {
		return nil, errors.New("it has a signature that does not belong to it")
	}
	epoch, _ := epochOf(cp.Origin, in.a.Log.Name())
	if epoch < in.epoch {
		return nil, errors.New("it is of an earlier epoch than the one before")
	}
	in.epoch = epoch
	return cp, nil
}

// cosigned verifies what witnesses added. A witness that is not known here says nothing.
func (in *inspection) cosigned(ctx context.Context, c checkpoint) error {
	if len(in.a.Witnesses) == 0 {
		return nil
	}
	lines, err := cosignatures(ctx, in.q, c.size)
	if err != nil {
		return err
	}
	n, err := note.Open([]byte(c.note+strings.Join(lines, "")), note.VerifierList(in.a.Witnesses...))
	verified := 0
	var none *note.UnverifiedNoteError
	switch {
	case err == nil:
		verified = countCosigned(n, in.a.Witnesses)
	case !errors.As(err, &none):
		in.problem("checkpoint %d: a cosignature is wrong: %v", c.size, err)
	}
	in.f.Cosignatures += verified
	if c.size == in.head.witnessed && verified < in.a.Need {
		in.problem("checkpoint %d is said to be witnessed and has %d of %d cosignatures", c.size, verified, in.a.Need)
	}
	return nil
}

// anchored verifies a checkpoint's time-stamp.
func (in *inspection) anchored(c checkpoint) {
	if c.token == nil || in.a.Anchor == nil {
		return
	}
	at, err := in.a.Anchor(c.token, anchorDigest(c.note))
	switch {
	case err != nil:
		in.problem("checkpoint %d: its anchor: %v", c.size, err)
		return
	case at.UnixMicro() != c.at.Int64:
		in.problem("checkpoint %d: its anchor is of another time than noted", c.size)
	case time.UnixMicro(in.high).After(at.Add(anchorSkew)):
		in.problem("checkpoint %d was anchored at %s and covers a row dated later", c.size, at.UTC().Format(time.RFC3339))
	case at.Before(in.f.Anchored):
		in.problem("checkpoint %d was anchored before an earlier one", c.size)
	}
	in.f.Anchors++
	in.f.Anchored, in.f.AnchoredSize = at, c.size
}

// strays are what belongs to nothing that was walked over.
func (in *inspection) strays(ctx context.Context) error {
	for _, s := range []struct {
		query string
		args  []any
		what  string
	}{
		{"SELECT COUNT(*) FROM audit_nodes WHERE pos < 0 OR pos >= ?", []any{nodesOf(uint64(in.head.size))}, "nodes outside the tree"},
		{"SELECT COUNT(*) FROM audit_checkpoints WHERE size > ?", []any{in.head.size}, "checkpoints behind the newest"},
		{"SELECT COUNT(*) FROM audit_cosignatures WHERE size NOT IN (SELECT size FROM audit_checkpoints)", nil, "cosignatures of no checkpoint"},
		{"SELECT COUNT(*) FROM audit_anchors WHERE size NOT IN (SELECT size FROM audit_checkpoints)", nil, "anchors of no checkpoint"},
		{"SELECT COUNT(*) FROM audit_head WHERE id <> 1", nil, "heads beside the one"},
	} {
		var n int64
		if err := in.q.QueryRowContext(ctx, s.query, s.args...).Scan(&n); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if n == 0 {
			continue
		}
		now, err := readHead(ctx, in.q) // unless a running role has gone on meanwhile
		if err != nil {
			return err
		}
		if now.size == in.head.size {
			in.problem("there are %s: %d", s.what, n)
		}
	}
	return nil
}

// finish compares the ends: the newest checkpoint, and what witnesses hold.
func (in *inspection) finish(context.Context) error {
	if in.stale {
		return nil // the rest follows from the row that does not fit
	}
	switch {
	case in.f.Rows < in.head.size:
		in.problem("%d rows are there, the newest checkpoint covers %d", in.f.Rows, in.head.size)
	case in.seen < in.head.size:
		in.problem("the newest checkpoint, of %d rows, is missing", in.head.size)
	case in.head.size > 0 && !bytes.Equal(in.roots[in.head.size], in.head.root):
		in.problem("the root that is noted as newest is not that of the rows")
	}
	if in.head.witnessed < 0 || in.head.witnessed > in.head.size {
		in.problem("%d rows are said to be witnessed, of %d that were signed", in.head.witnessed, in.head.size)
	}
	for _, h := range in.a.Held {
		switch root := in.roots[h.Size]; {
		case h.Size > in.f.Rows:
			in.problem("a witness holds a checkpoint of %d rows, here are %d: the end was cut off or an old copy put back", h.Size, in.f.Rows)
		case !bytes.Equal(root, h.Root):
			in.problem("a witness holds another record: at %d rows its root differs", h.Size)
		}
	}
	return nil
}

// checkpoint is a stored one with its anchor.
type checkpoint struct {
	size  int64
	note  string
	at    sql.NullInt64
	token []byte
}

// next gives the next checkpoint without taking it, nil behind the newest.
func (in *inspection) next(ctx context.Context) (*checkpoint, error) {
	if len(in.ahead) == 0 && !in.read {
		if err := in.load(ctx); err != nil {
			return nil, err
		}
	}
	if len(in.ahead) == 0 {
		return nil, nil
	}
	return &in.ahead[0], nil
}

func (in *inspection) load(ctx context.Context) error {
	rows, err := in.q.QueryContext(ctx, `SELECT c.size, c.note, a.at, a.token FROM audit_checkpoints c
		LEFT JOIN audit_anchors a ON a.size = c.size WHERE c.size > ? AND c.size <= ? ORDER BY c.size LIMIT ?`, in.loaded, in.head.size, batch)
	if err != nil {
		return fmt.Errorf("audit: read checkpoints: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c checkpoint
		if err := rows.Scan(&c.size, &c.note, &c.at, &c.token); err != nil {
			return fmt.Errorf("audit: read checkpoints: %w", err)
		}
		in.ahead, in.loaded = append(in.ahead, c), c.size
	}
	in.read = len(in.ahead) == 0
	if err := rows.Err(); err != nil {
		return fmt.Errorf("audit: read checkpoints: %w", err)
	}
	return nil
}
