package authority_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tekend/clock"
	"tekend/clock/ntp"
	"tekend/db"
	"tekend/foureyes"
	"tekend/tsa"
	"tekend/tsa/authority"
)

// stations are three servers of time on this machine.
type stations struct {
	mu    sync.Mutex
	state [3]ntp.State
	cfg   clock.Config
}

func (s *stations) set(st ntp.State, which ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range which {
		s.state[i] = st
	}
}

func startStations(t testing.TB) *stations {
	t.Helper()
	s := &stations{cfg: clock.Config{Interval: 200 * time.Millisecond}}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	for i := range s.state {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		check(t, err)
		s.cfg.Sources = append(s.cfg.Sources, clock.SourceConfig{Kind: "ntp", Address: c.LocalAddr().String()})
		served.Go(func() {
			_ = ntp.Simulated{Now: time.Now, State: func() ntp.State { s.mu.Lock(); defer s.mu.Unlock(); return s.state[i] }}.Serve(ctx, c)
		})
	}
	t.Cleanup(func() { stop(); served.Wait() })
	return s
}

// hands are the machine's clocks; the time of day can be set.
type hands struct {
	mu    sync.Mutex
	start time.Time
	ahead time.Duration
}

func (h *hands) set(ahead time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.ahead = ahead }

func (h *hands) read() clock.Reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	return clock.Reading{Wall: now.Round(0).Add(h.ahead), Mono: now.Sub(h.start)}
}

// guarded is a unit whose clock is held against the stations.
type guarded struct {
	*world
	*stations
	*hands
	stop func()
}

func startGuarded(t *testing.T, change func(*clock.Config), operators foureyes.Operators) *guarded {
	t.Helper()
	g := &guarded{world: start(t, softKey(t)), stations: startStations(t), hands: &hands{start: time.Now()}}
	g.close()
	g.dep.Reading = g.read
	if change != nil {
		change(&g.cfg)
	}
	var err error
	g.dep.Sources, err = ntp.Open(g.cfg.Sources, func() time.Time { return g.read().Wall })
	check(t, err)
	g.again(t, operators)
	return g
}

// again starts the role, after it was stopped.
func (g *guarded) again(t *testing.T, operators foureyes.Operators) {
	t.Helper()
	if g.stop != nil {
		g.stop()
	}
	g.dep.Operators = operators
	role, err := authority.New(t.Context(), authority.Config{Now: time.Now, DB: g.path, Clock: &g.cfg, Rate: 10000}, g.dep)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); role.RunClock(ctx) }()
	g.world.serve(t, role)
	g.stop = sync.OnceFunc(func() { cancel(); <-done; g.close() })
	t.Cleanup(g.stop)
}

// ask is one request of a client that takes every time.
func (g *guarded) ask() (*tsa.Token, error) {
	digest := sha256.Sum256([]byte("document"))
	c := tsa.NewClient(tsa.ClientConfig{URL: g.srv.URL + "/tsa", Roots: g.roots(), Now: time.Now, MaxSkew: 100 * time.Hour}, http.DefaultClient)
	return c.Stamp(context.Background(), digest[:], crypto.SHA256)
}

