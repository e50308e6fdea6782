package wire_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tekend/wire"
)

// counting is a listener that counts its connections.
type counting struct {
	net.Listener
	n *atomic.Int64
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// TestReaderKeepsItsConnection: one connection for many questions, each answered
// anew; another one when the role was started again; and nothing that acts.
func TestReaderKeepsItsConnection(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "role.sock")
	var connections, questions, acts atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/n", func(w http.ResponseWriter, _ *http.Request) {
		wire.Reply(w, http.StatusOK, order{N: int(questions.Add(1))})
	})
	mux.HandleFunc("PUT /v1/n", func(w http.ResponseWriter, _ *http.Request) { acts.Add(1) })
	start := func() (stop func()) {
		l, err := wire.Listen(socket, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		srv := wire.Server(mux, wire.Peers{})
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(counting{l, &connections}) }()
		return func() { _ = srv.Close(); <-done }
	}
	c := wire.NewReader(socket, 5*time.Second)
	ask := func(want int) {
		t.Helper()
		var got order
		if err := c.Do(context.Background(), http.MethodGet, "/v1/n", nil, &got); err != nil || got.N != want {
			t.Fatalf("%+v %v, want %d", got, err, want)
		}
	}
	stop := start()
	for i := range 5 {
		ask(i + 1)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for five questions", n)
	}
	stop()
	defer start()()
	ask(6)
	if err := c.Do(context.Background(), http.MethodPut, "/v1/n", []byte("{}"), nil); err == nil || !strings.Contains(err.Error(), "only reads") || acts.Load() != 0 {
		t.Errorf("a reader acted: %v, %d", err, acts.Load())
	}
}
