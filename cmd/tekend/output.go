package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Files that a command leaves are whole or not there, on the disk when the command says so, and never in the place of what
// was to be signed.

// modes of files. The umask takes from the first what its user does not want others to read.
const (
	modeResult = 0o666
	modeSecret = 0o600
)

// besides makes a file in the folder of path that may become path.
func besides(path string, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(filepath.Join(filepath.Dir(path), ".tekend-"+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
}

// writeWhole puts what r gives at path, in the place of a file that was there.
func writeWhole(path string, r io.Reader) error {
	if err := replaceable(path); err != nil {
		return err
	}
	tmp, err := besides(path, modeResult)
	if err != nil {
		return usage("write the signed document: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = io.Copy(tmp, r)
	if err == nil {
		err = tmp.Sync() // what it was made from may be thrown away when this returns
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = settle(tmp.Name(), path, os.Rename)
	}
	if own, ok := errors.AsType[*exitError](err); ok {
		return own
	}
	if err != nil {
		return usage("write the signed document: %w", err)
	}
	return nil
}

// writeBytes puts b at path, for those that mode says, whoever could read what was there; how is os.Rename to replace that, or
// os.Link to be refused where something is.
func writeBytes(path string, b []byte, mode os.FileMode, how func(from, to string) error) error {
	tmp, err := besides(path, mode)
	if err != nil {
		return usage("%w", err)
	}
	if err := errors.Join(put(tmp, b, path, how), tmp.Close()); err != nil {
		return usage("%w", err)
	}
	return nil
}

// put writes b to a file that besides made, and brings that to its place. The file stays open.
func put(tmp *os.File, b []byte, path string, how func(from, to string) error) error {
	defer func() { _ = os.Remove(tmp.Name()) }() // what is left of it when it was linked, or failed
	if _, err := tmp.Write(b); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	return settle(tmp.Name(), path, how)
}

// settle moves a file to its place, or links it there, and has the folder remember that.
func settle(from, to string, how func(from, to string) error) error {
	if err := how(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// received is the body of an answer: that it breaks off is not the fault of our disk.
type received struct{ io.Reader }

// Read implements io.Reader.
func (r received) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // the end of a body is io.EOF itself
		err = unreachable("the download broke off: %w", err)
	}
	return n, err
}

// replaceable refuses a place where there is something else than a file: a rename would put a file where root's /dev/null was.
func replaceable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usage("%w", err)
	case !info.Mode().IsRegular():
		return usage("%s is not a file that could be replaced; give -o the name of one", path)
	}
	return nil
}

// canWrite tells whether a file can be made in a folder, by making one.
func canWrite(folder string) error {
	f, err := os.CreateTemp(folder, ".tekend-*")
	if err != nil {
		return usage("the signed document cannot be written: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// samePlace says whether two paths lead to the same file, be it there or not.
func samePlace(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX == nil || errY == nil {
		return errX == nil && errY == nil && os.SameFile(x, y)
	}
	if filepath.Base(a) != filepath.Base(b) {
		return false
	}
	x, errX = os.Stat(filepath.Dir(a))
	y, errY = os.Stat(filepath.Dir(b))
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// free is a place in folder that nothing has: of a name that the service chose, so that no file of ours is lost to it.
func free(folder, name string, taken map[string]bool) string {
	ending := filepath.Ext(name)
	for n := 1; ; n++ {
		one := name
		if n > 1 {
			one = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ending), n, ending)
		}
		path := filepath.Join(folder, one)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && !taken[path] {
			taken[path] = true
			return path
		}
	}
}
