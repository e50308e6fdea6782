package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An owned front may put links into its own folder and wait for the next start,
// where root writes there. Nothing of another role may change by that.
func TestLinksOfAnOwnedFrontAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	s := &sandbox{cmd: &sandboxCmd{Dir: dir, UIDBase: 47100}, isolated: os.Getuid() == 0}
	if err := s.folders(); err != nil {
		t.Fatal(err)
	}
	victim, secret := s.path("sam", "pin"), "only the sam reads this"
	if err := os.WriteFile(victim, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	whole := func(after string) {
		t.Helper()
		var st syscall.Stat_t
		b, err := os.ReadFile(victim)
		if err != nil || string(b) != secret {
			t.Errorf("%s: the file now holds %q (%v)", after, b, err)
		}
		if err := syscall.Stat(victim, &st); err != nil || int(st.Uid) != os.Getuid() {
			t.Errorf("%s: the file now is user %d's (%v)", after, st.Uid, err)
		}
	}
	link := func(name string, hard bool) string {
		t.Helper()
		path := s.path("front", name)
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		make := os.Symlink
		if hard {
			make = os.Link
		}
		if err := make(victim, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, hard := range []bool{false, true} {
		if f, err := s.appendTo("front", link("log", hard)); err == nil && (!hard || s.isolated) {
			t.Error("a link was taken for the front's log")
			_ = f.Close()
		}
		whole("log")
		for name, write := range map[string]func(string) error{
			"provider.key": func(path string) error { return s.own("front", path, []byte("key")) },
			"front.yaml":   func(string) error { return s.role("front", doc{"listen": "fd:3"}) },
		} {
			path := link(name, hard)
			if err := write(path); err != nil {
				t.Error(err)
			}
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v", name, info, err)
			}
			whole(name)
		}
	}
	if err := os.Remove(s.path("front", "blobs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.path("sam"), s.path("front", "blobs")); err != nil {
		t.Fatal(err)
	}
	if s.folders() == nil {
		t.Error("a link was taken for the front's folder")
	}
	if info, err := os.Stat(s.path("sam")); err != nil || info.Mode().Perm() != 0o711 || int(info.Sys().(*syscall.Stat_t).Uid) != s.uid("sam") {
		t.Errorf("the sam's folder now is %v (%v)", info, err)
	}
}

// What the files of a role are when nobody interferes: its own, and the log is
// gone on with.
func TestFilesOfARole(t *testing.T) {
	s := &sandbox{cmd: &sandboxCmd{Dir: t.TempDir(), UIDBase: 47100}, isolated: os.Getuid() == 0}
	if err := s.folders(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := s.appendTo("front", s.path("front", "log"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("line\n"); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if err := s.role("front", doc{"listen": "fd:3"}); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(s.path("front", "log")); err != nil || strings.Count(string(b), "line") != 2 {
		t.Errorf("%q %v", b, err)
	}
	for _, name := range []string{"log", "front.yaml"} {
		info, err := os.Stat(s.path("front", name))
		if err != nil || info.Mode().Perm() != 0o600 || int(info.Sys().(*syscall.Stat_t).Uid) != s.uid("front") {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.cmd.Dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}
