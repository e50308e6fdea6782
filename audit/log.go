package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	tlog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/note"

	"tekend/db"
)

// LogConfig is the manual of the section `audit:` in a role's file. Example:
//
//	origin: sign.acme.example/audit/sam
//	key_file: /srv/tekend/sam/audit-log.pem
//	witnesses:
//	  - {url: "https://witness.example/tekend", key: "witness.example+5fbe1d04+BJ…"}
//	  - {socket: /srv/witness/run/witness.sock, key: "house-witness+0c11a2b3+BA…"}
//	need: 1
//	anchor: {url: "https://tsa.other.example/tsa", root_file: /srv/tekend/sam/foreign-root.pem}
type LogConfig struct {
	// Origin names the log in every checkpoint (C2SP tlog-checkpoint) and its
	// key. One log, one origin, for ever; no spaces, no plus sign. Required.
	Origin string `yaml:"origin"`
	// KeyFile is the log's Ed25519 key, PKCS #8 in PEM, mode 0600, made by the
	// ceremony. Required.
	KeyFile string `yaml:"key_file"`
	// Witnesses are asked to cosign every checkpoint. Default none: then nobody
	// outside notices a record that was cut off or put back.
	Witnesses []Witness `yaml:"witnesses"`
	// Need is how many of them must have cosigned. Default all.
	Need int `yaml:"need"`
	// MaxUnwitnessed is how old the oldest row without enough cosignatures may
	// be; then the role refuses acts. Default and highest 15m (reliability F42).
	MaxUnwitnessed time.Duration `yaml:"max_unwitnessed"`
	// Interval between two looks for new rows. Default and highest 1s.
	Interval time.Duration `yaml:"interval"`
	// Anchor is a time-stamping authority of somebody else. Default none.
	Anchor AnchorConfig `yaml:"anchor"`

	// Under is the origin in use when it is not Origin itself: Origin, a slash
	// and a number, after operators opened a lock (package fence). The log's
	// key keeps the name Origin. Default Origin.
	Under string `yaml:"-"`
	// Signed is told of every checkpoint that is stored, before a witness sees
	// it. Default none.
	Signed func(size int64, root []byte) error `yaml:"-"`
	// Stamper asks that authority; package audit knows no RFC 3161. Required when Anchor.URL is set.
	Stamper Stamper `yaml:"-"`
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// Log gets what goes wrong in the background. Default none.
	Log *slog.Logger `yaml:"-"`
}

// ErrInconsistent: what is stored contradicts what was signed or witnessed.
// The log signs nothing more and the role must not act; people must look.
var ErrInconsistent = errors.New("the audit record contradicts its own checkpoints")

// ErrUnwitnessed: rows wait for the witnesses' cosignatures, with [Log.Flush]
// since now, with [Log.Ready] for too long.
var ErrUnwitnessed = errors.New("audit rows are not witnessed")

// Log is the sequencer of one record: it builds the tree over the rows, signs
// checkpoints, has them witnessed and anchored. Several processes may run one
// each on one database: the database's writer lock and a compare-and-swap on
// the newest checkpoint leave no two checkpoints of one size. A nil *Log, of a
// role that is used as a library, is always ready.
type Log struct {
	cfg      LogConfig
	db       *db.DB
	signer   note.Signer
	verifier note.Verifier
	peers    []*peer
	anchors  anchors

	turn sync.Mutex // one sequencing, one asking at a time in this process

	mu      sync.Mutex // the fields below
	covered time.Time  // all rows dated before are witnessed
	fault   error      // wraps ErrInconsistent
}

