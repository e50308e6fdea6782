package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"tekend/signer"
)

const (
	lockName = "lock"
	tempMark = ".part" // ends the name of a file that is being written
	copySize = 256 << 10
)

// lockDir makes dir and takes it for this process. The kernel frees the lock when the process dies.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("in use by another process: %w", err), f.Close())
	}
	return f, nil
}

// Put streams r into a new file while hashing it: temporary name, fsync, rename, fsync of the directory.
// One buffer, whatever the size. More than limit bytes: signer.ErrTooLarge, nothing is left behind.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (signer.Blob, error) {
	name := "b" + strings.ToLower(rand.Text())
	temp := filepath.Join(s.dir, name+tempMark)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return signer.Blob{}, full(err)
	}
	h := sha256.New()
	// limit+1: one byte more tells "too large" from "just fits". The plain Writer keeps io.CopyBuffer from
	// taking the file's own ReadFrom, which would read everything twice.
	n, err := io.CopyBuffer(io.MultiWriter(f, h), io.LimitReader(reader{ctx, r}, limit+1), make([]byte, copySize))
	if err == nil && n > limit {
		err = signer.ErrTooLarge
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, filepath.Join(s.dir, name))
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		_ = os.Remove(temp) // the sweep at the next start takes what cannot be removed now
		return signer.Blob{}, full(err)
	}
	return signer.Blob{Name: name, Size: n, SHA256: h.Sum(nil)}, nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return errors.Join(signer.ErrStorageFull, err)
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// path refuses names that Put did not make.
func (s *Store) path(name string) (string, error) {
	if len(name) < 2 || name[0] != 'b' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", signer.ErrNotFound
	}
	return filepath.Join(s.dir, name), nil
}

// Open opens a blob to read at any place.
func (s *Store) Open(_ context.Context, name string) (signer.BlobFile, error) {
	p, err := s.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if errors.Is(err, os.ErrNotExist) {
		return nil, signer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Drop removes a blob that no request refers to.
func (s *Store) Drop(_ context.Context, name string) error {
	p, err := s.path(name)
	if err != nil {
		return err
	}
	return os.Remove(p)
}

// sweep removes files that no document refers to. It runs before anything is uploaded.
func (s *Store) sweep(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == lockName {
			continue
		}
		if _, err := s.path(strings.TrimSuffix(name, tempMark)); err != nil {
			continue // not ours: not touched
		}
		var n int
		if err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM documents WHERE blob = ?`, name).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	return nil
}
