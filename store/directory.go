package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tekend/signer"
)

const (
	lockName = "lock"
	tempMark = ".part" // ends the name of a file that is being written
	copySize = 256 << 10
)

// directory keeps blobs as files. Its lock file says who uses it: one front alone, or several that share it.
type directory struct {
	dir  string
	lock *os.File
	only bool // nobody else uses it now
}

// openDirectory makes dir and takes it for this process; shared lets other processes take it too. The kernel frees the
// lock when the process dies.
func openDirectory(ctx context.Context, dir string, shared bool) (*directory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	d := &directory{dir: dir, lock: f}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	d.only = err == nil
	// Who has it exclusively is another front that sweeps as it starts.
	for shared && errors.Is(err, syscall.EWOULDBLOCK) && ctx.Err() == nil {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("in use by another process: %w", err), f.Close())
	}
	return d, nil
}

// share lets other fronts in, once this one has swept.
func (d *directory) share() error {
	d.only = false
	return syscall.Flock(int(d.lock.Fd()), syscall.LOCK_SH)
}

func (d *directory) Close() error { return d.lock.Close() }

// put: temporary name, fsync, rename, fsync of the directory. One buffer, whatever the size.
func (d *directory) put(_ context.Context, name string, r io.Reader) error {
	temp := filepath.Join(d.dir, name+tempMark)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return full(err)
	}
	// The plain Writer keeps io.CopyBuffer from taking the file's own ReadFrom, which would use a buffer of its own.
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, copySize))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, filepath.Join(d.dir, name))
	}
	if err == nil {
		err = syncDir(d.dir)
	}
	if err != nil {
		_ = os.Remove(temp) // the sweep at the next start takes what cannot be removed now
	}
	return full(err)
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

func (d *directory) open(_ context.Context, name string) (signer.BlobFile, error) {
	f, err := os.Open(filepath.Join(d.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, signer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *directory) drop(_ context.Context, name string) error {
	return os.Remove(filepath.Join(d.dir, name))
}

// each tells of whole files and of those that were never finished, by the name of the blob that they were to be.
func (d *directory) each(ctx context.Context, f func(found) error) error {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // another front dropped it
		}
		if err != nil {
			return err
		}
		name, partial := strings.CutSuffix(e.Name(), tempMark)
		if err := f(found{name: name, file: e.Name(), partial: partial, changed: info.ModTime()}); err != nil {
			return err
		}
	}
	return nil
}
