package clock

import (
	"fmt"
	"time"
)

// TIS-7.7.2-08 and -09: around a leap second there is no time (the strategy "pause"), because from 23:59:59 to 00:00:01 clocks that are
// all right state different times. What the machine does with the second, a step or nothing, is then found like any other.

// announced keeps the end of the day for which a source announces a leap second. NTP announces it on that day (RFC 5905 §7.3
// says month): then each end of a day is waited out, which costs two seconds.
func (g *Guard) announced(r Reading) {
	day := r.Wall.UTC().Truncate(24 * time.Hour)
	if r.Wall.Sub(day) > 12*time.Hour { // in the morning it is over, and some sources have not heard yet
		g.leap = day.Add(24 * time.Hour)
	}
}

// leaping is the doubt around an announced leap second.
func (g *Guard) leaping(r Reading) *Doubt {
	if g.leap.IsZero() {
		return nil
	}
	margin := time.Second + g.set.Accuracy // the clock itself may be that far off
	if r.Wall.Sub(g.leap).Abs() > margin {
		g.paused = g.paused && r.Wall.Before(g.leap)
		return nil
	}
	if !g.paused {
		g.paused = true
		g.tell(KindLeap, r, map[string]string{"at": g.leap.Format(time.RFC3339), "pause": (2 * margin).String()})
	}
	return &Doubt{Pause, fmt.Sprintf("a leap second is announced for %s", g.leap.Format(time.RFC3339))}
}
