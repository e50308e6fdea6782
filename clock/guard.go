package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Setup is what a guard needs.
type Setup struct {
	Config                             // completed
	Accuracy, Resolution time.Duration // declared, and of the times that are stated
	Sources              []Named
	Read                 func() Reading
	// Tell gets what the record should hold; it must not wait. Nil: nobody.
	Tell func(Event)
	Log  *slog.Logger // nil: nowhere
}

const (
	// maxDrift is how fast a clock can go wrong: the most that the kernel lets a time daemon slew it (RFC 5905 MAXFREQ),
	// parts in a million. A crystal is ten times better.
	maxDrift = 500
	// look is how often the clock is held against the monotonic one when nobody asks for the time.
	look = 250 * time.Millisecond
	// answerTime is how long a round waits for its sources. With the default interval and this a wrong clock is noticed
	// within a second.
	answerTime = 400 * time.Millisecond
	// confirm is how many rounds in a row must be good before time is given again after a doubt, and most how many after
	// several doubts within an hour: each doubles the number.
	confirm     = 2
	mostConfirm = 32
	// hourly is how often synchronisation is recorded while all is well; an hour without a doubt forgets the earlier ones.
	hourly = time.Hour
	// apart is the least time between two rows about one doubt that changes its reason.
	apart = time.Minute
)

// Guard gives the time while it can be believed. It may be used concurrently.
type Guard struct {
	set  Setup
	busy []chan struct{} // by source: a question is under way

	mu      sync.Mutex
	seen    Reading // the last reading, to notice steps
	begun   bool    // seen is one
	fix     *fix
	right   *Reading      // the last one that the sources found within the accuracy
	doubt   *Doubt        // why there is no time; nil: there is
	good    int           // good rounds in a row since the doubt
	confirm int           // how many there must be
	held    bool          // operators must look before time is given
	lost    time.Duration // Mono of the last doubt's beginning, and of what was last told of it
	toldOf  time.Duration
	leap    time.Time // end of the day with an announced leap second
	paused  bool      // the pause around leap was told
	told    time.Time // when synchronisation was last told
	sources []SourceStatus

	started, agreed int           // the newest round that has begun, and the newest that was good
	ended           chan struct{} // closed when a round ends
}

// fix is what the sources agreed on.
type fix struct {
	at        Reading
	low, high time.Duration // UTC less our clock was within, at that reading
}

// New makes a guard that has not asked anybody yet; [Guard.Run] does.
func New(set Setup) (*Guard, error) {
	if set.Read == nil || set.Accuracy <= set.Resolution || len(set.Sources) != len(set.Config.Sources) {
		return nil, errors.New("clock: the guard's setup is incomplete")
	}
	if set.Tell == nil {
		set.Tell = func(Event) {}
	}
	if set.Log == nil {
		set.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{set: set, ended: make(chan struct{}), doubt: &Doubt{Unsynchronised, "the sources of time have not agreed yet"}}
	for _, s := range set.Sources {
		g.busy = append(g.busy, make(chan struct{}, 1))
		g.sources = append(g.sources, SourceStatus{Name: s.Name, Fault: "not asked yet"})
	}
	return g, nil
}

// Run asks the sources and watches the clock until ctx ends. Without it there is soon no time.
func (g *Guard) Run(ctx context.Context) {
	var rounds sync.WaitGroup
	defer rounds.Wait()
	ask, watch := time.NewTicker(g.set.Interval), time.NewTicker(look)
	defer ask.Stop()
	defer watch.Stop()
	turn := make(chan struct{}, 1)
	for {
		select { // a round that is late for the next one is not overtaken
		case turn <- struct{}{}:
			rounds.Go(func() { g.Round(ctx); <-turn })
		default:
		}
		for waiting := true; waiting; {
			select {
			case <-ask.C:
				waiting = false
			case <-watch.C:
				_, _ = g.Now()
			case <-ctx.Done():
				return
			}
		}
	}
}

// Now is the clock's time, if that is within the accuracy of UTC; else the error is a *[Doubt]. The check and the time are of one
// reading.
func (g *Guard) Now() (time.Time, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.read()
	if err := g.judge(r); err != nil {
		return time.Time{}, err
	}
	return r.Wall, nil
}

// Confirm waits for a round that begins after the call and finds the clock good. The error is a *[Doubt], or that of ctx. With
// Config.Confirm unset it does not wait, and says what [Guard.Now] would.
func (g *Guard) Confirm(ctx context.Context) error {
	if !g.set.Confirm {
		_, err := g.Now()
		return err
	}
	// The round under way ends, the next one begins and ends; one of the two may be silent.
	limit, cancel := context.WithTimeout(ctx, 2*(g.set.Interval+answerTime))
	defer cancel()
	g.mu.Lock()
	defer g.mu.Unlock()
	for need := g.started + 1; ; {
		if d := g.judge(g.read()); d != nil {
			return d
		}
		if g.agreed >= need {
			return nil
		}
		ended := g.ended
		g.mu.Unlock()
		select {
		case <-ended:
		case <-limit.Done():
		}
		g.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if limit.Err() != nil {
			return &Doubt{Unconfirmed, "the sources of time have not confirmed the time"}
		}
	}
}

// Status is what health tells.
func (g *Guard) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.read()
	s := Status{Doubt: g.judge(r), Sources: append([]SourceStatus(nil), g.sources...)}
	if g.fix != nil {
		s.Error, s.Age = g.off(r)+g.set.Resolution, r.Mono-g.fix.at.Mono
	}
	return s
}

