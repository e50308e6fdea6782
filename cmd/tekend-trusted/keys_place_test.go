package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nobody is a user without processes.
const nobody = 47199

// TestTheCeremonyDoesNotWorkBesideARole: while a process of the role's user lives, or with links where its token's files
// should be, no key is made there.
func TestTheCeremonyDoesNotWorkBesideARole(t *testing.T) {
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens", "0b")
	if err := os.MkdirAll(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	object := write(t, filepath.Join(tokens, "token.object"), "x")
	self, other := os.Getuid(), nobody
	good := string(roleSection{Dir: dir}.softHSMConf())
	conf := write(t, filepath.Join(dir, "softhsm2.conf"), good)
	pin := write(t, filepath.Join(dir, "pin"), "x")
	link := func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) }
	for name, c := range map[string]struct {
		uid  *int
		make func() error
		says string
	}{
		"one user for all": {nil, func() error { return nil }, ""},
		"nobody runs":      {&other, func() error { return nil }, ""},
		"this process":     {&self, func() error { return nil }, "stop the role first"},
		"a link out":       {&other, func() error { return os.Symlink("/etc/passwd", filepath.Join(tokens, "y.object")) }, "y.object"},
		"a second name":    {&other, func() error { return os.Link(object, filepath.Join(dir, "z.object")) }, "token.object"},
		"another token":    {&other, func() error { return os.WriteFile(conf, []byte(strings.ReplaceAll(good, dir, "/etc")), 0o600) }, "could lead to another token"},
		"conf elsewhere":   {&other, func() error { return link(conf) }, "softhsm2.conf"},
		"PIN elsewhere":    {&other, func() error { return link(pin) }, "pin"},
		"a folder's link":  {&other, func() error { return os.Symlink("/etc", filepath.Join(dir, "tokens", "1c")) }, "1c"},
	} {
		if err := c.make(); err != nil {
			t.Fatal(err)
		}
		err := roleSection{Dir: dir, UID: c.uid, GID: c.uid}.quiet("sam")
		if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: it should say %q: %v", name, c.says, err)
		}
		for path, text := range map[string]string{conf: good, pin: "x"} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, text)
		}
		for _, f := range []string{filepath.Join(tokens, "y.object"), filepath.Join(dir, "z.object"), filepath.Join(dir, "tokens", "1c")} {
			if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

// TestNoLinkLeadsTheCeremonyOut: a role that was taken over has put links where the ceremony writes, copies or gives away.
// What they point to stays as it was.
func TestNoLinkLeadsTheCeremonyOut(t *testing.T) {
	outside := t.TempDir()
	secret := write(t, filepath.Join(outside, "secret"), "the secret of another")
	before := fingerprint(t, outside)
	fresh := func() roleSection {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "tokens"), 0o700); err != nil {
			t.Fatal(err)
		}
		uid, gid := os.Getuid(), os.Getgid()
		return roleSection{Dir: dir, UID: &uid, GID: &gid}
	}
	link := func(r roleSection, target, name string) {
		if err := os.Symlink(target, r.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	r := fresh()
	link(r, secret, "root.pem")
	if err := r.give("root.pem", []byte("x"), keepOld); err == nil {
		t.Error("a file was put over a link")
	}
	if err := r.give("root.pem", []byte("x"), replaceOld); err != nil || readText(t, r.path("root.pem")) != "x" {
		t.Errorf("a link is not replaced: %v", err)
	}
	r = fresh()
	link(r, secret, "tokens/token.object")
	if err := refreshCopy(r); err == nil {
		t.Error("the secret of another was copied")
	}
	r = fresh()
	link(r, outside, "tokens.copy")
	if err := refreshCopy(r); err != nil {
		t.Error(err)
	}
	r = fresh()
	link(r, outside, "tokens/there")
	if err := r.own("tokens"); err != nil {
		t.Error(err)
	}
	pki := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(pki, "crl")); err != nil {
		t.Fatal(err)
	}
	if err := writePublic(pki, "crl/root.crl", []byte("x")); err == nil {
		t.Error("a public file was written elsewhere")
	}
	if fingerprint(t, outside) != before || readText(t, secret) != "the secret of another" {
		t.Error("something outside was changed")
	}
	for _, dir := range []string{r.Dir, pki} {
		entries, err := filepath.Glob(filepath.Join(dir, ".*.*"))
		if err != nil || len(entries) != 0 {
			t.Errorf("left over: %v %v", entries, err)
		}
	}
}
