package revocation_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/certs"
	"tekend/revocation"
)

func fetcher(change ...func(*revocation.FetcherConfig)) *revocation.Fetcher {
	cfg := revocation.FetcherConfig{AllowPrivate: true, Timeout: 2 * time.Second, CRLTimeout: 2 * time.Second, Stall: 300 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	return revocation.NewFetcher(cfg)
}

// TestFetch: the three errands, and that a question arrives as it was sent.
func TestFetch(t *testing.T) {
	query := []byte("a question")
	var seen atomic.Pointer[http.Request]
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r)
		body := must(io.ReadAll(r.Body))
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, body)
	})
	f := fetcher()
	got, err := f.OCSP(t.Context(), h.URL+"/ocsp?x=y", query)
	r := seen.Load()
	if err != nil || string(got) != "POST a question" || r.Header.Get("Content-Type") != "application/ocsp-request" || r.URL.RawQuery != "x=y" || r.Header.Get("Accept-Encoding") != "" {
		t.Errorf("%q %v %v", got, err, r.Header)
	}
	if got, err := f.CRL(t.Context(), h.URL+"/x.crl"); err != nil || string(got) != "GET " {
		t.Errorf("%q %v", got, err)
	}
	if got, err := f.Certificate(t.Context(), h.URL+"/x.crt"); err != nil || string(got) != "GET " {
		t.Errorf("%q %v", got, err)
	}
}

// TestHostsThatAreBad: each ends in time, with an error of its class that names the host and nothing else.
func TestHostsThatAreBad(t *testing.T) {
	forEver := func(w http.ResponseWriter, chunk []byte, pause time.Duration, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
	}
	wait := func(r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server notice that its client left
		<-r.Context().Done()
	}
	big := make([]byte, 64<<10)
	for name, tc := range map[string]struct {
		do     http.HandlerFunc
		want   string
		within time.Duration
	}{
		"silent": {func(_ http.ResponseWriter, r *http.Request) { wait(r) }, "unreachable", 3 * time.Second},
		"silent in the body": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte{0x30})
			_ = http.NewResponseController(w).Flush()
			wait(r)
		}, "unreachable", time.Second},
		"a byte at a time": {func(w http.ResponseWriter, r *http.Request) { forEver(w, []byte{0}, 100*time.Millisecond, r) }, "unreachable", 3 * time.Second},
		"without end":      {func(w http.ResponseWriter, r *http.Request) { forEver(w, big, 0, r) }, "refused", time.Second},
		"says it is huge": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999999999")
			w.WriteHeader(200)
		}, "refused", time.Second},
		"a head without end": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 4000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), "0123456789")
			}
		}, "unreachable", time.Second},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}, "unreachable", time.Second},
		"zipped": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte{0x1f, 0x8b})
		}, "", time.Second},
		"HTTP 503": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			_, _ = w.Write([]byte("secret of the host"))
		}, "unreachable", time.Second},
		"HTTP 204":                {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "unreachable", time.Second},
		"a redirect to nowhere":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, "refused", time.Second},
		"a loop":                  {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 302) }, "refused", time.Second},
		"to a file":               {redirect("file:///etc/passwd"), "refused", time.Second},
		"to another protocol":     {redirect("gopher://127.0.0.1:11211/_stats"), "refused", time.Second},
		"with a user":             {redirect("http://user:secret@127.0.0.1/"), "refused", time.Second},
		"to something unreadable": {redirect("http://%zz/"), "refused", time.Second},
	} {
		h := newHost(t, tc.do)
		began := time.Now()
		got, err := fetcher().OCSP(t.Context(), h.URL+"/jan-jansen?token=secret", []byte("q"))
		if c := classes(err); c != tc.want || time.Since(began) > tc.within {
			t.Errorf("%s: %v after %v (%d bytes)", name, err, time.Since(began), len(got))
		}
		if err != nil && (strings.Contains(err.Error(), "jan-jansen") || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), strings.TrimPrefix(h.URL, "http://"))) {
			t.Errorf("%s: the error says too much, or not whom: %v", name, err)
		}
		h.CloseClientConnections()
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := fetcher().CRL(t.Context(), gone.URL); classes(err) != "unreachable" {
		t.Error(err)
	}
	if _, err := fetcher().CRL(t.Context(), "http://no-such-host.invalid/"); classes(err) != "unreachable" {
		t.Error(err)
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// TestRedirects: three are followed, a question is asked again behind them, and nobody leads from https to http.
func TestRedirects(t *testing.T) {
	hops := func(n int) *host {
		h := newHost(t, nil)
		h.does(func(w http.ResponseWriter, r *http.Request) {
			var i int
			if _, _ = fmt.Sscanf(r.URL.Path, "/%d", &i); i < n {
				http.Redirect(w, r, fmt.Sprintf("/%d", i+1), []int{301, 302, 307, 308}[i%4])
				return
			}
			_, _ = fmt.Fprintf(w, "%s %s", r.Method, must(io.ReadAll(r.Body)))
		})
		return h
	}
	for n, want := range []string{"", "", "", "", "refused"} {
		got, err := fetcher().OCSP(t.Context(), hops(n).URL+"/0", []byte("q"))
		if classes(err) != want || err == nil && string(got) != "POST q" {
			t.Errorf("%d redirects: %q %v", n, got, err)
		}
	}
	plain := newHost(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("plain")) })
	secure := httptest.NewTLSServer(redirect(plain.URL))
	defer secure.Close()
	pool := x509.NewCertPool()
	pool.AddCert(secure.Certificate())
	trusting := fetcher(func(c *revocation.FetcherConfig) { c.Roots = pool })
	if got, err := trusting.CRL(t.Context(), secure.URL); classes(err) != "refused" || plain.asked.Load() != 0 {
		t.Errorf("from https to http: %q %v", got, err)
	}
	if _, err := fetcher().CRL(t.Context(), secure.URL); classes(err) != "refused" {
		t.Errorf("a host whose certificate is not trusted: %v", err)
	}
	up := newHost(t, redirect(secure.URL))
	secure.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("secure")) })
	if got, err := trusting.CRL(t.Context(), up.URL); err != nil || string(got) != "secure" {
		t.Errorf("from http to https: %q %v", got, err)
	}
}

