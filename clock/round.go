package clock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Round asks every source once and judges what they say. [Guard.Run] calls it; a role also does once at its start, so that it
// need not wait for the first tick.
func (g *Guard) Round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	g.mu.Lock()
	before, doubt := g.read(), g.doubt
	g.started++
	number := g.started
	g.mu.Unlock()
	answers := g.ask(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		close(g.ended)
		g.ended = make(chan struct{})
	}()
	after := g.read()
	moved := after.moved(before).Abs()
	if moved > g.maxStep() || g.doubt != doubt {
		return // the clock was moved meanwhile: the offsets are of no clock
	}
	screen(answers, g.set.Need, g.set.Accuracy/2)
	found := agree(answers)
	g.note(answers, found)
	if found.count < g.set.Need {
		g.few(answers, found, after)
		return
	}
	for i, a := range answers {
		if found.members[i] && a.Leap != NoLeap {
			g.announced(after)
		}
	}
	// Somebody's offset may be from before a small step, somebody's from behind it.
	g.fix = &fix{before, found.low - moved, found.high + moved}
	if g.settle(found, after); g.doubt == nil {
		g.agreed = number
	}
}

// ask gives each source its turn at the same time. A source that still owes an answer of an earlier round is not asked.
func (g *Guard) ask(ctx context.Context) []answer {
	type numbered struct {
		i int
		a answer
	}
	answers, come := make([]answer, len(g.set.Sources)), make(chan numbered, len(g.set.Sources))
	asked := 0
	for i, s := range g.set.Sources {
		answers[i].err = errors.New("it does not answer")
		select {
		case g.busy[i] <- struct{}{}:
		default:
			continue
		}
		asked++
		go func() {
			m, err := s.Measure(ctx)
			<-g.busy[i]
			come <- numbered{i, answer{m, err}}
		}()
	}
	for range asked {
		select {
		case n := <-come:
			answers[n.i] = n.a
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}

// few: no majority agrees. Silence is borne until the last agreement is too old; contradiction is not.
func (g *Guard) few(answers []answer, found agreement, r Reading) {
	answered := 0
	for _, a := range answers {
		if a.err == nil {
			answered++
		}
	}
	g.good = 0
	if answered > found.count {
		g.cast(Disagree, fmt.Sprintf("the sources of time contradict each other: %d of %d agree", found.count, answered), KindLost, r)
		return
	}
	if answered == 0 || g.fix == nil {
		return
	}
	if low, high := g.bounds(r); found.low > high || found.high < low {
		g.cast(Disagree, "the sources that still answer contradict what was agreed before", KindLost, r)
	}
}

// settle holds the clock to a new agreement.
func (g *Guard) settle(found agreement, r Reading) {
	off := g.off(r) + g.set.Resolution
	if off > g.set.Accuracy {
		g.cast(Wrong, fmt.Sprintf("the clock can be off by %v, by %d sources", off.Round(time.Millisecond), found.count), KindLost, r)
		return
	}
	g.right = &r
	detail := map[string]string{
		"offset": ((found.low + found.high) / 2).Round(time.Microsecond).String(), "error": off.Round(time.Microsecond).String(),
		"sources": strings.Join(g.agreeing(found), " "),
	}
	g.good++
	switch {
	case g.doubt == nil:
	case g.held && (g.good >= g.confirm || g.doubt.Code == Held):
		g.doubt = &Doubt{Held, "the clock is right again; two operators must say so"}
		return
	case g.doubt.Code == Unsynchronised:
		g.doubt = nil
	case g.good >= g.confirm:
		g.doubt = nil
		g.tell(KindRestored, r, detail)
	default:
		return
	}
	if r.Wall.Sub(g.told) >= hourly || r.Wall.Before(g.told) {
		g.told = r.Wall
		g.tell(KindSynchronised, r, detail)
	}
}

func (g *Guard) agreeing(found agreement) (names []string) {
	for i, in := range found.members {
		if in {
			names = append(names, g.set.Sources[i].Name)
		}
	}
	return names
}

// note keeps what each source said, for health.
func (g *Guard) note(answers []answer, found agreement) {
	for i, a := range answers {
		s := &g.sources[i]
		s.Agrees, s.Fault = found.members[i], ""
		switch {
		case a.err != nil:
			s.Fault = a.err.Error()
		case !s.Agrees:
			s.Fault = fmt.Sprintf("it says that the clock is off by %v, the others do not", a.Offset.Round(time.Millisecond))
		}
	}
}