// read reads the clocks and notices a step since the last reading.
func (g *Guard) read() Reading {
	r := g.set.Read()
	if g.begun {
		step := r.moved(g.seen)
		if step.Abs() > g.maxStep() { // this thread may have been put aside between the two clocks
			r = g.set.Read()
			step = r.moved(g.seen)
		}
		switch {
		case r.Mono < g.seen.Mono:
			g.cast(Jumped, "the monotonic clock went back", KindJump, r)
		case step.Abs() > g.maxStep():
			g.cast(Jumped, fmt.Sprintf("the clock was moved by %v", step.Round(time.Millisecond)), KindJump, r)
		}
	}
	g.seen, g.begun = r, true
	return r
}

// maxStep is how far the clock may be moved at once without all being asked anew; what is less is counted as an error.
func (g *Guard) maxStep() time.Duration { return g.set.Accuracy / 10 }

// judge says why the time of r is not to be believed; nil when it is.
func (g *Guard) judge(r Reading) *Doubt {
	if d := g.leaping(r); d != nil {
		return d
	}
	if g.doubt != nil {
		return g.doubt
	}
	switch age := r.Mono - g.fix.at.Mono; {
	case age > g.set.MaxAge:
		return g.cast(Stale, fmt.Sprintf("the sources of time have not agreed for %v", age.Round(time.Second)), KindLost, r)
	case g.off(r)+g.set.Resolution > g.set.Accuracy:
		return g.cast(Wrong, fmt.Sprintf("the clock can be off by %v", g.off(r).Round(time.Millisecond)), KindLost, r)
	}
	return nil
}

// off is the most that the clock can be from UTC at r: what the sources left open, moved by every step since, and drift.
func (g *Guard) off(r Reading) time.Duration {
	low, high := g.bounds(r)
	return max(low.Abs(), high.Abs())
}

// bounds are UTC less our clock at r, by the last agreement.
func (g *Guard) bounds(r Reading) (low, high time.Duration) {
	step, drift := r.moved(g.fix.at), (r.Mono-g.fix.at.Mono)/1e6*maxDrift
	return g.fix.low - step - drift, g.fix.high - step + drift
}

// cast begins a doubt, or gives another reason for the one there is. Good rounds must follow.
func (g *Guard) cast(code Code, text, kind string, r Reading) *Doubt {
	before := g.doubt
	g.good, g.doubt = 0, &Doubt{code, text}
	switch {
	case before == nil:
		g.held = g.set.OperatorResume
		if g.confirm == 0 || r.Mono-g.lost > hourly {
			g.confirm = confirm
		} else {
			g.confirm = min(2*g.confirm, mostConfirm)
		}
		g.lost = r.Mono
	case before.Code == code || before.Code != Unsynchronised && (r.Mono-g.toldOf).Abs() < apart:
		return g.doubt
	}
	g.toldOf = r.Mono
	g.set.Log.Warn("no time", "code", string(code), "reason", text)
	g.tell(kind, r, map[string]string{"code": string(code), "reason": text})
	return g.doubt
}

// tell gives an event, dated from the last reading that was within the accuracy: neither a clock that was set ten years ahead nor
// sources that say so may date the record, which refuses what is before its newest row. Before there was such a reading nothing is told.
func (g *Guard) tell(kind string, r Reading, detail map[string]string) {
	if g.right == nil {
		return
	}
	at := g.right.Wall.Add(max(r.Mono-g.right.Mono, 0))
	g.set.Tell(Event{Kind: kind, At: at, Detail: detail})
}
