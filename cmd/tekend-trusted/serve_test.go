package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A caller who takes no answer does not keep a role from ending: its Close
// waits for running calls, so these must end after stopTimeout.
func TestCallerWhoTakesNothingDoesNotHoldUpTheEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("takes stopTimeout")
	}
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	e, err := socketSection{Socket: filepath.Join(t.TempDir(), "role.sock")}.open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		close(begun)
		_, _ = w.Write(make([]byte, 8<<20))
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &program{ctx: ctx, log: slog.New(slog.DiscardHandler), now: time.Now}
	done := make(chan error, 1)
	go func() { done <- serve(p, "test", e) }()
	c, err := net.Dial("unix", e.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: role\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	<-begun
	stop()
	<-done
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the call is still waiting for its caller")
	}
}

// A sam that is started beside a running one settles nothing of what the
// running one is doing: it ends before it opens the record.
func TestASecondSAMLeavesTheRecordAlone(t *testing.T) {
	w := newWorld(t)
	config := w.path("sam.yaml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "jwks_listen: fd:3", "jwks_listen: 127.0.0.1:0", 1)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	role := start(t, "sam", config)
	role.health(t, w.path("sam/run/sam.sock"))
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", role.cmd.Process.Pid))
	if fields := strings.Fields(string(limits)); err != nil || !strings.Contains(strings.Join(fields, " "), "Max core file size 0 0 bytes") {
		t.Errorf("the role's memory may go to a core file: %v %v", fields, err)
	}
	before := must(t, "audit", "verify", "--config", config)
	code, _, stderr := call(t, "sam", "--config", config)
	if code == 0 || !strings.Contains(stderr, "another process answers there") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if after := must(t, "audit", "verify", "--config", config); after != before {
		t.Errorf("the record was %s and is %s", before, after)
	}
	if h := role.health(t, w.path("sam/run/sam.sock")); h["ready"] != true {
		t.Errorf("health: %v", h)
	}
	role.stop(t)
}