// TestTokensStopWithTheClock, within a second, with real answers over UDP; no token leaves with a time that is wrong, and when the
// sources agree again tokens come again.
func TestTokensStopWithTheClock(t *testing.T) {
	all := []int{0, 1, 2}
	for name, tc := range map[string]struct {
		do, undo func(*guarded)
		kinds    string // of the rows from the fault on
	}{
		"the sources say 2 s": {
			func(g *guarded) { g.stations.set(ntp.State{Ahead: 2 * time.Second}, all...) },
			func(g *guarded) { g.stations.set(ntp.State{}, all...) }, "clock.lost clock.restored",
		},
		"two of them say −0.6 s": {
			func(g *guarded) { g.stations.set(ntp.State{Ahead: -600 * time.Millisecond}, 0, 2) },
			func(g *guarded) { g.stations.set(ntp.State{}, all...) }, "clock.lost clock.restored",
		},
		"each says something else": {
			func(g *guarded) {
				g.stations.set(ntp.State{Ahead: time.Hour}, 0)
				g.stations.set(ntp.State{Ahead: -time.Hour}, 1)
			},
			func(g *guarded) { g.stations.set(ntp.State{}, all...) }, "clock.lost clock.restored",
		},
		"the clock is set ten years ahead and back": {
			func(g *guarded) { g.hands.set(87600 * time.Hour) }, func(g *guarded) { g.hands.set(0) }, "clock.jump clock.restored",
		},
		"the clock is set an hour back and ahead": {
			func(g *guarded) { g.hands.set(-time.Hour) }, func(g *guarded) { g.hands.set(0) }, "clock.jump clock.restored",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGuarded(t, nil, nil)
			stop, granted := g.load(t)
			time.Sleep(300 * time.Millisecond)
			tc.do(g)
			fault := time.Now()
			time.Sleep(1500 * time.Millisecond)
			if h := g.role.Health(t.Context()); h.Ready || len(h.Reasons) == 0 {
				t.Errorf("health during the fault: %+v", h)
			}
			tc.undo(g)
			healed := time.Now()
			for time.Since(healed) < 20*time.Second && !g.role.Health(t.Context()).Ready {
				time.Sleep(20 * time.Millisecond)
			}
			_, err := g.ask()
			check(t, err)
			tokens := granted(stop)
			before, between := 0, 0
			for _, at := range tokens {
				switch {
				case at.Before(fault):
					before++
				case at.After(fault.Add(time.Second)) && at.Before(healed):
					between++
				}
			}
			if before == 0 || between > 0 {
				t.Errorf("%d tokens before the fault, %d more than a second after it", before, between)
			}
			g.wants(t, tc.kinds)
		})
	}
}

