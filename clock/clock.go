// Package clock says whether this machine's clock may be believed: how far from UTC it can be at this moment, by the word of
// several independent sources, and whether it was moved since they were asked (EN 319 421 TIS-7.7.1, TIS-7.7.2).
//
// A [Guard] asks its sources at an interval, takes what a majority agrees on, and counts from there: what the sources said,
// their own uncertainty, what the clock can have drifted since, every step of the clock against the monotonic one, and the
// resolution of the times that are stated. When the sum is more than the accuracy that is declared, there is no time.
// Nothing here sets a clock, and nothing here speaks a protocol: package clock/ntp does.
package clock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reading is both clocks of the machine, read together.
type Reading struct {
	Wall time.Time     // the time of day, which can be set
	Mono time.Duration // since any fixed moment; nobody can set it
}

// moved is how far the time of day was set forward since an earlier reading.
func (r Reading) moved(since Reading) time.Duration {
	return r.Wall.Sub(since.Wall) - (r.Mono - since.Mono)
}

// System makes readings of a clock like time.Now, whose times carry the monotonic clock.
func System(now func() time.Time) func() Reading {
	start := now()
	return func() Reading {
		t := now()
		return Reading{t.Round(0), t.Sub(start)}
	}
}

// Leap is what a source announces for the end of the day (RFC 5905 §7.3, LI).
type Leap int

// The announcements.
const (
	NoLeap Leap = iota
	Insert      // 23:59:60 will come
	Delete      // 23:59:59 will not come
)

// Measurement is what one source says. UTC is within Offset ± Uncertainty of our clock.
type Measurement struct {
	Offset      time.Duration // UTC less our clock, by the source
	Uncertainty time.Duration // how wrong Offset can be: half the way there and back, and the source's own distance from UTC
	Leap        Leap
}

// Source is a clock that is not ours. Measure ends with ctx; an error means that the source says nothing now.
type Source interface {
	Measure(ctx context.Context) (Measurement, error)
}

// Named is a source with the name that operators know it by.
type Named struct {
	Name string
	Source
}

// SourceConfig is one line of `sources:`.
type SourceConfig struct {
	Kind string `yaml:"kind"` // ntp
	// Address is host or host:port. Default port 123, with nts 4460, where keys are established. Example: ntp1.example.be
	Address string `yaml:"address"`
	// NTS has answers authenticated (RFC 8915). Default false.
	NTS bool `yaml:"nts"`
	// CAFile is a PEM file with the roots of the server's TLS certificate. Only with nts. Default the system's.
	CAFile string `yaml:"ca_file"`
}

// Config is the section `clock:` of a role's file. Example:
//
//	sources:
//	  - {kind: ntp, address: nts.example.be, nts: true}
//	  - {kind: ntp, address: 10.1.0.5}
//	  - {kind: ntp, address: 10.2.0.5}
//	need: 2
type Config struct {
	// Sources are at least three clocks that do not take their time from each other, and none of which takes it from this
	// machine. An NTP daemon on this machine is not one: it serves the clock that is to be checked.
	Sources []SourceConfig `yaml:"sources"`
	// Need is how many of them must agree, more than half. Default the smallest such number.
	Need int `yaml:"need"`
	// Interval between two questions to each source, 100ms to 64s. Default 500ms, with which a clock that goes wrong
	// without a step is noticed within a second; that is for servers of one's own or by contract, not for public ones.
	Interval time.Duration `yaml:"interval"`
	// MaxAge is how long the last agreement counts when the sources do not answer, at most 1h. Default 60s. A clock can
	// drift 0.5 ms in each second of it, which is counted.
	MaxAge time.Duration `yaml:"max_age"`
	// Confirm keeps each time-stamp back until the sources were asked once more after its time was taken, and agreed: half
	// an interval on the average. Only so a virtual machine that its host has stopped for a while lets none out with the
	// time before. Default false.
	Confirm bool `yaml:"confirm"`
	// OperatorResume keeps a doubt, once the sources agree again, until two operators have looked and say so (`act show --act
	// resume --subject SHA256 --reason clockChecked`). It outlives
	// restarts. The pause around a leap second needs nobody. Default false: time is given again by itself.
	OperatorResume bool `yaml:"operator_resume"`
}

