package clock

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// run is one row of the table in a bubble.
func (f fault) run(t *testing.T) {
	m, events := &machine{}, []string{}
	f.wait(t)
	m.start = time.Now()
	g := newGuard(t, m, &events)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.stop = stop
	go func() { defer close(done); g.Run(ctx) }()
	defer func() {
		stop()
		<-done
		time.Sleep(2 * time.Hour) // what hangs comes to its end
	}()
	time.Sleep(time.Second)
	seen := f.look(t, m, g, &events)
	if f.want == "" {
		if seen.refused > 0 {
			t.Errorf("no time for a while, from %v on: %v", seen.first, seen.why)
		}
		return
	}
	switch {
	case seen.why == nil:
		t.Fatal("time is given all the while")
	case seen.why.Code != f.want:
		t.Errorf("refused with %s (%v), want %s", seen.why.Code, seen.why, f.want)
	}
	if late := seen.first - f.due; late > time.Second {
		t.Errorf("refused %v after it was due", late)
	}
	if !f.back && seen.last > f.due+time.Second {
		t.Errorf("time was given again %v after the fault", seen.last)
	}
	if f.back && seen.last < seen.first {
		t.Error("time was not given again")
	}
	if got := strings.Join(events[seen.before:], " "); f.events != "" && got != f.events {
		t.Errorf("told %q, want %q", got, f.events)
	}
	t.Logf("refused %v after it was due; %d times given before, %d wrong", seen.first-f.due, seen.given, seen.wrong)
}

// wait lets the bubble's time come to where the fault begins.
func (f fault) wait(t *testing.T) {
	from := noon
	if f.from != "" {
		from = f.from
	}
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(at))
}

// seen is what a client saw.
type seen struct {
	given, refused, wrong int
	first, last           time.Duration // of the first refusal and the last time given, after the fault
	why                   *Doubt        // of the first
	before                int           // events before the fault
}

// look asks for the time every 5 ms, as requests would, and holds each to the truth.
func (f fault) look(t *testing.T, m *machine, g *Guard, events *[]string) (s seen) {
	lasts := f.lasts
	if lasts == 0 {
		lasts = 5 * time.Second
	}
	happened := false
	for m.elapsed() < begin+lasts {
		if !happened && m.elapsed() >= begin {
			if s.refused > 0 || s.given == 0 {
				t.Fatalf("before the fault: %+v", s)
			}
			happened, s.before = true, len(*events)
			f.do(m)
		}
		at, err := g.Now()
		after := m.elapsed() - begin
		var d *Doubt
		switch {
		case err == nil:
			s.given++
			s.last = after
			if off := at.Sub(m.utc()).Abs(); off > accuracy {
				s.wrong++
				if !f.blind || after > f.due+time.Second {
					t.Fatalf("a time %v off was given %v after the fault", off, after)
				}
			}
		case errors.As(err, &d):
			if s.refused++; s.why == nil {
				s.first, s.why = after, d
			}
		default:
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return s
}

// TestConfirmedTimes: with Confirm no time at all leaves that was wrong when it was taken, whatever happens to the clocks; before the
// fault they do leave, within an interval and the answers.
func TestConfirmedTimes(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { synctest.Test(t, f.runConfirmed) })
	}
}

func (f fault) runConfirmed(t *testing.T) {
	m, events := &machine{}, []string{}
	f.wait(t)
	m.start = time.Now()
	g := newGuard(t, m, &events, func(c *Config) { c.Confirm = true })
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	var all sync.WaitGroup
	all.Go(func() { g.Run(ctx) })
	defer func() {
		stop()
		all.Wait()
		time.Sleep(2 * time.Hour)
	}()
	time.Sleep(time.Second)
	var left, wrong, slow atomic.Int32
	happened := false
	for lasts := max(f.lasts, 5*time.Second); m.elapsed() < begin+lasts; time.Sleep(20 * time.Millisecond) {
		if !happened && m.elapsed() >= begin {
			if left.Load() == 0 || slow.Load() > 0 {
				t.Fatalf("before the fault %d left, %d slowly", left.Load(), slow.Load())
			}
			happened = true
			f.do(m)
		}
		at, err := g.Now()
		taken, now := m.utc(), m.elapsed()
		if err != nil {
			continue
		}
		all.Go(func() {
			if g.Confirm(context.Background()) != nil {
				return
			}
			left.Add(1)
			if at.Sub(taken).Abs() > accuracy {
				wrong.Add(1)
			}
			if m.elapsed()-now > 600*time.Millisecond {
				slow.Add(1)
			}
		})
	}
	if wrong.Load() > 0 {
		t.Errorf("%d of %d times that left were wrong", wrong.Load(), left.Load())
	}
}

// TestNoTimeBeforeTheSourcesAgree, and none when they say that the clock is wrong from the start.
func TestNoTimeBeforeTheSourcesAgree(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*machine)
		want Code // empty: time is given
	}{
		"all well":             {func(*machine) {}, ""},
		"nobody answers":       {change(silent, three...), Unsynchronised},
		"one answers":          {change(silent, 0, 2), Unsynchronised},
		"two answer":           {change(silent, 2), ""},
		"they contradict":      {and(off(2*time.Second, 0), off(-2*time.Second, 1)), Disagree},
		"the clock is 2 s off": {wallStep(2 * time.Second), Wrong},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, events := &machine{start: time.Now()}, []string{}
				g := newGuard(t, m, &events)
				if _, err := g.Now(); !refused(err, Unsynchronised) {
					t.Errorf("before anybody was asked: %v", err)
				}
				tc.do(m)
				g.Round(t.Context())
				_, err := g.Now()
				if tc.want == "" && err != nil || tc.want != "" && !refused(err, tc.want) {
					t.Errorf("%v, want %q", err, tc.want)
				}
			})
		})
	}
}

