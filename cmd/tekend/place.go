package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// What the launcher, which may be root, leaves in folders that belong to the
// roles. A role may have been taken over since the last start and may still be
// running: any name in its folder can be a link to another role's file, and can
// become one at any moment. So nothing there is opened by following a link, and
// only what was opened is given away or changed, never a name.

// folder makes a folder, or takes the one that is there, and gives it its owner and mode.
func (s *sandbox) folder(path, owner, group string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return usage("%w", err)
	}
	d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return usage("%w", err)
	}
	defer func() { _ = d.Close() }()
	if s.isolated {
		if err := d.Chown(s.uid(owner), s.uid(group)); err != nil {
			return usage("%w", err)
		}
	}
	if err := d.Chmod(mode); err != nil {
		return usage("%w", err)
	}
	return nil
}

// own writes a file that only the role's user can read: made in the sandbox's
// own folder and moved to its place, where it replaces what is there, also a link.
func (s *sandbox) own(role, path string, b []byte) error {
	f, err := os.CreateTemp(s.cmd.Dir, ".new-") // mode 0600
	if err != nil {
		return usage("%w", err)
	}
	if s.isolated {
		err = f.Chown(s.uid(role), s.uid(role))
	}
	if err == nil {
		_, err = f.Write(b)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return usage("%w", errors.Join(err, os.Remove(f.Name())))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return usage("%w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// appendTo opens a file to which a role's process appends: a new one, or the role's own.
func (s *sandbox) appendTo(role, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return s.openOwn(role, path, os.O_APPEND|os.O_WRONLY)
	}
	if err == nil && s.isolated {
		if err = f.Chown(s.uid(role), s.uid(role)); err != nil {
			_ = f.Close()
		}
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	return f, nil
}

// openOwn opens an existing file of a role. It must be the role's: a hard link to another role's file is not.
func (s *sandbox) openOwn(role, path string, flags int) (*os.File, error) {
	// Without O_NONBLOCK a named pipe would stop the launcher.
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, usage("%w", err)
	}
	info, err := f.Stat()
	if err == nil {
		st, ok := info.Sys().(*syscall.Stat_t)
		if !info.Mode().IsRegular() || !ok || s.isolated && int(st.Uid) != s.uid(role) {
			err = fmt.Errorf("%s is not a file of the role %s (user %d)", path, role, s.uid(role))
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, usage("%w", err)
	}
	return f, nil
}

// maxKey bounds the file of the provider's key, in bytes.
const maxKey = 1 << 10

// readKey reads an API key that a role has.
func (s *sandbox) readKey(role, path string) (string, error) {
	f, err := s.openOwn(role, path, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return "", usage("%w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// copySamples puts the PDFs to try where the provider's user can read them.
func (s *sandbox) copySamples() error {
	from, err := filepath.Glob(filepath.Join(s.cmd.Samples, "*.pdf"))
	if err != nil {
		return err
	}
	to := s.path("provider", "samples")
	if err := s.folder(to, "provider", "provider", 0o700); err != nil {
		return err
	}
	for _, path := range from {
		b, err := os.ReadFile(path)
		if err != nil {
			return usage("%w", err)
		}
		if err := s.own("provider", filepath.Join(to, filepath.Base(path)), b); err != nil {
			return err
		}
	}
	return nil
}
