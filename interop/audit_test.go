//go:build interop

package interop

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"tekend/interop/sandboxtest"
)

// TestAuditFromOutside: what the running sandbox's roles leave is whole, is
// what the witness holds, is proven row by row without the database, and is
// time-stamped by another house as OpenSSL sees it; an old copy is found out.
func TestAuditFromOutside(t *testing.T) {
	s := sandboxtest.Start(t)
	var state struct {
		Ports     map[string]int
		Witness   string
		AuditLogs map[string]string `json:"audit_logs"`
		Root      string            `json:"anchor_root"`
	}
	b, err := os.ReadFile(filepath.Join(s.Dir, "state.json"))
	if err != nil || json.Unmarshal(b, &state) != nil {
		t.Fatalf("%s %v", b, err)
	}
	trusted := func(args ...string) (string, error) {
		out, err := exec.Command(sandboxtest.Bin(t, "tekend-trusted"), args...).CombinedOutput()
		return string(out), err
	}
	witness := "http://127.0.0.1:" + fmt.Sprint(state.Ports["witness"])
	config := filepath.Join(s.Dir, "ca", "ca.yaml")
	var out string
	for range 100 { // the anchor comes within seconds of the start
		if out, err = trusted("audit", "verify", "--config", config, "--witness", witness); err == nil && strings.Contains(out, "anchors: 1;") {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil || !strings.Contains(out, "anchors: 1;") || !strings.Contains(out, "nothing was cut off") {
		t.Fatalf("%v\n%s", err, out)
	}

	proofs, err := trusted("audit", "prove", "--config", config, "--seq", "1")
	if err != nil {
		t.Fatal(proofs)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("proofs", proofs)
	if out, err := trusted("audit", "check-proof", "--log-key", state.AuditLogs["ca"], "--witness-key", state.Witness, file); err != nil || !strings.Contains(out, "role.started") {
		t.Errorf("%v %s", err, out)
	}
	if out, err := trusted("audit", "check-proof", "--log-key", state.AuditLogs["sam"], file); err == nil {
		t.Errorf("another log's key: %s", out)
	}

	d, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "ca", "ca.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	var note string
	var token []byte
	if err := d.QueryRow("SELECT c.note, a.token FROM audit_anchors a JOIN audit_checkpoints c ON c.size = a.size").Scan(&note, &token); err != nil {
		t.Fatal(err)
	}
	verify := exec.Command("openssl", "ts", "-verify", "-data", write("note", note), "-in", write("token", string(token)), "-token_in", "-CAfile", write("root.pem", state.Root))
	if out, err := verify.CombinedOutput(); err != nil {
		t.Errorf("openssl: %s", out)
	}

	// An old copy is whole in itself; the witness has seen more since.
	old := filepath.Join(dir, "old.db")
	if _, err := d.ExecContext(context.Background(), "VACUUM INTO ?", old); err != nil {
		t.Fatal(err)
	}
	s.Stop(t)
	s.Run(t)
	keys := []string{"audit", "verify", "--db", old, "--log-key", state.AuditLogs["ca"], "--witness-key", state.Witness}
	if out, err := trusted(keys...); err != nil {
		t.Errorf("the old copy by itself: %s", out)
	}
	for range 100 {
		if out, err = trusted(append(keys, "--witness", witness)...); err != nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err == nil || !strings.Contains(out, "an old copy put back") {
		t.Errorf("the old copy beside the witness: %v %s", err, out)
	}
}
