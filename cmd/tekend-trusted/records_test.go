package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/db"
)

// TestRecordsVerify: exit 0 when every kept order holds, 1 when one does not or
// the one asked for is not there, 2 when there is nothing to read. What holds and
// what does not is tested in certs/authority; a whole sandbox in interop.
func TestRecordsVerify(t *testing.T) {
	w := newWorld(t)
	config := w.path("ca.yaml")
	if code, _, _ := call(t, "records", "verify", "--config", config); code != exitUsage {
		t.Errorf("no database: exit %d", code)
	}
	role := start(t, "ca", config)
	if h := role.health(t, w.path("ca/run/ca.sock")); h["ready"] != true {
		t.Fatalf("health: %v", h)
	}
	role.stop(t)
	if out := must(t, "records", "verify", "--config", config); !strings.HasPrefix(out, "0 orders were verified again") {
		t.Error(out)
	}
	if code, _, stderr := call(t, "records", "verify", "--config", config, "--serial", "0102"); code != exitNo || !strings.Contains(stderr, "no order") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	d, err := db.Open(context.Background(), filepath.Join(w.dir, "ca", "ca.db"), os.DirFS("../../certs/authority"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.ExecContext(context.Background(), `INSERT INTO orders (hash, state, application_id, serial, spki_sha256, tbs_sha256, terms_version, terms_sha256, at)
		VALUES ('h', 'intent', 'a', '0102', 's', 't', '1', 'x', 1)`)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, out, stderr := call(t, "records", "verify", "--config", config); code != exitNo || out != "" || !strings.Contains(stderr, "0102: the audit has 0 intents") {
		t.Errorf("exit %d, %s%s", code, out, stderr)
	}
}
