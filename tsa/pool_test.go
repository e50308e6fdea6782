package tsa_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tekend/tsa"
)

// other is an authority of somebody else, over HTTPS, with a fault that a test can change.
type other struct {
	unit
	srv   *httptest.Server
	asked atomic.Int32
	fault atomic.Pointer[func(*tsa.Info, http.ResponseWriter, *http.Request) bool]
	gone  chan struct{}
}

// fault changes what is stamped, or answers by itself and gives true.
type misbehave = func(i *tsa.Info, w http.ResponseWriter, r *http.Request) bool

func (o *other) set(f misbehave) { o.fault.Store(&f) }

func newOther(t *testing.T, change ...profile) *other {
	t.Helper()
	o := &other{unit: newUnit(t, change...), gone: make(chan struct{})}
	o.set(well)
	o.srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req, refused := tsa.ParseRequest(body)
		if refused != nil {
			t.Error(refused)
			return
		}
		i := info(req.Imprint.Digest)
		i.Imprint, i.Nonce = req.Imprint, req.Nonce
		if (*o.fault.Load())(&i, w, r) {
			return
		}
		reply, err := tsa.EncodeGranted(o.token(t, encode(t, i)))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(reply)
	}))
	t.Cleanup(func() { close(o.gone); o.srv.Close() })
	return o
}

func well(*tsa.Info, http.ResponseWriter, *http.Request) bool { return false }

// faultsOfOthers are ways in which an authority fails; each must lead to the next one.
func faultsOfOthers(o *other) map[string]misbehave {
	return map[string]misbehave{
		"it hangs": func(_ *tsa.Info, _ http.ResponseWriter, r *http.Request) bool {
			select {
			case <-r.Context().Done():
			case <-o.gone:
			}
			return true
		},
		"it is slow": func(*tsa.Info, http.ResponseWriter, *http.Request) bool {
			time.Sleep(600 * time.Millisecond)
			return false
		},
		"wrong nonce": func(i *tsa.Info, _ http.ResponseWriter, _ *http.Request) bool {
			i.Nonce = new(big.Int).Add(i.Nonce, big.NewInt(1))
			return false
		},
		"no nonce": func(i *tsa.Info, _ http.ResponseWriter, _ *http.Request) bool { i.Nonce = nil; return false },
		"wrong imprint": func(i *tsa.Info, _ http.ResponseWriter, _ *http.Request) bool {
			d := sha256.Sum256([]byte("another"))
			i.Imprint = tsa.Imprint{Hash: crypto.SHA256, Digest: d[:]}
			return false
		},
		"an hour late": func(i *tsa.Info, _ http.ResponseWriter, _ *http.Request) bool {
			i.GenTime = i.GenTime.Add(-time.Hour)
			return false
		},
		"500": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", http.StatusInternalServerError)
			return true
		},
		"503": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return true
		},
		"a web page": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, "<html>")
			return true
		},
		"no time": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			return reject(w, tsa.TimeNotAvailable)
		},
		"another policy only": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			return reject(w, tsa.UnacceptedPolicy)
		},
		"a redirect": func(_ *tsa.Info, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return true
		},
		"it cuts off": func(_ *tsa.Info, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "5000")
			w.Header().Set("Content-Type", "application/timestamp-reply")
			_, _ = w.Write([]byte{0x30})
			return true
		},
	}
}

func reject(w http.ResponseWriter, info tsa.FailureInfo) bool {
	b, err := tsa.EncodeRejected(&tsa.Failure{Info: info, Text: "no"})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	_, _ = w.Write(b)
	return true
}

// member is a client of the authority that trusts its TLS certificate and its root.
func (o *other) member(name string, timeout time.Duration) tsa.Member {
	hc := o.srv.Client()
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return tsa.Member{Name: name, Client: tsa.NewClient(tsa.ClientConfig{URL: o.srv.URL + "/tsa", Roots: o.roots, Now: time.Now, Timeout: timeout}, hc)}
}

func pool(t *testing.T, cfg tsa.PoolConfig, members ...tsa.Member) *tsa.Pool {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p, err := tsa.NewPool(cfg, members...)
	check(t, err)
	return p
}

func (o *other) made(tok *tsa.Token) bool { return tok != nil && tok.Certificate.Equal(o.cert) }

