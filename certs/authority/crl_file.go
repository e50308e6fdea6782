package authority

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// spool is a CRL in a file without a name: a CRL of a million entries has 36
// MB, and readers need neither memory nor the database for it. The file goes
// when its last user has released it.
type spool struct {
	file  *os.File
	size  int64
	users atomic.Int64
}

// newSpool makes an empty file in dir, or, where that cannot be, in the folder
// for temporary files.
func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, ".crl-*")
	if err != nil && dir != "" {
		f, err = os.CreateTemp("", ".crl-*")
	}
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	s := &spool{file: f}
	s.users.Store(1)
	return s, nil
}

// release gives a use back.
func (s *spool) release() {
	if s.users.Add(-1) == 0 {
		_ = s.file.Close() // it was only read since it was filled
	}
}

// open gives a reader of the whole; the caller must know that it is not released meanwhile.
func (s *spool) open() *List {
	s.users.Add(1)
	return &List{Reader: io.NewSectionReader(s.file, 0, s.size), Size: s.size, release: sync.OnceFunc(s.release)}
}

// publish replaces a CRL's file in the folder dir, whole or not at all.
func publish(from io.Reader, dir, name string) error {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, "crl", name+".crl")
	to, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("publish CRL: %w", err)
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Chmod(0o644) // the program's umask may be narrower; everyone may read what is public
	}
	if late := to.Close(); err == nil {
		err = late
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("publish CRL: %w", err)
	}
	return nil
}

// List is a CRL (DER) as a stream. It stays what it is when a newer one is
// made. Close it.
type List struct {
	io.Reader
	Size    int64 // in bytes
	revoked int64 // seq up to which it goes
	release func()
}

// Close gives the file back.
func (l *List) Close() error {
	l.release()
	return nil
}
