package production_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/production"
)

// one wants exactly one finding, and its words.
func one(t *testing.T, what string, l production.List, says string) {
	t.Helper()
	if says == "" {
		if len(l.Found) != 0 {
			t.Errorf("%s: %v", what, l.Found)
		}
		return
	}
	if len(l.Found) != 1 || !strings.Contains(l.Found[0].String(), says) {
		t.Errorf("%s: it should say %q alone: %v", what, says, l.Found)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ address, scheme, says string }{
		{"", production.HTTPS, ""},
		{"https://sign.acme.be", production.HTTPS, ""},
		{"https://sign.acme.be:8443/x", production.HTTPS, ""},
		{"http://sign.acme.be", production.HTTPS, "must be https"},
		{"https://sign.acme.be", production.HTTP, "must be http, not https"},
		{"http://10.1.2.3:90/w", production.Any, ""},
		{"https://127.0.0.1", production.HTTPS, "this machine"},
		{"https://127.9.9.9", production.HTTPS, "this machine"},
		{"https://[::1]:80", production.HTTPS, "this machine"},
		{"https://0.0.0.0", production.HTTPS, "this machine"},
		{"https://localhost", production.HTTPS, "reserved"},
		{"https://a.LOCALHOST.", production.HTTPS, "reserved"},
		{"https://sign.example", production.HTTPS, "reserved"},
		{"https://pki.tekend-sandbox.test/x", production.HTTPS, "reserved"},
		{"https://www.example.org", production.HTTPS, "reserved"},
		{"https://sign.example.be", production.HTTPS, ""},
		{"https://contest.be", production.HTTPS, ""},
		{"sign.acme.be", production.HTTPS, "not an address"},
		{"https://", production.HTTPS, "not an address"},
	} {
		var l production.List
		l.Address("x", c.address, c.scheme)
		one(t, c.address, l, c.says)
	}
	for host, says := range map[string]string{"ntp.acme.be": "", "ntp.acme.be:123": "", "127.0.0.1:123": "this machine", "time.test": "reserved", "[::1]:123": "this machine"} {
		var l production.List
		l.Host("x", host)
		one(t, host, l, says)
	}
}

func TestFiles(t *testing.T) {
	uid := os.Getuid()
	for _, c := range []struct {
		mode   os.FileMode
		secret string
		config string
	}{
		{0o600, "", ""}, {0o400, "", ""}, {0o640, "make it 0600", ""}, {0o604, "make it 0600", ""}, {0o660, "make it 0600", "make it 0640"}, {0o602, "make it 0600", "make it 0600"},
	} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		var s, f production.List
		s.Secret("x", path, uid)
		one(t, c.mode.String(), s, c.secret)
		f.Config("x", path, uid)
		one(t, c.mode.String(), f, c.config)
	}
	var l production.List
	l.Secret("x", "/nowhere/at/all", uid)
	l.Secret("x", "", uid)
	one(t, "absent", l, "")
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if uid == 0 {
		if err := os.Chown(path, 47199, 47199); err != nil {
			t.Fatal(err)
		}
		l.Secret("x", path, 47101)
		one(t, "another's", l, "belongs to user 47199")
		return
	}
	l.Secret("x", path, uid+1)
	one(t, "another's", l, "belongs to user")
}

func TestPlaces(t *testing.T) {
	for path, says := range map[string]string{
		"/var/lib/tekend/sam/sam.db": "", "/tmp/sam.db": "/tmp", "/var/tmp/x/sam.db": "/var/tmp", "/dev/shm/sam.db": "/dev/shm", "/tmpfs/sam.db": "", "": "",
		"/var/lib/../tmp/x": "/var/tmp",
		"postgres://tekend_sam@/tekend_sam?host=/run/postgresql":                 "",
		"postgres://tekend_sam@db.acme.be/x?sslmode=verify-full":                 "",
		"postgres://tekend_sam@db.acme.be/x":                                     "verify-full",
		"postgres://tekend_sam@db.acme.be/x?sslmode=require":                     "verify-full",
		"postgres://tekend_sam@/x?host=10.0.0.1&sslmode=disable":                 "verify-full",
		"postgresql://tekend_sam@db.acme.be/tekend_sam?sslmode=prefer&host=/run": "",
	} {
		var l production.List
		l.Database("x", path)
		one(t, path, l, says)
	}
	var l production.List
	l.Distinct("a", "/x/a", "b", "/x/b", "why")
	one(t, "one folder", l, "why")
	l = production.List{}
	l.Distinct("a", "/x/a", "b", "/y/b", "why")
	l.Distinct("a", "", "b", "b", "why")
	one(t, "two folders", l, "")
}

func TestAllFindingsAreInOneRefusal(t *testing.T) {
	var l production.List
	if l.Err("f.yaml") != nil {
		t.Error("nothing was found, and refused")
	}
	l.Unless(true, "a", "no")
	l.Unless(false, "b", "set it to %d", 3)
	l.Add("c", "100%% wrong")
	if err := l.Err("f.yaml"); err == nil || err.Error() != "f.yaml says production, and 2 of its settings are for a sandbox only:\n  b: set it to 3\n  c: 100% wrong" {
		t.Error(err)
	}
}
