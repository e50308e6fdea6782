package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What the ceremony, which is root where roles have users of their own, does in folders that belong to the roles. A role may
// have been taken over since the last ceremony: any name in its folder can be a link to a file that it may not read or
// write. So nothing there is reached by a path of its own, only below its folder (os.Root), and only what was opened is changed.

// own gives the named files and directories of the role to its user.
func (r roleSection) own(names ...string) error {
	if r.UID == nil {
		return nil
	}
	err := inside(r.Dir, func(root *os.Root) error {
		for _, name := range names {
			if name == "" {
				name = "."
			}
			err := fs.WalkDir(root.FS(), name, func(path string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return root.Lchown(path, *r.UID, *r.GID)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give %s to uid %d (only root can): %w", r.Dir, *r.UID, err)
	}
	return nil
}

// inside runs use with the folder opened.
func inside(dir string, use func(*os.Root) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return errors.Join(use(root), root.Close())
}

// Whether give may put a file in the place of another.
const (
	keepOld    = false
	replaceOld = true
)

// give writes a file that only the role's user reads, whole or not at all.
func (r roleSection) give(name string, data []byte, replace bool) error {
	return inside(r.Dir, func(root *os.Root) error {
		next, err := newFile(root, name, data, func(f *os.File) error {
			if r.UID == nil {
				return nil
			}
			if err := f.Chown(*r.UID, *r.GID); err != nil {
				return fmt.Errorf("give %s to uid %d (only root can): %w", r.path(name), *r.UID, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if replace {
			return root.Rename(next, name)
		}
		return errors.Join(root.Link(next, name), root.Remove(next)) // a link is refused where there is a file
	})
}

// newFile writes a new file beside name, 0600, lets change look at it while it is open, and leaves it on the disk.
func newFile(root *os.Root, name string, data []byte, change func(*os.File) error) (string, error) {
	next := path.Join(path.Dir(name), "."+path.Base(name)+"."+rand.Text())
	f, err := root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	if err = change(f); err == nil {
		_, err = f.Write(data)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, root.Remove(next))
	}
	return next, nil
}

// writePublic writes a file below the folder of what is public, which everyone reads, whole or not at all.
func writePublic(dir, name string, data []byte) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			return err
		}
	}
	return inside(dir, func(root *os.Root) error {
		if err := openFolder(root, path.Dir(name)); err != nil {
			return err
		}
		next, err := newFile(root, name, data, func(f *os.File) error { return f.Chmod(0o644) })
		if err != nil {
			return err
		}
		return root.Rename(next, name)
	})
}

// openFolder makes a folder that everyone may enter and list.
func openFolder(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if err := root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Chmod(0o755), d.Close())
}

// refreshCopy puts a copy of the token's directory beside it, in place of an earlier one, with its modes (files 0600,
// directories 0700).
func refreshCopy(r roleSection) error {
	const from, next, to = "tokens", "tokens.copy.new", "tokens.copy"
	return inside(r.Dir, func(root *os.Root) error {
		if err := root.RemoveAll(next); err != nil {
			return err
		}
		err := fs.WalkDir(root.FS(), from, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			target := next + strings.TrimPrefix(path, from)
			if d.IsDir() {
				return root.Mkdir(target, 0o700)
			}
			data, err := root.ReadFile(path)
			if err != nil {
				return err
			}
			return root.WriteFile(target, data, 0o600)
		})
		if err != nil {
			return err
		}
		return errors.Join(root.RemoveAll(to), root.Rename(next, to))
	})
}

// quiet wants nobody to be able to change the token's directory while the module works in it as root: the role's user has no
// process, and what lies there is folders and files of one name. SoftHSM's configuration is the ceremony's own, so that it
// looks into no other directory.
func (r roleSection) quiet(role string) error {
	if r.UID == nil {
		return nil
	}
	pid, err := processOf(*r.UID)
	if err != nil {
		return err
	}
	if pid != 0 {
		return no("process %d runs as the user of the %s (%d); stop the role first, it starts again with the new key", pid, role, *r.UID)
	}
	return inside(r.Dir, func(root *os.Root) error {
		for _, name := range []string{"softhsm2.conf", "pin"} {
			if info, err := root.Lstat(name); err != nil || !info.Mode().IsRegular() {
				return no("%s is not there, or no file of its own (%v); look at it before a key is made there", r.path(name), err)
			}
		}
		if conf, err := root.ReadFile("softhsm2.conf"); err != nil || !bytes.Equal(conf, r.softHSMConf()) {
			return no("%s is not what the ceremony wrote (%v), and could lead to another token; put it right before a key is made there", r.path("softhsm2.conf"), err)
		}
		return fs.WalkDir(root.FS(), "tokens", func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok || !d.IsDir() && (!info.Mode().IsRegular() || st.Nlink != 1) {
				return no("%s in %s is neither a folder nor a file of its own; look at it before a key is made there", path, r.Dir)
			}
			return nil
		})
	})
}

// processOf finds a process of a user, 0 for none.
func processOf(uid int) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		status, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err != nil {
			continue // it has ended
		}
		for line := range bytes.Lines(status) {
			// Uid: real, effective, saved, file system (proc_pid_status(5))
			if fields := strings.Fields(string(line)); len(fields) == 5 && fields[0] == "Uid:" && (fields[1] == strconv.Itoa(uid) || fields[2] == strconv.Itoa(uid)) {
				return pid, nil
			}
		}
	}
	return 0, nil
}
