package clock

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// answer is what came from one source in a round.
type answer struct {
	Measurement
	err error // it said nothing of use
}

func (a answer) low() time.Duration  { return a.Offset - a.Uncertainty }
func (a answer) high() time.Duration { return a.Offset + a.Uncertainty }

// agreement is the largest group of answers that can all be true, and what they leave of the offset: [low, high]. It is
// Marzullo's algorithm, as NTP selects its truechimers (RFC 5905 §11.2.1).
type agreement struct {
	low, high time.Duration
	members   []bool // by source
	count     int
}

// agree finds it among the answers. Those with an error take no part.
func agree(answers []answer) agreement {
	type edge struct {
		at    time.Duration
		begin bool
	}
	var edges []edge
	for _, a := range answers {
		if a.err == nil {
			edges = append(edges, edge{a.low(), true}, edge{a.high(), false})
		}
	}
	slices.SortFunc(edges, func(x, y edge) int {
		if c := cmp.Compare(x.at, y.at); c != 0 {
			return c
		}
		if x.begin == y.begin {
			return 0
		}
		if x.begin { // intervals that touch have a point in common
			return -1
		}
		return 1
	})
	best := agreement{members: make([]bool, len(answers))}
	open := 0
	for i, e := range edges {
		if !e.begin {
			open--
			continue
		}
		if open++; open > best.count {
			best.count, best.low, best.high = open, e.at, edges[i+1].at // the next edge ends the overlap, or makes a larger one
		}
	}
	for i, a := range answers {
		best.members[i] = a.err == nil && best.count > 0 && a.low() <= best.low && a.high() >= best.high
	}
	return best
}

// absurd bounds an offset, so that sums of it do not overflow.
const absurd = 200 * 365 * 24 * time.Hour

// screen sorts out what is no help in a vote: answers too vague to contradict anybody, and, when a majority announces a leap
// second, those that do not: they may be smearing it over the day.
func screen(answers []answer, need int, vague time.Duration) {
	leaps := 0
	for i := range answers {
		a := &answers[i]
		switch {
		case a.err != nil:
		case a.Offset.Abs() > absurd:
			a.err = errors.New("it says that the clock is off by centuries")
		case a.Uncertainty < 0 || a.Uncertainty > vague:
			a.err = fmt.Errorf("it is uncertain by %v, more than %v", a.Uncertainty, vague)
		case a.Leap != NoLeap:
			leaps++
		}
	}
	if leaps < need {
		return
	}
	for i := range answers {
		if a := &answers[i]; a.err == nil && a.Leap == NoLeap {
			a.err = fmt.Errorf("it does not announce the leap second that %d others announce", leaps)
		}
	}
}