func (c LogConfig) withDefaults() (LogConfig, error) {
	if c.Origin == "" || strings.ContainsAny(c.Origin, "+ \t\r\n") || len(c.Origin) > 255 {
		return c, errors.New("audit: origin must be 1 to 255 characters without spaces and plus signs")
	}
	if c.Now == nil {
		return c, errors.New("audit: the clock is missing")
	}
	if c.Under == "" {
		c.Under = c.Origin
	}
	if _, ok := epochOf(c.Under, c.Origin); !ok {
		return c, fmt.Errorf("audit: %q is no epoch of %q", c.Under, c.Origin)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Need == 0 {
		c.Need = len(c.Witnesses)
	}
	if c.Need < 0 || c.Need > len(c.Witnesses) {
		return c, fmt.Errorf("audit: need is %d of %d witnesses", c.Need, len(c.Witnesses))
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		most  time.Duration
	}{{"max_unwitnessed", &c.MaxUnwitnessed, 15 * time.Minute}, {"interval", &c.Interval, time.Second}} {
		if *d.value == 0 {
			*d.value = d.most
		}
		if *d.value < 0 || *d.value > d.most {
			return c, fmt.Errorf("audit: %s is at most %s", d.name, d.most)
		}
	}
	return c, c.Anchor.complete(c.Stamper != nil)
}

// OpenLog opens the record's log in d, which [Ensure] prepared. It asks nobody:
// a role needs no witness to start, only to act. The error wraps
// [ErrInconsistent] when the newest checkpoint is not this key's or the rows
// are fewer than it covers.
func OpenLog(ctx context.Context, d *db.DB, cfg LogConfig) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, db: d}
	if l.signer, l.verifier, err = readKey(cfg.Origin, cfg.KeyFile); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, w := range cfg.Witnesses {
		p, err := w.open(ctx, d)
		if err != nil {
			return nil, err
		}
		if names[p.name] {
			return nil, fmt.Errorf("audit: witness %s stands there twice", p.name)
		}
		names[p.name] = true
		l.peers = append(l.peers, p)
	}
	h, err := readHead(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := l.checkHead(ctx, d, h); err != nil {
		return nil, err
	}
	if err := l.anchors.load(ctx, d); err != nil {
		return nil, err
	}
	return l, l.measure(ctx, cfg.Now())
}