// load asks without end until it is stopped, then gives when each token left.
func (g *guarded) load(t *testing.T) (stop func(), granted func(func()) []time.Time) {
	var mu sync.Mutex
	var tokens []time.Time
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				tok, err := g.ask()
				came := time.Now()
				if err == nil {
					if tok.GenTime.Before(asked.Add(-tok.Accuracy)) || tok.GenTime.After(came.Add(tok.Accuracy)) {
						t.Errorf("a token of %v left between %v and %v", tok.GenTime, asked, came)
					}
					mu.Lock()
					tokens = append(tokens, came)
					mu.Unlock()
				} else if failure(err) != tsa.TimeNotAvailable {
					t.Error(err)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	return func() { cancel(); wg.Wait() }, func(stop func()) []time.Time { stop(); return tokens }
}

// wants: the rows about the clock after the first.
func (g *guarded) wants(t *testing.T, kinds string) {
	t.Helper()
	d, err := db.Open(t.Context(), g.path, os.DirFS("."))
	check(t, err)
	defer d.Close()
	var got []string
	for range 100 { // they are written beside the requests
		got = nil
		rows, err := d.Query("SELECT kind FROM audit WHERE kind LIKE 'clock.%' ORDER BY seq")
		check(t, err)
		for rows.Next() {
			var k string
			check(t, rows.Scan(&k))
			got = append(got, k)
		}
		check(t, rows.Err())
		rows.Close()
		if strings.Join(got, " ") == "clock.synchronised "+kinds {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("recorded %v, want clock.synchronised %s", got, kinds)
}

// TestNoTokenWhenTheClockIsLostWhileTheKeyWorks: the time was taken, then the clock was found wrong; the token does not leave.
func TestNoTokenWhenTheClockIsLostWhileTheKeyWorks(t *testing.T) {
	g := startGuarded(t, nil, nil)
	_, err := g.ask()
	check(t, err)
	g.close()
	key := &faulty{Signer: g.dep.Signer}
	g.dep.Signer = key
	g.role, err = authority.New(t.Context(), authority.Config{Now: time.Now, DB: g.path, Clock: &g.cfg}, g.dep)
	check(t, err)
	g.world.serve(t, g.role)
	key.fail = func(v []byte, err error) ([]byte, error) { g.hands.set(5 * time.Second); return v, err }
	if _, err := g.ask(); failure(err) != tsa.TimeNotAvailable {
		t.Errorf("%v", err)
	}
	if got := kindsOf(t, g.world); !slices.Equal(got[len(got)-2:], []string{"tsa.token", "tsa.failed"}) {
		t.Errorf("recorded %v", got)
	}
}

// TestATokenWaitsForItsConfirmation: with confirm, a clock that goes wrong invisibly between two rounds lets no token out; before and
// afterwards a token takes no longer than a round.
func TestATokenWaitsForItsConfirmation(t *testing.T) {
	g := startGuarded(t, func(c *clock.Config) { c.Confirm = true }, nil)
	for range 3 {
		_, err := g.ask()
		check(t, err)
	}
	for range 5 {
		at := time.Now()
		g.stations.set(ntp.State{Ahead: 3 * time.Second}, 0, 1, 2) // as after a virtual machine stood still
		if tok, err := g.ask(); failure(err) != tsa.TimeNotAvailable {
			t.Fatalf("%v %v", tok, err)
		}
		if d := time.Since(at); d > 3*time.Second {
			t.Errorf("refused after %v", d)
		}
		g.stations.set(ntp.State{}, 0, 1, 2)
		for at = time.Now(); !g.role.Health(t.Context()).Ready && time.Since(at) < 20*time.Second; {
			time.Sleep(20 * time.Millisecond)
		}
		_, err := g.ask()
		check(t, err)
	}
}

func kindsOf(t testing.TB, w *world) (kinds []string) {
	t.Helper()
	d, err := db.Open(context.Background(), w.path, os.DirFS("."))
	check(t, err)
	defer d.Close()
	rows, err := d.Query("SELECT kind FROM audit ORDER BY seq")
	check(t, err)
	defer rows.Close()
	for rows.Next() {
		var k string
		check(t, rows.Scan(&k))
		kinds = append(kinds, k)
	}
	check(t, rows.Err())
	return kinds
}

// TestWithoutSourcesHealthSaysSo, and a unit whose sources nobody can reach starts, and makes no token.
func TestWithoutSourcesHealthSaysSo(t *testing.T) {
	w := start(t, softKey(t))
	if h := w.role.Health(t.Context()); !h.Ready || !slices.ContainsFunc(h.Notes, func(n string) bool { return strings.Contains(n, "no source") }) {
		t.Errorf("%+v", h)
	}
	w.close()
	cfg := clock.Config{Sources: []clock.SourceConfig{{Kind: "ntp", Address: "127.0.0.1:1"}, {Kind: "ntp", Address: "127.0.0.1:2"}, {Kind: "ntp", Address: "127.0.0.1:3"}}}
	var err error
	w.dep.Sources, err = ntp.Open(cfg.Sources, time.Now)
	check(t, err)
	role, err := authority.New(t.Context(), authority.Config{Now: w.clock.now, DB: w.path, Clock: &cfg}, w.dep)
	check(t, err)
	w.serve(t, role)
	if _, err := w.stamp(); failure(err) != tsa.TimeNotAvailable {
		t.Errorf("%v", err)
	}
	if h := role.Health(t.Context()); h.Ready || len(h.Notes) < 3 {
		t.Errorf("%+v", h)
	}
	few := clock.Config{Sources: cfg.Sources[:2]}
	if _, err := authority.New(t.Context(), authority.Config{Now: w.clock.now, DB: filepath.Join(t.TempDir(), "x.db"), Clock: &few}, w.dep); err == nil {
		t.Error("it starts with two sources")
	}
}