// TestSizes: the largest of each errand is read, a byte more is not.
func TestSizes(t *testing.T) {
	var size atomic.Int64
	h := newHost(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush() // so that no length is told
		_, _ = io.CopyN(w, zeros{}, size.Load())
	})
	f := fetcher(func(c *revocation.FetcherConfig) { c.CRLTimeout, c.Stall = time.Minute, 10*time.Second })
	for name, tc := range map[string]struct {
		limit int64
		fetch func() ([]byte, error)
	}{
		"ocsp":        {certs.MaxOCSPResponse, func() ([]byte, error) { return f.OCSP(t.Context(), h.URL, nil) }},
		"certificate": {64 << 10, func() ([]byte, error) { return f.Certificate(t.Context(), h.URL) }},
		"crl":         {certs.MaxCRL, func() ([]byte, error) { return f.CRL(t.Context(), h.URL) }},
	} {
		size.Store(tc.limit)
		if got, err := tc.fetch(); err != nil || int64(len(got)) != tc.limit {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		size.Store(tc.limit + 1)
		if got, err := tc.fetch(); classes(err) != "refused" {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestManyHugeListsDoNotFillTheMemory: eight hosts send lists without end at a time.
func TestManyHugeListsDoNotFillTheMemory(t *testing.T) {
	h := newHost(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, zeros{}) })
	f := fetcher(func(c *revocation.FetcherConfig) { c.CRLTimeout, c.Stall = time.Minute, 10*time.Second })
	runtime.GC()
	var most atomic.Uint64
	stop := make(chan struct{})
	var watch, group sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapAlloc))
			}
		}
	})
	for range 8 {
		group.Go(func() {
			if _, err := f.CRL(t.Context(), h.URL); classes(err) != "refused" {
				t.Error(err)
			}
		})
	}
	group.Wait()
	close(stop)
	watch.Wait()
	t.Logf("at most %d MB in use", most.Load()>>20)
	if most.Load() > 256<<20 {
		t.Errorf("%d MB in use", most.Load()>>20)
	}
}

