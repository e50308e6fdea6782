package audit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tekend/db"
)

// AnchorConfig names a time-stamping authority that is not ours: a token of
// our own would only say what we say anyway. Without one, health says so.
type AnchorConfig struct {
	// URL is where RFC 3161 requests are posted. Default none: not anchored.
	URL string `yaml:"url"`
	// RootFile is its trust anchor, one PEM certificate; it must not be our root. Required with URL.
	RootFile string `yaml:"root_file"`
	// Interval between two anchors. Default 24h.
	Interval time.Duration `yaml:"interval"`
}

func (c *AnchorConfig) complete(stamper bool) error {
	if c.URL == "" {
		return nil
	}
	if !stamper || c.RootFile == "" {
		return errors.New("audit: anchor: root_file is missing")
	}
	if c.Interval == 0 {
		c.Interval = 24 * time.Hour
	}
	if c.Interval < 0 {
		return errors.New("audit: anchor: interval is negative")
	}
	return nil
}

// Stamper asks the authority for a token over a SHA-256 digest and verifies it
// before it returns the token in DER and its time.
type Stamper interface {
	Stamp(ctx context.Context, digest []byte) (token []byte, at time.Time, err error)
}

// anchors is what the log knows of its anchors.
type anchors struct {
	mu   sync.Mutex
	at   time.Time // of the newest, zero for none
	size int64     // which checkpoint that covers
	err  error     // of the last attempt
}

func (a *anchors) load(ctx context.Context, d *db.DB) error {
	var at int64
	err := d.QueryRowContext(ctx, "SELECT size, at FROM audit_anchors ORDER BY size DESC LIMIT 1").Scan(&a.size, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: read the newest anchor: %w", err)
	}
	a.at = time.UnixMicro(at)
	return nil
}

// anchorDigest is what a token is over: the checkpoint as the log signed it,
// text and signature, without cosignatures (they come at other times).
func anchorDigest(signed string) []byte {
	sum := sha256.Sum256([]byte(signed))
	return sum[:]
}

// Pauses after a failed anchor: an authority that is down is not besieged.
const (
	firstAnchorPause   = time.Second
	longestAnchorPause = time.Hour
)

// keepAnchored anchors the newest checkpoint now and then.
func (l *Log) keepAnchored(ctx context.Context) {
	if l.cfg.Anchor.URL == "" {
		return
	}
	pause := firstAnchorPause
	for {
		err := l.Anchor(ctx)
		if err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("anchor", "err", err.Error())
			pause = min(2*pause, longestAnchorPause)
		} else {
			pause = firstAnchorPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// Anchor has the newest checkpoint time-stamped if the last anchor is older
// than the interval and there is a newer checkpoint; else it does nothing.
func (l *Log) Anchor(ctx context.Context) error {
	l.anchors.mu.Lock()
	defer l.anchors.mu.Unlock()
	a := &l.anchors
	if l.cfg.Now().Before(a.at.Add(l.cfg.Anchor.Interval)) {
		return nil
	}
	h, err := readHead(ctx, l.db)
	if err != nil || h.size == a.size {
		return err
	}
	a.err = l.anchor(ctx, h.size)
	return a.err
}

func (l *Log) anchor(ctx context.Context, size int64) error {
	text, err := readNote(ctx, l.db, size)
	if err != nil {
		return err
	}
	token, at, err := l.cfg.Stamper.Stamp(ctx, anchorDigest(text))
	if err != nil {
		return fmt.Errorf("audit: anchor: %w", err)
	}
	err = l.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO audit_anchors (size, at, token) VALUES (?, ?, ?) ON CONFLICT (size) DO NOTHING", size, at.UnixMicro(), token)
		return err
	})
	if err != nil {
		return fmt.Errorf("audit: store the anchor: %w", err)
	}
	l.anchors.at, l.anchors.size = at, size
	return nil
}

// Notes say what an operator should know though the role may act: no witness,
// no anchor, an anchor that is late. For health.
func (l *Log) Notes(now time.Time) []string {
	if l == nil {
		return nil
	}
	var notes []string
	if len(l.peers) == 0 {
		notes = append(notes, "the audit record is not witnessed: no witness is configured")
	}
	if l.cfg.Anchor.URL == "" {
		return append(notes, "the audit record is not anchored: no foreign time-stamping authority is configured")
	}
	if !l.anchors.mu.TryLock() { // one is being made
		return notes
	}
	defer l.anchors.mu.Unlock()
	if l.anchors.err != nil && now.After(l.anchors.at.Add(l.cfg.Anchor.Interval+time.Hour)) {
		notes = append(notes, "the audit record is not anchored: the time-stamping authority does not answer or gives no good token")
	}
	return notes
}
