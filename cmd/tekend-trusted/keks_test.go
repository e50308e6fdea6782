package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"tekend/db/dbtest"
)

// TestKeysUnderEachKEK: operators see, beside the running role, what is under which key-encryption key, when the last of
// it ends, which one may go, and that there is one under which keys are though the role does not know it.
func TestKeysUnderEachKEK(t *testing.T) {
	w := newWorld(t)
	b, err := os.ReadFile(w.path("sam.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "jwks_listen: fd:3", "jwks_listen: 127.0.0.1:0", 1)
	config := write(t, w.path("sam.yaml"), text)
	role := start(t, "sam", config)
	role.health(t, w.path("sam/run/sam.sock"))
	if out := must(t, "keks", "--config", config); out != "kek (in use): 0 keys\n" {
		t.Errorf("%q", out)
	}
	end := time.Date(2029, 11, 25, 0, 0, 0, 0, time.UTC).UnixMicro()
	d := dbtest.Raw(t, w.path("sam/sam.db"))
	defer func() { _ = d.Close() }()
	add := func(id, kek, state, mechanism string) {
		t.Helper()
		_, err := d.Exec(`INSERT INTO links (id, state, generation, iss, ident_aud, ident_sub, confirm_aud, confirm_sub, spki, chain, kind, kek, mechanism, module, blob, created, mac, expires)
			VALUES (?, ?, 1, '', '', '', '', '', '', '', '', ?, ?, '', '', 0, '', ?)`, id, state, kek, mechanism, end)
		if err != nil {
			t.Fatal(err)
		}
	}
	add("1", "kek", "active", "0x0000210A")
	add("2", "kek", "destroyed", "0x0000210A")
	add("3", "kek-2", "active", "0x0000210A")
	add("4", "", "active", "resident")
	code, out, stderr := call(t, "keks", "--config", config)
	if code != exitNo || !strings.Contains(out, "kek (in use): 1 keys, the last one ends 2029-11-25") || !strings.Contains(out, "kek-2 (NOT CONFIGURED): 1 keys") || !strings.Contains(stderr, "1 keys are under") {
		t.Errorf("exit %d\n%s%s", code, out, stderr)
	}
	rolled := write(t, w.path("rolled.yaml"), strings.Replace(text, "\nsam:\n", "\nsam:\n  kek: kek-2\n  previous_keks: [kek, kek-0]\n", 1))
	out = must(t, "keks", "--config", rolled)
	for _, line := range []string{
		"kek (previous): 1 keys, the last one ends 2029-11-25", "kek-2 (in use): 1 keys", "kek-0 (previous): 0 keys: take it out of previous_keks, then destroy it in the token",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
	role.stop(t)
}
