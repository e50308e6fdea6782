package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"tekend/signer"
)

// keeper keeps bytes under names that Store makes: a directory or a bucket.
type keeper interface {
	// put takes r to its end. When it returns nil the bytes are durable; after an error nothing is kept that each would
	// not tell of. An error of r comes back.
	put(ctx context.Context, name string, r io.Reader) error
	open(ctx context.Context, name string) (signer.BlobFile, error)
	drop(ctx context.Context, name string) error
	each(ctx context.Context, f func(found) error) error
	io.Closer
}

// found is something that a keeper holds.
type found struct {
	name, file string // of the blob; what drop takes
	partial    bool
	changed    time.Time
}

// openKeeper opens what Config.Blobs names. shared: other fronts may use it too.
func openKeeper(ctx context.Context, cfg Config, shared bool) (keeper, error) {
	if strings.HasPrefix(cfg.Blobs, "s3:") {
		b, err := openBucket(ctx, cfg.Blobs, cfg.BlobsKeyFile)
		if err != nil {
			return nil, fmt.Errorf("blobs: %w", err)
		}
		return b, nil
	}
	d, err := openDirectory(ctx, cfg.Blobs, shared)
	if err != nil {
		return nil, fmt.Errorf("blobs: directory %s: %w", cfg.Blobs, err)
	}
	return d, nil
}

// Put streams r into a new blob; it is durable when Put returns. More than limit bytes: signer.ErrTooLarge, nothing is left
// behind.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (signer.Blob, error) {
	b := signer.Blob{Name: "b" + strings.ToLower(rand.Text())}
	c := &counting{ctx: ctx, r: r, limit: limit}
	if err := s.blobs.put(ctx, b.Name, c); err != nil {
		return signer.Blob{}, err
	}
	b.Size = c.n
	return b, nil
}

// counting counts what it reads, and ends when its context does.
type counting struct {
	ctx      context.Context
	r        io.Reader
	n, limit int64
}

func (r *counting) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.n += int64(n)
	if r.n > r.limit {
		return 0, signer.ErrTooLarge
	}
	return n, err
}

// ours refuses names that Put did not make.
func ours(name string) bool {
	return len(name) >= 2 && name[0] == 'b' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Open opens a blob to read at any place, as long as ctx lasts.
func (s *Store) Open(ctx context.Context, name string) (signer.BlobFile, error) {
	if !ours(name) {
		return nil, signer.ErrNotFound
	}
	return s.blobs.open(ctx, name)
}

// Drop removes a blob that no request refers to.
func (s *Store) Drop(ctx context.Context, name string) error {
	if !ours(name) {
		return signer.ErrNotFound
	}
	return s.blobs.drop(ctx, name)
}

// abandoned is how old a blob without a request must be before a front that shares the blobs drops it: another front may
// be taking it in now. No upload takes that long.
const abandoned = 24 * time.Hour

// sweep removes what no document refers to: it is left over from uploads that never came to an end. It runs before this
// front takes anything in; alone means that no other front uses the blobs.
func (s *Store) sweep(ctx context.Context, alone bool) error {
	return s.blobs.each(ctx, func(f found) error {
		if !ours(f.name) || !alone && s.now().Sub(f.changed) < abandoned {
			return nil
		}
		var n int
		if err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM documents WHERE blob = ?`, f.name).Scan(&n); err != nil {
			return err
		}
		if n > 0 && !f.partial {
			return nil
		}
		return s.blobs.drop(ctx, f.file)
	})
}