// nameServer is a DNS server that gives one address for every name; each question may get another.
func nameServer(t testing.TB, addresses ...string) *net.Resolver {
	t.Helper()
	conn := must((&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int64
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			a := netip.MustParseAddr(addresses[min(int(asked.Load()), len(addresses)-1)])
			if answered, reply := dnsReply(buf[:n], a); reply != nil {
				if answered {
					asked.Add(1)
				}
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsReply answers a question for an address of this kind (RFC 1035 §4.1), and leaves others without one.
func dnsReply(q []byte, a netip.Addr) (answered bool, reply []byte) {
	end := bytes.IndexByte(q[12:], 0) + 12 + 5
	if len(q) < end {
		return false, nil
	}
	reply = append(bytes.Clone(q[:2]), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	reply = append(reply, q[12:end]...)
	kind := binary.BigEndian.Uint16(q[end-4:])
	if kind == 1 && a.Is4() || kind == 28 && a.Is6() {
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(a.BitLen()/8))
		return true, append(reply, a.AsSlice()...)
	}
	return false, reply
}

// TestPrivateNetworksAreRefused: by address, by name, by a name that changes its mind, and behind a redirect; and nobody there
// gets so much as a connection.
func TestPrivateNetworksAreRefused(t *testing.T) {
	h := newHost(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	port := must(url.Parse(h.URL)).Port()
	closed := func(c *revocation.FetcherConfig) { c.AllowPrivate = false }
	for _, address := range []string{
		h.URL, "http://localhost:" + port, "http://[::1]:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://0.0.0.0:" + port, "http://[::]:" + port,
		"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fd00::1]/", "http://[64:ff9b::7f00:1]/", "http://100.64.0.1/", "http://255.255.255.255/",
	} {
		got, err := fetcher(closed).CRL(t.Context(), address)
		if classes(err) != "refused" || !strings.Contains(err.Error(), "open Internet") {
			t.Errorf("%s: %q %v", address, got, err)
		}
	}
	for _, name := range []string{"127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "10.1.2.3", "::1", "fe80::1", "fd00::1", "64:ff9b::a00:1", "100.100.100.200", "0.0.0.0"} {
		to := func(c *revocation.FetcherConfig) { c.AllowPrivate, c.Resolver = false, nameServer(t, name) }
		got, err := fetcher(to).CRL(t.Context(), "http://crl.attacker.example:"+port+"/")
		if classes(err) != "refused" || !strings.Contains(err.Error(), "open Internet") {
			t.Errorf("a name for %s: %q %v", name, got, err)
		}
	}
	// A name that was public when somebody looked leads inside when it is dialled: there is no looking apart from dialling.
	rebinds := func(c *revocation.FetcherConfig) {
		c.AllowPrivate, c.Resolver, c.Stall = false, nameServer(t, "192.0.2.1", "127.0.0.1"), 200*time.Millisecond
	}
	f := fetcher(rebinds)
	for range 3 {
		if got, err := f.CRL(t.Context(), "http://crl.attacker.example:"+port+"/"); classes(err) != "refused" {
			t.Errorf("%q %v", got, err)
		}
	}
	if n := h.asked.Load(); n != 0 {
		t.Fatalf("the host inside was asked %d times", n)
	}
	// The tests' name server works: where private addresses are allowed, the same name leads to the host.
	to := func(c *revocation.FetcherConfig) { c.Resolver = nameServer(t, "127.0.0.1") }
	if got, err := fetcher(to).CRL(t.Context(), "http://crl.attacker.example:"+port+"/"); err != nil || string(got) != "inside" {
		t.Errorf("%q %v", got, err)
	}
}

// TestATimeOfTheCallerCounts: a caller that leaves is not kept.
func TestATimeOfTheCallerCounts(t *testing.T) {
	h := newHost(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := fetcher().OCSP(ctx, h.URL, nil); !errors.Is(err, revocation.ErrUnreachable) || time.Since(began) > time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	h.CloseClientConnections()
}

// TestFewAtATime: one host never has more connections than allowed.
func TestFewAtATime(t *testing.T) {
	var now, most atomic.Int64
	h := newHost(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(10 * time.Millisecond)
		now.Add(-1)
		_, _ = w.Write([]byte("x"))
	})
	f := fetcher(func(c *revocation.FetcherConfig) { c.PerHost = 3 })
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if _, err := f.OCSP(t.Context(), h.URL, []byte("q")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most.Load() > 3 {
		t.Errorf("%d at a time", most.Load())
	}
}
