package clock

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// machine is a computer whose clocks go as a test says, and whose true time is that of the test's bubble.
type machine struct {
	mu         sync.Mutex
	start      time.Time
	wall, mono hand
	truth      time.Duration // how far true time is beyond the bubble's
	sources    [3]simulated
	stop       func() // ends Run
}

// hand is one clock: what it shows beyond true time, and how it goes on from a moment.
type hand struct {
	ahead time.Duration // at since
	since time.Duration // true time since the machine's start
	speed float64       // of true time, less 1: 0 is right, -1 stands still
}

func (h hand) at(t time.Duration) time.Duration {
	return t + h.ahead + time.Duration(float64(t-h.since)*h.speed)
}

// simulated is a source of time.
type simulated struct {
	off, uncertain, delay time.Duration
	leap                  Leap
	err                   error
	hang                  bool
	same                  bool // it says the same for ever
	drift                 float64
	kept                  *Measurement
	since                 time.Duration
}

func (m *machine) elapsed() time.Duration { return time.Since(m.start) }

// utc is the time that it really is.
func (m *machine) utc() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.start.Add(m.elapsed() + m.truth)
}

func (m *machine) read() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.elapsed()
	return Reading{m.start.Add(m.wall.at(t)), m.mono.at(t)}
}

// with changes the machine.
func (m *machine) with(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// step moves a clock and lets it go at a speed from now on.
func (m *machine) step(h *hand, by time.Duration, speed float64) {
	t := m.elapsed()
	*h = hand{h.at(t) - t + by, t, speed}
}

type source struct {
	m *machine
	i int
}

func (s source) Measure(ctx context.Context) (Measurement, error) {
	s.m.mu.Lock()
	c := s.m.sources[s.i]
	s.m.mu.Unlock()
	if c.hang {
		time.Sleep(time.Hour) // not even ctx helps
	}
	if c.delay > 0 {
		time.Sleep(c.delay / 2)
	}
	s.m.mu.Lock()
	t := s.m.elapsed()
	off := t + s.m.truth - s.m.wall.at(t) + c.off + time.Duration(c.drift*float64(t-c.since))
	s.m.mu.Unlock()
	if c.delay > 0 {
		time.Sleep(c.delay / 2)
	}
	if c.kept != nil {
		return *c.kept, nil
	}
	return Measurement{off, c.uncertain + c.delay/2, c.leap}, c.err
}

// all changes the given sources.
func (m *machine) all(f func(*simulated), which ...int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range which {
		f(&m.sources[i])
		m.sources[i].since = m.elapsed()
	}
}

const (
	accuracy = 500 * time.Millisecond
	begin    = 5100 * time.Millisecond // when a fault sets in: between two rounds
)

// fault is one row of the table.
type fault struct {
	name   string
	do     func(*machine)
	want   Code          // what the first refusal says; empty: time goes on being given
	due    time.Duration // after the fault, when the clock, or the faith in it, is first worse than allowed
	back   bool          // time is given again before the end, and rightly
	blind  bool          // nothing on the machine shows it before the sources are asked again: within a second wrong times can leave
	lasts  time.Duration // how long is looked; default 5s
	from   string        // when the machine starts, UTC; default noon
	events string        // kinds, in order, from the fault on
}

var three = []int{0, 1, 2}

func wallStep(by time.Duration) func(*machine) {
	return func(m *machine) { m.with(func() { m.step(&m.wall, by, 0) }) }
}

func off(by time.Duration, which ...int) func(*machine) {
	return func(m *machine) { m.all(func(s *simulated) { s.off = by }, which...) }
}

func change(f func(*simulated), which ...int) func(*machine) {
	return func(m *machine) { m.all(f, which...) }
}

func silent(s *simulated) { s.err = errors.New("no route to host") }

// seesaw moves the clock there and back again and again, by less than is noticed at once.
func seesaw(by, every time.Duration, back bool) func(*machine) {
	return func(m *machine) {
		go func() {
			for i := range 40 {
				d := by
				if back && i%2 == 1 {
					d = -by
				}
				m.with(func() { m.step(&m.wall, d, 0) })
				time.Sleep(every)
			}
		}()
	}
}

func and(all ...func(*machine)) func(*machine) {
	return func(m *machine) {
		for _, f := range all {
			f(m)
		}
	}
}

func later(d time.Duration, f func(*machine)) func(*machine) {
	return func(m *machine) { time.AfterFunc(d, func() { f(m) }) }
}

func speed(wall, mono float64) func(*machine) {
	return func(m *machine) {
		m.with(func() { m.step(&m.wall, 0, wall); m.step(&m.mono, 0, mono) })
	}
}

// slept is a machine that was suspended: its clock of the day goes on, the monotonic one does not.
func slept(d time.Duration) func(*machine) {
	return func(m *machine) { m.with(func() { m.step(&m.mono, -d, 0) }) }
}

// paused is a virtual machine that was stopped by its host: both clocks have stood still, and nothing here has run.
func paused(d time.Duration) func(*machine) {
	return func(m *machine) { m.with(func() { m.truth += d }) }
}

const (
	eve  = "2028-12-31T23:59:30Z"
	noon = "2026-06-30T12:00:00Z"
	lost = "clock.lost"
)

// leapt announces a leap second by which our clock is moved when it comes, 30 s after the start.
func leapt(l Leap, clock time.Duration, which ...int) func(*machine) {
	return and(change(func(s *simulated) { s.leap = l }, which...), later(24900*time.Millisecond, func(m *machine) {
		// True UTC makes the step; the bubble's time does not. So what does not make it is ahead.
		m.with(func() { m.step(&m.wall, clock, 0) })
	}), later(25900*time.Millisecond, change(func(s *simulated) { s.leap = NoLeap }, which...)))
}

var faults = []fault{
	// The clock is set.
	{name: "set 2 s ahead", do: wallStep(2 * time.Second), want: Jumped, events: "clock.jump"},
	{name: "set 2 s back", do: wallStep(-2 * time.Second), want: Jumped, events: "clock.jump"},
	{name: "set 600 ms ahead", do: wallStep(600 * time.Millisecond), want: Jumped},
	{name: "set 600 ms back", do: wallStep(-600 * time.Millisecond), want: Jumped},
	{name: "set 1 h ahead", do: wallStep(time.Hour), want: Jumped},
	{name: "set 1 h back", do: wallStep(-time.Hour), want: Jumped},
	{name: "set a day ahead", do: wallStep(24 * time.Hour), want: Jumped},
	{name: "set 10 years ahead", do: wallStep(87600 * time.Hour), want: Jumped},
	{name: "set 10 years back", do: wallStep(-87600 * time.Hour), want: Jumped},
	{name: "set 300 years ahead", do: func(m *machine) { m.with(func() { m.step(&m.wall, math.MaxInt64/2, 0) }) }, want: Jumped},
	{name: "set 51 ms ahead: all are asked anew", do: wallStep(51 * time.Millisecond), want: Jumped, back: true, events: "clock.jump clock.restored"},
	{name: "set 51 ms back: all are asked anew", do: wallStep(-51 * time.Millisecond), want: Jumped, back: true},
	{name: "set 40 ms ahead: counted, and borne", do: wallStep(40 * time.Millisecond)},
	{name: "set ahead and back within 100 ms", do: and(wallStep(time.Second), later(100*time.Millisecond, wallStep(-time.Second))), want: Jumped, back: true},
	{name: "set while the sources are asked", do: and(change(func(s *simulated) { s.delay = 300 * time.Millisecond }, three...), later(450*time.Millisecond, wallStep(time.Second))), want: Jumped, due: 450 * time.Millisecond},
	{name: "set twice while they are asked, the sum is nothing", do: and(change(func(s *simulated) { s.delay = 300 * time.Millisecond }, three...), later(450*time.Millisecond, wallStep(time.Second)), later(500*time.Millisecond, wallStep(-time.Second))), want: Jumped, due: 450 * time.Millisecond, back: true},
	{name: "moved by 40 ms every 200 ms", do: seesaw(40*time.Millisecond, 200*time.Millisecond, false), want: Wrong, due: 2400 * time.Millisecond},
	{name: "moved by 40 ms there and back", do: seesaw(40*time.Millisecond, 200*time.Millisecond, true)},
	{name: "set 2 s ahead while no source answers", do: and(change(silent, three...), later(2*time.Second, wallStep(2*time.Second))), want: Jumped, due: 2 * time.Second},

	// The clock goes wrong.
	{name: "it goes a fifth too fast", do: speed(0.2, 0), want: Wrong, due: 2200 * time.Millisecond},
	{name: "it goes a fifth too slowly", do: speed(-0.2, 0), want: Wrong, due: 2200 * time.Millisecond},
	{name: "it stands still", do: speed(-1, 0), want: Wrong},
	{name: "it goes backwards", do: speed(-2, 0), want: Wrong},
	{name: "both clocks go a tenth too fast", do: speed(0.1, 0.1), want: Wrong, due: 4800 * time.Millisecond, lasts: 8 * time.Second},
	{name: "both clocks stand still", do: speed(-1, -1), want: Wrong, due: 500 * time.Millisecond, blind: true},
	{name: "both clocks go 200 ppm too fast", do: speed(200e-6, 200e-6), lasts: 20 * time.Second},
	{name: "the monotonic clock stands still", do: speed(0, -1), want: Wrong, back: true},
	{name: "the monotonic clock goes back", do: func(m *machine) { m.with(func() { m.step(&m.mono, -3*time.Second, 0) }) }, want: Jumped, back: true},
	{name: "the monotonic clock goes twice as fast", do: speed(0, 1), want: Wrong, back: true},

	// The machine sleeps.
	{name: "suspended for an hour, clock right afterwards", do: slept(time.Hour), want: Jumped, back: true, events: "clock.jump clock.restored"},
	{name: "suspended for a second", do: slept(time.Second), want: Jumped, back: true},
	{name: "virtual machine stopped for 10 s", do: paused(10 * time.Second), want: Wrong, blind: true},
	{name: "virtual machine stopped for a day", do: paused(24 * time.Hour), want: Wrong, blind: true},
	{name: "virtual machine moved, 300 ms lost", do: paused(300 * time.Millisecond)},
	{name: "nobody asks the sources any more", do: func(m *machine) { m.stop() }, want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},

	// The sources say that the clock is wrong.
	{name: "all say 400 ms", do: off(400*time.Millisecond, three...)},
	{name: "all say 490 ms, and are uncertain by 10 ms", do: off(490*time.Millisecond, three...), want: Wrong, events: lost},
	{name: "all say 0.9 s", do: off(900*time.Millisecond, three...), want: Wrong},
	{name: "all say 1.1 s", do: off(1100*time.Millisecond, three...), want: Wrong},
	{name: "all say −1.1 s", do: off(-1100*time.Millisecond, three...), want: Wrong},
	{name: "all say 2 s for a second only", do: and(off(2*time.Second, three...), later(time.Second, off(0, three...))), want: Wrong, back: true, events: "clock.lost clock.restored"},
	{name: "two of three say 2 s", do: off(2*time.Second, 0, 1), want: Wrong},
	{name: "one of three says 2 s", do: off(2*time.Second, 1)},
	{name: "one of three says 10 years", do: off(87600*time.Hour, 2)},
	{name: "all are uncertain by 200 ms and say 350 ms", do: change(func(s *simulated) { s.uncertain, s.off = 200*time.Millisecond, 350*time.Millisecond }, three...), want: Wrong},
	{name: "all run away by 100 ms a second", do: change(func(s *simulated) { s.drift = 0.1 }, three...), want: Wrong, due: 4800 * time.Millisecond, lasts: 8 * time.Second},
	{name: "all say the end of time", do: off(math.MaxInt64/4, three...), want: Wrong},

	// The sources disagree or fall silent.
	{name: "all say something else", do: and(off(2*time.Second, 0), off(-2*time.Second, 1)), want: Disagree, events: lost},
	{name: "one is silent, two contradict each other", do: and(change(silent, 0), off(2*time.Second, 1)), want: Disagree},
	{name: "two are silent, the third contradicts", do: and(change(silent, 0, 1), off(2*time.Second, 2)), want: Disagree},
	{name: "one hangs, two say 2 s", do: and(change(func(s *simulated) { s.hang = true }, 0), off(2*time.Second, 1, 2)), want: Wrong},
	{name: "one hangs", do: change(func(s *simulated) { s.hang = true }, 0)},
	{name: "one is silent", do: change(silent, 0)},
	{name: "two are silent", do: change(silent, 0, 1), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second, events: lost},
	{name: "all are silent", do: change(silent, three...), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},
	{name: "all hang", do: change(func(s *simulated) { s.hang = true }, three...), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},
	{name: "all are silent for 30 s", do: and(change(silent, three...), later(30*time.Second, change(func(s *simulated) { s.err = nil }, three...))), lasts: 80 * time.Second},
	{name: "all are silent and both clocks run 400 ppm off", do: and(change(silent, three...), speed(400e-6, 400e-6)), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},
	{name: "all become uncertain by 10 s", do: change(func(s *simulated) { s.uncertain = 10 * time.Second }, three...), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},
	{name: "all answer too late", do: change(func(s *simulated) { s.delay = time.Second }, three...), want: Stale, due: 60 * time.Second, lasts: 70 * time.Second},
	{name: "one is certain beyond reason: less than nothing", do: change(func(s *simulated) { s.uncertain = -time.Second }, 0)},
	{name: "one repeats itself while both clocks run away", do: and(change(func(s *simulated) { s.kept = &Measurement{0, 10 * time.Millisecond, NoLeap} }, 0), speed(0.1, 0.1)), want: Wrong, due: 4800 * time.Millisecond, lasts: 8 * time.Second},
	{name: "one comes and goes", do: func(m *machine) {
		go func() {
			for range 10 {
				m.all(silent, 0)
				time.Sleep(300 * time.Millisecond)
				m.all(func(s *simulated) { s.err = nil }, 0)
				time.Sleep(300 * time.Millisecond)
			}
		}()
	}},

	// Leap seconds.
	{name: "a leap second is announced and our clock makes it", do: leapt(Insert, 0, three...), from: eve, want: Pause, due: 23400 * time.Millisecond, lasts: 40 * time.Second, back: true, events: "clock.leap"},
	{name: "one announces it and the clock stands a second", do: leapt(Insert, time.Second, 1), from: eve, want: Pause, due: 23400 * time.Millisecond, lasts: 40 * time.Second, events: "clock.leap clock.jump"},
	{name: "a second is left out and our clock does not", do: leapt(Delete, -time.Second, three...), from: eve, want: Pause, due: 23400 * time.Millisecond, lasts: 40 * time.Second},
	{name: "two announce it, the third smears it", do: and(leapt(Insert, 0, 0, 1), change(func(s *simulated) { s.drift = 0.01 }, 2)), from: eve, want: Pause, due: 23400 * time.Millisecond, lasts: 40 * time.Second, back: true},
	{name: "two announce it and contradict each other, the third smears it", do: and(leapt(Insert, 0, 0, 1), off(time.Second, 0)), from: eve, want: Disagree},
	{name: "at noon it is announced for the night", do: change(func(s *simulated) { s.leap = Insert }, three...)},
}

// TestClockFaults: each fault sets in while time is given; within a second of when it is due no time is given any more, and no time
// that was given is further from the truth than the accuracy.
func TestClockFaults(t *testing.T) {
	if len(faults) < 50 {
		t.Fatalf("only %d faults", len(faults))
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { synctest.Test(t, f.run) })
	}
}

func newGuard(t *testing.T, m *machine, events *[]string, change ...func(*Config)) *Guard {
	t.Helper()
	cfg := Config{Sources: []SourceConfig{{Kind: "ntp", Address: "a"}, {Kind: "ntp", Address: "b"}, {Kind: "ntp", Address: "c"}}}
	for _, f := range change {
		f(&cfg)
	}
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	set := Setup{Config: cfg, Accuracy: accuracy, Resolution: time.Millisecond, Read: m.read, Tell: func(e Event) {
		*events = append(*events, e.Kind)
		if ahead := e.At.Sub(m.start.Add(m.elapsed())); ahead > time.Second {
			t.Errorf("%s is dated %v ahead", e.Kind, ahead)
		}
	}}
	for i, s := range cfg.Sources {
		set.Sources = append(set.Sources, Named{s.Address, source{m, i}})
		m.sources[i].uncertain = 10 * time.Millisecond
	}
	g, err := New(set)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