// TestPoolGoesOnToTheNext: whatever the first authority does, the second one stamps, within the budget.
func TestPoolGoesOnToTheNext(t *testing.T) {
	second := newOther(t)
	digest := sha256.Sum256([]byte("document"))
	bad := newOther(t)
	for name, fault := range faultsOfOthers(bad) {
		t.Run(name, func(t *testing.T) {
			bad.set(fault)
			p := pool(t, tsa.PoolConfig{Budget: 5 * time.Second}, bad.member("first", 400*time.Millisecond), second.member("second", 4*time.Second))
			at := time.Now()
			tok, err := p.Stamp(t.Context(), digest[:], crypto.SHA256)
			if err != nil || !second.made(tok) || time.Since(at) > 5*time.Second {
				t.Errorf("%v after %v", err, time.Since(at))
			}
			// Alone, it is an error that says so.
			if _, err := pool(t, tsa.PoolConfig{Budget: time.Second}, bad.member("first", 400*time.Millisecond)).Stamp(t.Context(), digest[:], crypto.SHA256); err == nil {
				t.Error("its answer is taken")
			}
		})
	}
	for name, change := range map[string]profile{
		"expired certificate": func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
		"no time-stamping":    eku(true, codeSigning),
	} {
		p := pool(t, tsa.PoolConfig{}, newOther(t, change).member("first", time.Second), second.member("second", 4*time.Second))
		if tok, err := p.Stamp(t.Context(), digest[:], crypto.SHA256); err != nil || !second.made(tok) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := pool(t, tsa.PoolConfig{}, second.member("second", time.Second)); p.LearnedSize() < 10<<10 {
		t.Errorf("learned %d", p.LearnedSize())
	}
}

// TestBudget: however many hang, a call ends with its budget, and the last one still has its share.
func TestBudget(t *testing.T) {
	digest := sha256.Sum256([]byte("document"))
	var members []tsa.Member
	for range 3 {
		o := newOther(t)
		o.set(faultsOfOthers(o)["it hangs"])
		members = append(members, o.member("hangs", time.Minute))
	}
	at := time.Now()
	if _, err := pool(t, tsa.PoolConfig{Budget: time.Second}, members...).Stamp(t.Context(), digest[:], crypto.SHA256); !errors.Is(err, tsa.ErrUnreachable) || time.Since(at) > 3*time.Second {
		t.Errorf("%v after %v", err, time.Since(at))
	}
	good := newOther(t)
	tok, err := pool(t, tsa.PoolConfig{Budget: 4 * time.Second}, append(members, good.member("good", time.Minute))...).Stamp(t.Context(), digest[:], crypto.SHA256)
	if err != nil || !good.made(tok) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool(t, tsa.PoolConfig{}, good.member("good", time.Minute)).Stamp(ctx, digest[:], crypto.SHA256); err == nil {
		t.Error("a caller who has gone gets a token")
	}
}

// TestCircuitBreaker: after three failures, or one false token, an authority is left alone; after the pause one request tries it.
func TestCircuitBreaker(t *testing.T) {
	digest := sha256.Sum256([]byte("document"))
	first, second := newOther(t), newOther(t)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	p := pool(t, tsa.PoolConfig{Rest: 10 * time.Second, Now: now}, first.member("first", time.Second), second.member("second", time.Second))
	stamp := func() *tsa.Token {
		t.Helper()
		tok, err := p.Stamp(t.Context(), digest[:], crypto.SHA256)
		check(t, err)
		return tok
	}
	asked := func(want int32) {
		t.Helper()
		if got := first.asked.Swap(0); got != want {
			t.Errorf("the first was asked %d times, want %d", got, want)
		}
	}
	first.set(faultsOfOthers(first)["500"])
	for range 10 {
		stamp()
	}
	asked(3)
	if s := p.States(); !s[0].Open || s[0].Fault == nil || s[1].Open || s[1].Fault != nil {
		t.Errorf("%+v", s)
	}
	ahead.Add(int64(11 * time.Second))
	for range 3 {
		stamp() // one tries, and rests for twice as long
	}
	asked(1)
	ahead.Add(int64(11 * time.Second))
	stamp()
	asked(0)
	ahead.Add(int64(10 * time.Second))
	first.set(well)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { stamp() })
	}
	wg.Wait()
	if tok := stamp(); !first.made(tok) || p.States()[0].Open {
		t.Error("it works again, and is not used")
	}
	first.asked.Store(0)
	first.set(faultsOfOthers(first)["wrong imprint"])
	for range 5 {
		stamp()
	}
	asked(1)
	first.set(faultsOfOthers(first)["another policy only"]) // says more of the request
	ahead.Add(int64(2 * time.Minute))
	for range 5 {
		stamp()
	}
	asked(5)
	second.set(faultsOfOthers(second)["500"])
	first.set(faultsOfOthers(first)["wrong nonce"])
	for range 4 {
		_, err := p.Stamp(t.Context(), digest[:], crypto.SHA256)
		if err == nil {
			t.Error("both fail, and there is a token")
		}
	}
	if s := p.States(); !s[0].Open || !s[1].Open {
		t.Errorf("%+v", s)
	}
	first.set(well)
	if tok := stamp(); !first.made(tok) {
		t.Error("when all are left alone, all are asked")
	}
}

func TestPoolNeedsMembers(t *testing.T) {
	if _, err := tsa.NewPool(tsa.PoolConfig{Now: time.Now}); err == nil {
		t.Error("a pool of nobody")
	}
}