const (
	defaultInterval = 500 * time.Millisecond
	minInterval     = 100 * time.Millisecond
	maxInterval     = 64 * time.Second
	defaultMaxAge   = time.Minute
	maxMaxAge       = time.Hour
	leastSources    = 3
)

// Complete fills in defaults and says what is wrong with the section.
func (c *Config) Complete() error {
	if len(c.Sources) < leastSources {
		return fmt.Errorf("clock: %d sources; with fewer than %d nobody can tell which one is wrong", len(c.Sources), leastSources)
	}
	seen := map[string]bool{}
	for _, s := range c.Sources {
		if s.Address == "" {
			return errors.New("clock: a source has no address")
		}
		if seen[s.Address] {
			return fmt.Errorf("clock: the source %s stands there twice", s.Address)
		}
		seen[s.Address] = true
	}
	if c.Need == 0 {
		c.Need = len(c.Sources)/2 + 1
	}
	if c.Need*2 <= len(c.Sources) || c.Need > len(c.Sources) {
		return fmt.Errorf("clock: need must be more than half of the %d sources", len(c.Sources))
	}
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.Interval < minInterval || c.Interval > maxInterval {
		return fmt.Errorf("clock: interval must be within %v and %v", minInterval, maxInterval)
	}
	if c.MaxAge == 0 {
		c.MaxAge = max(defaultMaxAge, 4*c.Interval)
	}
	if c.MaxAge < 2*c.Interval || c.MaxAge > maxMaxAge {
		return fmt.Errorf("clock: max_age must be within two intervals and %v", maxMaxAge)
	}
	return nil
}

// Code says in one word why there is no time.
type Code string

// The codes of a Doubt.
const (
	Unsynchronised Code = "unsynchronised" // the sources have not agreed yet
	Wrong          Code = "wrong"          // the sources agree, and the clock is not within the accuracy
	Disagree       Code = "disagree"       // the sources contradict each other, or what they agreed on before
	Stale          Code = "stale"          // too few sources answered for too long
	Jumped         Code = "jumped"         // the clock was set, or the machine slept
	Pause          Code = "leap_second"    // around an announced leap second
	Held           Code = "held"           // the sources agree again, and operators have not looked yet
	Unconfirmed    Code = "unconfirmed"    // the sources did not agree once more in time
)

// Doubt is why there is no time now. Text holds names of sources and durations only.
type Doubt struct {
	Code Code
	Text string
}

// Error implements error.
func (d *Doubt) Error() string { return "clock: " + d.Text }

// Event is what the record should hold (EN 319 421 OVR-7.12, EN 319 401 7.10): each synchronisation, at most hourly, and
// each loss. At is by the monotonic clock since the clock was last right: what is in doubt does not date its own row.
type Event struct {
	Kind   string
	At     time.Time
	Detail map[string]string
}

// The kinds of an Event.
const (
	KindSynchronised = "clock.synchronised"
	KindLost         = "clock.lost"
	KindRestored     = "clock.restored"
	KindJump         = "clock.jump"
	KindLeap         = "clock.leap"
)

// Status is what health tells.
type Status struct {
	Doubt   *Doubt        // nil: the clock is believed
	Error   time.Duration // the most that the clock can be off now, resolution included; 0 before the first agreement
	Age     time.Duration // of the last agreement
	Sources []SourceStatus
}

// SourceStatus is what one source said at last.
type SourceStatus struct {
	Name   string
	Agrees bool   // it belongs to the majority of the last round
	Fault  string // why not; empty when it agrees
}
