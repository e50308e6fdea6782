package signer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// proxy stands in front of a role's Unix socket and breaks calls: before the role gets them, or after it
// has acted. It is the network between front and trusted side, not a stand-in for either.
type proxy struct {
	t      testing.TB
	socket string

	mu    sync.Mutex
	rules []*rule
	calls []string // "METHOD /path" in the order of arrival
	down  bool

	messages []message // whole, for owned_test.go
}

type fault int

const (
	requestLost fault = iota // it did not happen
	replyLost                // it did happen
)

func (f fault) String() string { return [...]string{"request lost", "reply lost"}[f] }

// rule breaks the n-th call (from 1) that matches; n 0 breaks every one.
type rule struct {
	match *regexp.Regexp
	n     int
	fault fault
	seen  int
	hit   int
	done  bool
	// at runs while the call is held, before the front learns anything.
	at func()
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, socket: filepath.Join(filepath.Dir(target), "p.sock")}
	_ = os.Remove(p.socket)
	ln, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", target)
		},
	}}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(hc, w, r) })}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return p
}

func (p *proxy) serve(hc *http.Client, w http.ResponseWriter, r *http.Request) {
	call := r.Method + " " + r.URL.Path
	// net/http resends a request with such a header after a lost reply (house §4): a PUT would be one call that
	// arrives twice. The client's key ends at the front.
	for _, h := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if _, there := r.Header[h]; there {
			p.t.Errorf("%s carries %s", call, h)
		}
	}
	p.mu.Lock()
	p.calls = append(p.calls, call)
	down := p.down
	var broken *rule
	for _, x := range p.rules {
		if x.match.MatchString(call) {
			x.seen++
			if x.n == 0 || x.n == x.seen {
				x.hit++
				broken = x
			}
		}
	}
	p.mu.Unlock()
	if down || broken != nil && broken.fault == requestLost {
		p.strike(broken)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	p.mu.Lock()
	p.messages = append(p.messages, message{method: r.Method, path: r.URL.RequestURI(), media: r.Header.Get("Content-Type"), body: body})
	p.mu.Unlock()
	// The role finishes what it was asked, whatever happens to the caller.
	out, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, "http://role"+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = r.Header.Clone()
	res, err := hc.Do(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(res.Body)
	if err != nil || broken != nil {
		p.strike(broken)
	}
	for k, v := range res.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(reply)
}

// breakCall adds a rule.
func (p *proxy) breakCall(match string, n int, f fault) *rule {
	r := &rule{match: regexp.MustCompile(match), n: n, fault: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
	return r
}

// heal removes all rules and takes the partner up again.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.down = nil, false
}

func (p *proxy) takeDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
}

// untilDown waits until a fault has taken the partner down: a request is in state activating before Sign arrives.
func (p *proxy) untilDown(t testing.TB) {
	t.Helper()
	for range 1000 {
		p.mu.Lock()
		down := p.down
		p.mu.Unlock()
		if down {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the partner was not taken down")
}

// count is how many calls matched so far.
func (p *proxy) count(match string) int {
	re := regexp.MustCompile(match)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, c := range p.calls {
		if re.MatchString(c) {
			n++
		}
	}
	return n
}

// await waits until the rule has broken a call and its at has run.
func (p *proxy) await(t testing.TB, r *rule) {
	t.Helper()
	for range 3000 {
		p.mu.Lock()
		done := r.done
		p.mu.Unlock()
		if done {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the call never came")
}

// strike runs what belongs to a broken call and ends its connection without a word.
func (p *proxy) strike(r *rule) {
	if r != nil {
		if r.at != nil {
			r.at()
		}
		p.mu.Lock()
		r.done = true
		p.mu.Unlock()
	}
	panic(http.ErrAbortHandler)
}

func (p *proxy) hits(r *rule) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.hit
}

func (p *proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.calls)
}
