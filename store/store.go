// Package store is the front's database and its blobs: it implements the interfaces that signer asks
// for. All SQL of the front is here.
//
// The database is SQLite or PostgreSQL through package db: a commit is on the disk when it returns. Documents are
// files in one directory with opaque names; a file is durable before a row refers to it, so that a row
// never names a file that is not there. What no row refers to is swept at the next start.
package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"tekend/db"
	"tekend/signer"
)

//go:embed migrations/*.sql migrations/postgres/*.sql
var migrations embed.FS

// Config says where the front keeps its data. Paths are created if absent, for this user alone.
type Config struct {
	// DBPath is the database: an SQLite file, which one front uses alone, or a PostgreSQL URL (package db, Open), which
	// several fronts may share. Examples: /var/lib/tekend/front/front.db,
	// postgres://tekend_front@/tekend_front?host=/run/postgresql.
	DBPath string `yaml:"db"`
	// Blobs holds the documents: a directory, or s3://BUCKET?endpoint=https://HOST&region=REGION (with &path_style=true
	// where the bucket is part of the path). A directory is locked: one front uses it, or, when the database is
	// PostgreSQL, several that all see the same directory. Example: /var/lib/tekend/front/blobs.
	Blobs string `yaml:"blobs"`
	// BlobsKeyFile is for S3 alone: a YAML file (mode 0600) with access_key_id and secret_access_key.
	BlobsKeyFile string `yaml:"blobs_key_file"`
	// Now is the clock. Required.
	Now func() time.Time `yaml:"-"`
	// DiskFailed is called when the disk failed under a COMMIT, and does not return: see db.OnFatal. Nil: nothing is done.
	DiskFailed func(error) `yaml:"-"`
	// Past is asked before blobs are swept whether the database is known to be the newest. If it is not, or nobody can say
	// it now, blobs that it does not know stay: they may be newer than it. Default: it is.
	Past func(ctx context.Context, s *Store) bool `yaml:"-"`
}

// Store is the front's memory. Safe for concurrent use.
type Store struct {
	db    *db.DB
	front string // names this process in claims
	blobs keeper
	now   func() time.Time

	changes atomic.Int64 // of requests, by this process
}

var (
	_ signer.Requests  = (*Store)(nil)
	_ signer.Claims    = (*Store)(nil)
	_ signer.Callbacks = (*Store)(nil)
	_ signer.Signers   = (*Store)(nil)
	_ signer.Blobs     = (*Store)(nil)
)

// Open opens database and blobs and sweeps files that no request refers to: they are left over from
// uploads that never came to an end. It fails when another process has the blobs for itself.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	shared := strings.HasPrefix(cfg.DBPath, "postgres:")
	k, err := openKeeper(ctx, cfg, shared)
	if err != nil {
		return nil, err
	}
	d, err := db.Open(ctx, cfg.DBPath, migrations)
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	d.OnFatal(cfg.DiskFailed)
	s := &Store{db: d, front: rand.Text(), blobs: k, now: cfg.Now}
	dir, _ := k.(*directory)
	if cfg.Past == nil || cfg.Past(ctx, s) {
		if err := s.sweep(ctx, dir != nil && dir.only); err != nil {
			return nil, errors.Join(fmt.Errorf("sweep blobs: %w", err), s.Close())
		}
	}
	if dir != nil && shared {
		if err := dir.share(); err != nil {
			return nil, errors.Join(fmt.Errorf("share blobs: %w", err), s.Close())
		}
	}
	return s, nil
}

// Close closes the database and frees the blobs.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.blobs.Close()) }

// Ready says whether the database answers; for the health check.
func (s *Store) Ready(ctx context.Context) error { return s.db.PingContext(ctx) }

// NewKey returns a new API key: 256 random bits with a prefix that secret scanners can find.
func NewKey() string { return "tk_" + rand.Text() + rand.Text() }

// AddClient stores a client with its API key, or gives a known client a new key. Only the key's
// SHA-256 is kept; a key has at least 128 bits, so it needs no slow hash.
func (s *Store) AddClient(ctx context.Context, id, key string) error {
	if id == "" || len(key) < 22 { // 22 characters of base64 are 128 bits
		return errors.New("add client: id empty or key too short")
	}
	h := sha256.Sum256([]byte(key))
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO clients (id, key_sha256, created_at) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET key_sha256 = excluded.key_sha256`, id, h[:], micros(s.now()))
		return err
	})
}

// ClientByKey returns the id of the client with this API key, or signer.ErrNotFound. The look-up goes by
// the key's hash and the comparison takes constant time: timing tells nothing of a key.
func (s *Store) ClientByKey(ctx context.Context, key string) (string, error) {
	h := sha256.Sum256([]byte(key))
	var id string
	var stored []byte
	err := s.db.QueryRowContext(ctx, `SELECT id, key_sha256 FROM clients WHERE key_sha256 = ?`, h[:]).Scan(&id, &stored)
	if errors.Is(err, sql.ErrNoRows) || err == nil && subtle.ConstantTimeCompare(stored, h[:]) != 1 {
		return "", signer.ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("look up client: %w", err)
	}
	return id, nil
}

// CredentialOf returns the credential of a client's person, "" if there is none.
func (s *Store) CredentialOf(ctx context.Context, client, reference string) (string, error) {
	var id string
	err := s.db.QueryRowContext(ctx, `SELECT credential FROM signers WHERE client = ? AND reference = ?`, client, reference).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// Callback says what a state parameter belongs to, or signer.ErrNotFound.
func (s *Store) Callback(ctx context.Context, state string) (signer.Callback, error) {
	h := sha256.Sum256([]byte(state))
	c := signer.Callback{State: state}
	var expires int64
	err := s.db.QueryRowContext(ctx, `SELECT request, kind, subject, expires_at, used FROM callbacks WHERE state_sha256 = ?`, h[:]).
		Scan(&c.Request, &c.Kind, &c.Subject, &expires, &c.Used)
	if errors.Is(err, sql.ErrNoRows) {
		return signer.Callback{}, signer.ErrNotFound
	}
	if err != nil {
		return signer.Callback{}, fmt.Errorf("look up callback: %w", err)
	}
	c.ExpiresAt = fromMicros(expires)
	return c, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
