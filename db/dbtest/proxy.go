package dbtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Fate is what happens to a COMMIT on its way.
type Fate int

// The fates.
const (
	Arrives      Fate = iota
	LosesReply        // the server has answered, the answer is dropped and the connection cut
	LosesRequest      // the server never gets it, both sides see the connection end
	Stalls            // the server never gets it and waits for the client, which sees the connection end
	Cut               // the server gets it and the end of the connection at once, nobody waits for the answer
	Lingers           // the server has stored it, and its answer waits for Release
)

// Proxy stands between a program and the server, understands as much of the protocol as it needs
// (https://www.postgresql.org/docs/15/protocol-message-formats.html), and decides about each COMMIT.
type Proxy struct {
	URL string // of the database through the proxy

	server  string
	mu      sync.Mutex
	fate    func(statements []string) Fate
	release chan struct{}
}

// NewProxy begins to forward to the database behind a URL of this package. All COMMITs arrive until
// Decide.
func NewProxy(t testing.TB, source string) *Proxy {
	t.Helper()
	u, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{release: make(chan struct{}), server: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	p.URL = u.String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.forward(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return p
}

// Decide sets what becomes of a COMMIT, by the statements that came before it in its transaction. nil: all
// arrive.
func (p *Proxy) Decide(fate func(statements []string) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = fate
}

// Release lets the answers go that linger, now and later.
func (p *Proxy) Release() { close(p.release) }

func (p *Proxy) decide(statements []string) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fate == nil {
		return Arrives
	}
	return p.fate(statements)
}

// forward serves one connection until an end of it, or a COMMIT, ends it.
func (p *Proxy) forward(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	w := &watch{proxy: p, client: client, server: server, prepared: map[string]string{}}
	go func() {
		_, _ = io.Copy(writer{w}, server) // until the server ends, which the other direction sees
		_ = client.Close()
	}()
	if w.requests() != errStalled {
		_ = server.Close()
	}
}

// watch is one connection.
type watch struct {
	proxy          *Proxy
	client, server net.Conn
	prepared       map[string]string // statements by name
	statements     []string          // of the transaction
	mu             sync.Mutex
	deaf           bool          // answers are dropped
	lingers        bool          // answers wait
	answered       chan struct{} // closed by the first answer that is dropped
}

// writer takes the server's answers to the client.
type writer struct{ *watch }

func (w writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lingers {
		<-w.proxy.release
	}
	if !w.deaf {
		return w.client.Write(b)
	}
	if w.answered != nil {
		close(w.answered)
		w.answered = nil
	}
	return len(b), nil
}

var (
	errStalled = errors.New("the server waits for a client that is gone")
	errCut     = errors.New("the connection was cut")
)

// requests takes the client's messages to the server.
func (w *watch) requests() error {
	in := bufio.NewReader(w.client)
	head := make([]byte, 4) // of the start message, which has no type
	for first := true; ; first = false {
		var kind []byte
		if !first {
			kind = make([]byte, 1)
			if _, err := io.ReadFull(in, kind); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(in, head); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(head)-4)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		message := append(append(kind, head...), body...)
		if !first && w.learn(kind[0], body) {
			if err := w.commit(message); err != nil {
				return err
			}
			continue
		}
		if _, err := w.server.Write(message); err != nil {
			return err
		}
	}
}

// learn follows the statements and tells a COMMIT.
func (w *watch) learn(kind byte, body []byte) (commit bool) {
	parts := strings.SplitN(string(body), "\x00", 3)
	switch kind {
	case 'P': // Parse: name, query
		w.prepared[parts[0]] = parts[1]
	case 'B': // Bind: portal, name
		w.statements = append(w.statements, w.prepared[parts[1]])
	case 'Q':
		switch query := strings.ToLower(parts[0]); {
		case query == "commit":
			return true
		case strings.HasPrefix(query, "begin"):
			w.statements = nil
		default:
			w.statements = append(w.statements, parts[0])
		}
	}
	return false
}

func (w *watch) commit(message []byte) error {
	fate := w.proxy.decide(w.statements)
	w.statements = nil
	answered := make(chan struct{})
	switch fate {
	case LosesRequest:
		return errCut
	case Stalls:
		_ = w.client.Close()
		return errStalled
	case LosesReply, Cut:
		w.mu.Lock()
		w.deaf, w.answered = true, answered
		w.mu.Unlock()
	case Lingers:
		w.mu.Lock()
		w.lingers = true
		w.mu.Unlock()
	}
	if _, err := w.server.Write(message); err != nil || fate == Arrives || fate == Lingers {
		return err
	}
	if fate == LosesReply {
		<-answered
	}
	return errCut
}