// readKey reads the log's key file.
func readKey(name, path string) (note.Signer, note.Verifier, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("audit: key_file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("audit: key_file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, nil, fmt.Errorf("audit: key_file: %s is open to others (mode %04o, want 0600)", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, nil, fmt.Errorf("audit: key_file: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, nil, fmt.Errorf("audit: key_file: %s holds no PEM private key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("audit: key_file: %w", err)
	}
	secret, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("audit: key_file: %s holds no Ed25519 key", path)
	}
	verifier, err := note.NewVerifier(VerifierKey(name, secret.Public().(ed25519.PublicKey)))
	if err != nil {
		return nil, nil, fmt.Errorf("audit: key_file: %w", err)
	}
	return &signer{verifier, secret}, verifier, nil
}

// epochOf: origin is base (0), or base, a slash and a number from 1 as [fence]
// writes them.
//
// [fence]: tekend/fence
func epochOf(origin, base string) (epoch uint64, ok bool) {
	if origin == base {
		return 0, true
	}
	digits, ok := strings.CutPrefix(origin, base+"/")
	if !ok {
		return 0, false
	}
	epoch, err := strconv.ParseUint(digits, 10, 31)
	return epoch, err == nil && epoch > 0 && digits == strconv.FormatUint(epoch, 10)
}

// openCheckpoint reads a checkpoint of the log with this verifier, of any of
// its epochs. The note holds the signatures of known keys.
func openCheckpoint(text []byte, log note.Verifier, witnesses ...note.Verifier) (*tlog.Checkpoint, *note.Note, error) {
	origin, _, _ := bytes.Cut(text, []byte("\n"))
	if _, ok := epochOf(string(origin), log.Name()); !ok {
		return nil, nil, fmt.Errorf("the checkpoint is of the log %q, the key of %q", origin, log.Name())
	}
	cp, rest, n, err := tlog.ParseCheckpoint(text, string(origin), log, witnesses...)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	written := n.Text == string(cp.Marshal()) && len(rest) == 0 && len(cp.Hash) == sha256.Size
	for _, s := range append(n.Sigs[:len(n.Sigs):len(n.Sigs)], n.UnverifiedSigs...) {
		// note reads base64 whose unused bits are set; one checkpoint has one spelling.
		_, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
		written = written && err == nil
	}
	if !written {
		return nil, nil, errors.New("the checkpoint has more lines than three, or is not written as it must be")
	}
	return cp, n, nil
}

// signer signs notes without the key as text.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

// Sign signs a note's text.
func (s *signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

// VerifierKey writes a log's public key as C2SP signed-note's vkey, type Ed25519.
func VerifierKey(name string, pub ed25519.PublicKey) string {
	const algEd25519 = 1
	key := append([]byte{algEd25519}, pub...)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

// head is the newest checkpoint; size 0 when there is none.
type head struct {
	size, witnessed int64
	root            []byte
}

func readHead(ctx context.Context, q Querier) (head, error) {
	h := head{root: hasher.EmptyRoot()}
	err := q.QueryRowContext(ctx, "SELECT size, root, witnessed FROM audit_head WHERE id = 1").Scan(&h.size, &h.root, &h.witnessed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return head{}, fmt.Errorf("audit: read the newest checkpoint: %w", err)
	}
	return h, nil
}

// readNote gives a checkpoint as the log signed it.
func readNote(ctx context.Context, q Querier, size int64) (string, error) {
	var text string
	if err := q.QueryRowContext(ctx, "SELECT note FROM audit_checkpoints WHERE size = ?", size).Scan(&text); err != nil {
		return "", fmt.Errorf("audit: read checkpoint %d: %w", size, err)
	}
	return text, nil
}

// newest gives the number of the last row, 0 for none.
func newest(ctx context.Context, q Querier) (int64, error) {
	var seq sql.NullInt64
	if err := q.QueryRowContext(ctx, "SELECT MAX(seq) FROM audit").Scan(&seq); err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return seq.Int64, nil
}

// checkHead: the newest checkpoint is ours and the rows that it covers exist.
func (l *Log) checkHead(ctx context.Context, q Querier, h head) error {
	rows, err := newest(ctx, q)
	if err != nil || h.size == 0 {
		return err
	}
	if rows < h.size {
		return fmt.Errorf("%w: %d rows, and a checkpoint of %d", ErrInconsistent, rows, h.size)
	}
	text, err := readNote(ctx, q, h.size)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the newest one is missing", ErrInconsistent)
	}
	if err != nil {
		return err
	}
	cp, _, err := openCheckpoint([]byte(text), l.verifier)
	if err != nil {
		return fmt.Errorf("%w: the newest one is not signed by %s and this key", ErrInconsistent, l.cfg.Origin)
	}
	if cp.Size != uint64(h.size) || !bytes.Equal(cp.Hash, h.root) {
		return fmt.Errorf("%w: the newest one is not the one that was noted", ErrInconsistent)
	}
	return nil
}

// most bounds the rows under one checkpoint: they are read while the role's
// only write lock is held (some 30 ms for as many).
const most = 5000

// sequence covers new rows by signed checkpoints until none is left.
func (l *Log) sequence(ctx context.Context) error {
	for {
		// Nothing new costs no write lock.
		h, err := readHead(ctx, l.db)
		if err != nil {
			return err
		}
		rows, err := newest(ctx, l.db)
		if err != nil {
			return err
		}
		if rows == h.size {
			return nil
		}
		if err := l.db.InTx(ctx, func(tx *sql.Tx) error { return l.checkpoint(ctx, tx) }); err != nil {
			return err
		}
		if err := l.tell(ctx); err != nil {
			return err
		}
	}
}

// tell gives the newest checkpoint to whom it concerns in this process.
func (l *Log) tell(ctx context.Context) error {
	if l.cfg.Signed == nil {
		return nil
	}
	h, err := readHead(ctx, l.db)
	if err != nil {
		return err
	}
	if err := l.cfg.Signed(h.size, h.root); err != nil {
		return fmt.Errorf("audit: tell of checkpoint %d: %w", h.size, err)
	}
	return nil
}

// checkpoint signs one checkpoint over the next rows, in the transaction that
// stores it. The note leaves the process only after the commit; if the commit
// fails the next attempt reads the same rows and so signs the same bytes.
func (l *Log) checkpoint(ctx context.Context, tx *sql.Tx) error {
	h, err := readHead(ctx, tx)
	if err != nil {
		return err
	}
	if err := l.checkHead(ctx, tx, h); err != nil {
		return err
	}
	size, root, err := l.grow(ctx, tx, h)
	if err != nil || size == h.size {
		return err
	}
	if err := provenConsistent(ctx, tx, h, size, root); err != nil {
		return err
	}
	text, err := note.Sign(&note.Note{Text: string(tlog.Checkpoint{Origin: l.cfg.Under, Size: uint64(size), Hash: root}.Marshal())}, l.signer)
	if err != nil {
		return fmt.Errorf("audit: sign checkpoint: %w", err)
	}
	return l.swap(ctx, tx, h, head{size: size, root: root}, string(text))
}

// grow adds the rows behind h to the stored tree, at most most of them.
func (l *Log) grow(ctx context.Context, tx *sql.Tx, h head) (size int64, root []byte, err error) {
	tree, err := readTree(ctx, tx, uint64(h.size))
	if errors.Is(err, errNode) {
		return 0, nil, fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	if err != nil {
		return 0, nil, err
	}
	if was, err := rootOf(tree); err != nil || !bytes.Equal(was, h.root) {
		return 0, nil, fmt.Errorf("%w: the stored nodes do not give the root of checkpoint %d (%v)", ErrInconsistent, h.size, err)
	}
	last, err := l.lastCovered(ctx, tx, h.size)
	if err != nil {
		return 0, nil, err
	}
	for last.seq < h.size+most {
		rows, err := readRows(ctx, tx, last.seq, h.size+most)
		if err != nil {
			return 0, nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, r := range rows {
			if why := r.unfit(last.seq, last.hash, last.high); why != "" {
				return 0, nil, fmt.Errorf("%w: row %d: %s", ErrInconsistent, last.seq+1, why)
			}
			last = r
		}
		nodes, err := extend(tree, rows)
		if err != nil {
			return 0, nil, err
		}
		if err := insertNodes(ctx, tx, nodes); err != nil {
			return 0, nil, err
		}
	}
	root, err = rootOf(tree)
	return last.seq, root, err
}

// lastCovered gives the last row under a checkpoint, which must still be the
// one in the tree: the next row follows it in the chain.
func (l *Log) lastCovered(ctx context.Context, tx *sql.Tx, size int64) (row, error) {
	if size == 0 {
		return row{hash: make([]byte, sha256.Size)}, nil
	}
	rows, err := readRows(ctx, tx, size-1, size)
	if err != nil {
		return row{}, err
	}
	var leaf []byte
	if err := tx.QueryRowContext(ctx, "SELECT hash FROM audit_nodes WHERE pos = ?", nodesOf(uint64(size-1))).Scan(&leaf); err != nil {
		return row{}, fmt.Errorf("%w: the leaf of row %d cannot be read: %w", ErrInconsistent, size, err)
	}
	if len(rows) != 1 || !bytes.Equal(rows[0].leaf(), leaf) {
		return row{}, fmt.Errorf("%w: row %d is not the one that was covered", ErrInconsistent, size)
	}
	return rows[0], nil
}

// provenConsistent holds the new root against the last checkpoint with a proof
// of RFC 6962, read back from the stored nodes, as a witness will.
func provenConsistent(ctx context.Context, q Querier, h head, size int64, root []byte) error {
	if h.size == 0 {
		return nil
	}
	hashes, err := consistency(ctx, q, uint64(h.size), uint64(size))
	if err != nil {
		return err
	}
	if err := proof.VerifyConsistency(hasher, uint64(h.size), uint64(size), hashes, h.root, root); err != nil {
		return fmt.Errorf("%w: %d does not extend %d: %w", ErrInconsistent, size, h.size, err)
	}
	return nil
}

// swap makes next the newest checkpoint if h still is.
func (l *Log) swap(ctx context.Context, tx *sql.Tx, h, next head, text string) error {
	if len(l.peers) == 0 {
		next.witnessed = next.size // nobody is waited for
	} else {
		next.witnessed = h.witnessed
	}
	query, args := "UPDATE audit_head SET size = ?, root = ?, witnessed = ? WHERE id = 1 AND size = ? AND root = ?", []any{next.size, next.root, next.witnessed, h.size, h.root}
	if h.size == 0 {
		query, args = "INSERT INTO audit_head (id, size, root, witnessed) VALUES (1, ?, ?, ?)", args[:3]
	}
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("audit: store checkpoint: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("audit: store checkpoint: another sequencer was faster (%v)", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO audit_checkpoints (size, note) VALUES (?, ?)", next.size, text); err != nil {
		return fmt.Errorf("audit: store checkpoint: %w", err)
	}
	return nil
}