func refused(err error, code Code) bool {
	d, ok := errors.AsType[*Doubt](err)
	return ok && d.Code == code
}

// TestDoubtsThatReturnTakeLongerToEnd, and do not fill the record.
func TestDoubtsThatReturnTakeLongerToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, events := &machine{start: time.Now()}, []string{}
		g := newGuard(t, m, &events)
		var took []int
		g.Round(t.Context())
		for range 8 {
			wallStep(100 * time.Millisecond)(m)
			if _, err := g.Now(); !refused(err, Jumped) {
				t.Fatal(err)
			}
			wallStep(-100 * time.Millisecond)(m)
			n := 0
			for err := error(nil); n == 0 || err != nil; n++ {
				g.Round(t.Context())
				time.Sleep(time.Second)
				_, err = g.Now()
			}
			took = append(took, n)
		}
		for i, want := range []int{2, 4, 8, 16, 32, 32, 32, 32} {
			if took[i] != want {
				t.Errorf("doubt %d took %d rounds, want %d", i, took[i], want)
			}
		}
		if len(events) != 1+2*8 {
			t.Errorf("%d events: %v", len(events), events)
		}
	})
}

// TestSynchronisationIsToldHourly: 24 hours give 24 rows and the first.
func TestSynchronisationIsToldHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, events := &machine{start: time.Now()}, []string{}
		g := newGuard(t, m, &events)
		for range 24*60 + 1 {
			g.Round(t.Context())
			time.Sleep(time.Minute)
		}
		if len(events) != 25 {
			t.Errorf("%d events", len(events))
		}
		s := g.Status()
		if s.Doubt != nil && s.Doubt.Code != Stale || s.Error <= 10*time.Millisecond || s.Error > 50*time.Millisecond || len(s.Sources) != 3 || !s.Sources[0].Agrees {
			t.Errorf("%+v", s)
		}
	})
}

func TestConfig(t *testing.T) {
	list := func(n int) (l []SourceConfig) {
		for i := range n {
			l = append(l, SourceConfig{Kind: "ntp", Address: string(rune(97 + i))})
		}
		return l
	}
	for name, tc := range map[string]struct {
		cfg Config
		ok  bool
	}{
		"three":              {Config{Sources: list(3)}, true},
		"five, all":          {Config{Sources: list(5), Need: 5}, true},
		"none":               {Config{}, false},
		"one":                {Config{Sources: list(1)}, false},
		"two":                {Config{Sources: list(2)}, false},
		"one twice":          {Config{Sources: append(list(3), list(1)...)}, false},
		"no address":         {Config{Sources: append(list(3), SourceConfig{})}, false},
		"need two of four":   {Config{Sources: list(4), Need: 2}, false},
		"need four of three": {Config{Sources: list(3), Need: 4}, false},
		"interval of 1 ms":   {Config{Sources: list(3), Interval: time.Millisecond}, false},
		"interval of 1 h":    {Config{Sources: list(3), Interval: time.Hour}, false},
		"max_age of a day":   {Config{Sources: list(3), MaxAge: 24 * time.Hour}, false},
		"max_age below it":   {Config{Sources: list(3), Interval: time.Minute, MaxAge: time.Minute}, false},
	} {
		if err := tc.cfg.Complete(); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgreement: the largest group that can all be true, as in RFC 5905.
func TestAgreement(t *testing.T) {
	ms := time.Millisecond
	at := func(off, unc time.Duration) answer {
		return answer{Measurement: Measurement{Offset: off, Uncertainty: unc}}
	}
	bad := answer{err: errors.New("bad")}
	for name, tc := range map[string]struct {
		answers   []answer
		count     int
		low, high time.Duration
	}{
		"none":           {[]answer{bad, bad}, 0, 0, 0},
		"one":            {[]answer{at(5*ms, 2*ms), bad}, 1, 3 * ms, 7 * ms},
		"overlap":        {[]answer{at(0, 10*ms), at(8*ms, 10*ms), at(5*ms, 20*ms)}, 3, -2 * ms, 10 * ms},
		"one apart":      {[]answer{at(0, 10*ms), at(8*ms, 10*ms), at(500*ms, 20*ms)}, 2, -2 * ms, 10 * ms},
		"touching":       {[]answer{at(0, 10*ms), at(20*ms, 10*ms)}, 2, 10 * ms, 10 * ms},
		"within another": {[]answer{at(0, 100*ms), at(20*ms, 1*ms)}, 2, 19 * ms, 21 * ms},
		"a chain":        {[]answer{at(0, 10*ms), at(15*ms, 10*ms), at(30*ms, 10*ms)}, 2, 5 * ms, 10 * ms},
	} {
		got := agree(tc.answers)
		if got.count != tc.count || got.low != tc.low || got.high != tc.high {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
