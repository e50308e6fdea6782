package wire_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tekend/wire"
)

type order struct {
	N    int    `json:"n"`
	Text string `json:"text,omitempty"`
}

// serve runs a role with one acting route that counts its arrivals.
func serve(t *testing.T, p wire.Peers, h http.HandlerFunc) (string, *atomic.Int64) {
	t.Helper()
	arrivals := new(atomic.Int64)
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/orders/{hash}", func(w http.ResponseWriter, r *http.Request) {
		arrivals.Add(1)
		h(w, r)
	})
	socket := filepath.Join(t.TempDir(), "role.sock")
	l, err := wire.Listen(socket, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.Server(mux, p)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return socket, arrivals
}

func echo(w http.ResponseWriter, r *http.Request) {
	o, body, err := wire.DecodeHashed[order](w, r)
	if err != nil {
		wire.Fail(w, err)
		return
	}
	wire.Reply(w, http.StatusOK, order{N: o.N, Text: wire.BodyHash(body)})
}

func put(c *wire.Client, body string, out any) error {
	return c.Do(context.Background(), http.MethodPut, "/v1/orders/"+wire.BodyHash([]byte(body)), []byte(body), out)
}

func TestCall(t *testing.T) {
	socket, _ := serve(t, wire.Peers{}, echo)
	var got order
	body := `{"n":7}`
	if err := put(wire.NewClient(socket, time.Second), body, &got); err != nil || got.N != 7 || got.Text != wire.BodyHash([]byte(body)) {
		t.Errorf("%+v %v", got, err)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket mode %v %v", info.Mode(), err)
	}
}

func TestRefusals(t *testing.T) {
	socket, _ := serve(t, wire.Peers{}, echo)
	c := wire.NewClient(socket, time.Second)
	for name, tc := range map[string]struct {
		path, body, code string
		status           int
	}{
		"other hash":     {"/v1/orders/" + wire.BodyHash([]byte("other")), `{"n":1}`, "conflict", 409},
		"duplicate":      {"", `{"n":1,"n":2}`, "bad_request", 400},
		"unknown member": {"", `{"n":1,"m":2}`, "bad_request", 400},
		"too large":      {"", `{"text":"` + strings.Repeat("a", wire.MaxBody) + `"}`, "too_large", 413},
	} {
		path := tc.path
		if path == "" {
			path = "/v1/orders/" + wire.BodyHash([]byte(tc.body))
		}
		err := c.Do(t.Context(), http.MethodPut, path, []byte(tc.body), nil)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != tc.code || e.Status != tc.status {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInternalErrorsDoNotTravel(t *testing.T) {
	socket, _ := serve(t, wire.Peers{}, func(w http.ResponseWriter, _ *http.Request) {
		wire.Fail(w, errors.New("open /secret/pin: denied"))
	})
	err := put(wire.NewClient(socket, time.Second), `{"n":1}`, nil)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Code != "internal" || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestForeignPeerIsRefusedBeforeRouting(t *testing.T) {
	socket, arrivals := serve(t, wire.Peers{UIDs: []uint32{uint32(os.Getuid()) + 1}}, echo)
	err := put(wire.NewClient(socket, time.Second), `{"n":1}`, nil)
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Status != http.StatusForbidden || arrivals.Load() != 0 {
		t.Errorf("%v, %d arrivals", err, arrivals.Load())
	}
}

// TestDroppedReplyIsNotSentAgain: the role acts and the connection dies before
// the answer. The call must arrive once and its outcome be called unknown.
func TestDroppedReplyIsNotSentAgain(t *testing.T) {
	socket, arrivals := serve(t, wire.Peers{}, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	c := wire.NewClient(socket, time.Second)
	for range 3 { // also on what could be a kept connection
		if err := put(c, `{"n":1}`, nil); !errors.Is(err, wire.ErrNoReply) || errors.Is(err, wire.ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
	}
	if n := arrivals.Load(); n != 3 {
		t.Errorf("3 calls arrived %d times", n)
	}
}

func TestNoRoleIsUnreachable(t *testing.T) {
	err := put(wire.NewClient(filepath.Join(t.TempDir(), "none.sock"), time.Second), `{"n":1}`, nil)
	if !errors.Is(err, wire.ErrUnreachable) || errors.Is(err, wire.ErrNoReply) {
		t.Errorf("got %v", err)
	}
}

func TestSlowRoleIsNoReply(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	socket, _ := serve(t, wire.Peers{}, func(http.ResponseWriter, *http.Request) { <-release })
	if err := put(wire.NewClient(socket, 50*time.Millisecond), `{"n":1}`, nil); !errors.Is(err, wire.ErrNoReply) {
		t.Errorf("got %v", err)
	}
}

func TestListenReplacesADeadSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "role.sock")
	l, err := wire.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Listen(path, 0o600); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a living socket was taken over: %v", err)
	}
	l.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := wire.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// A caller who sends calls and never takes an answer is cut off: he must not
// hold memory of the role, nor keep it from ending.
func TestAnswerNobodyTakes(t *testing.T) {
	ended := make(chan struct{}, 100)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer func() { ended <- struct{}{} }()
		wire.Reply(w, http.StatusOK, order{Text: strings.Repeat("a", 8<<20)})
	})
	srv := wire.Server(h, wire.Peers{})
	if srv.WriteTimeout <= wire.MaxCall {
		t.Fatalf("answers may take %v", srv.WriteTimeout)
	}
	srv.WriteTimeout = 300 * time.Millisecond
	socket := filepath.Join(t.TempDir(), "role.sock")
	l, err := wire.Listen(socket, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: role\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the role waits for ever for a caller who takes nothing")
	}
}

// Connections beyond the bound wait until one ends; then they are served.
func TestConnectionsAreBounded(t *testing.T) {
	socket, arrivals := serve(t, wire.Peers{}, echo)
	var idle []net.Conn
	for range wire.MaxConns {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		idle = append(idle, c)
	}
	var out order
	if err := put(wire.NewClient(socket, 300*time.Millisecond), `{"n":1}`, &out); err == nil || arrivals.Load() != 0 {
		t.Errorf("one connection too many was served: %v", err)
	}
	_ = idle[0].Close()
	_ = idle[1].Close() // the one that gave up may have taken the first place
	if err := put(wire.NewClient(socket, 5*time.Second), `{"n":2}`, &out); err != nil || out.N != 2 {
		t.Errorf("%+v %v", out, err)
	}
}

// Close ends an Accept that waits for a place.
func TestCloseWhileFull(t *testing.T) {
	l, err := wire.Listen(filepath.Join(t.TempDir(), "role.sock"), 0o660)
	if err != nil {
		t.Fatal(err)
	}
	for range wire.MaxConns {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { _, err := l.Accept(); done <- err }()
	time.Sleep(20 * time.Millisecond)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Accept did not end")
	}
}

// A socket whose queue is full (a role under a flood) is alive: it is not taken over.
func TestListenTakesNoFullSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "role.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	full := false
	for range 10 {
		c, err := net.DialTimeout("unix", path, 100*time.Millisecond)
		if full = err != nil; full {
			break
		}
		defer func() { _ = c.Close() }()
	}
	if _, err := wire.Listen(path, 0o600); err == nil || !full {
		t.Errorf("full %t, taken over: %v", full, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
