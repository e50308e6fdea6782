package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
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
	c, err := net.Dial("unix", e.listener.Addr().String())
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
