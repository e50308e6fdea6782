package wire_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"tekend/wire"
)

// moment is a connection one read of which fails; the bytes stay and the next read gets them.
type moment struct {
	net.Conn
	reads, fails atomic.Int64
}

func (m *moment) Read(b []byte) (int, error) {
	if n := m.reads.Add(1); n == m.fails.Load() {
		return 0, &net.OpError{Op: "read", Err: syscall.EIO}
	}
	return m.Conn.Read(b)
}

type moments struct{ net.Listener }

func (l moments) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m := &moment{Conn: c}
	m.fails.Store(2) // net/http reads on while the handler of the first request works
	return m, nil
}

// net/http takes a client for gone when a read failed, and cancels every request that still comes on the connection. A
// reader that keeps its connections would never be served again.
func TestAConnectionWhoseRequestsAreCancelledIsClosed(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := wire.Listen(socket, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	first := true
	srv := wire.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if first {
			first = false
			<-r.Context().Done()
		}
		wire.Reply(w, http.StatusOK, map[string]bool{"cancelled": r.Context().Err() != nil})
	}), wire.Peers{})
	peer := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return peer(ctx, c.(*moment).Conn) }
	go func() { _ = srv.Serve(moments{l}) }()
	t.Cleanup(func() { _ = srv.Close() })
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	in := bufio.NewReader(c)
	for i, closes := range []bool{false, true} {
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, resp.ContentLength)
		if _, err := in.Read(body); err != nil || resp.StatusCode != http.StatusOK || string(body) != `{"cancelled":true}` {
			t.Fatalf("answer %d: %d %q %v", i+1, resp.StatusCode, body, err)
		}
		if resp.Close != closes {
			t.Errorf("answer %d closes the connection: %v, want %v", i+1, resp.Close, closes)
		}
	}
}
