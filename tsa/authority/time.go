package authority

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/audit"
	"tekend/clock"
	"tekend/foureyes"
	"tekend/tsa"
)

// resolution of genTime (tsa.Info.Encode).
const resolution = time.Millisecond

// keepEvents bounds the events of the clock that wait for the database. While the role is locked nothing is written.
const keepEvents = 256

// watchClock makes the guard over the clock when sources are configured.
func (r *Role) watchClock(dep Dependencies) error {
	if r.cfg.Clock == nil {
		return nil
	}
	if err := r.cfg.Clock.Complete(); err != nil {
		return err
	}
	if r.cfg.Clock.OperatorResume && len(dep.Operators) < foureyes.Needed {
		return errors.New("clock: operator_resume needs two operators")
	}
	if dep.Reading == nil {
		dep.Reading = clock.System(r.cfg.Now)
	}
	r.events = make(chan clock.Event, keepEvents)
	guard, err := clock.New(clock.Setup{
		Config: *r.cfg.Clock, Accuracy: r.cfg.Accuracy, Resolution: resolution, Sources: dep.Sources, Read: dep.Reading, Log: r.cfg.Log,
		Tell: func(e clock.Event) {
			select {
			case r.events <- e:
			default:
				r.cfg.Log.Error("an event of the clock is not recorded", "kind", e.Kind)
			}
		},
	})
	r.guard = guard
	return err
}

// time is the time for a token: that of the clock, while it is within the accuracy of UTC (EN 319 421 TIS-7.7.2-04 to -07). Without
// sources nobody looks, and health says so.
func (r *Role) time() (time.Time, error) {
	if r.guard == nil {
		return r.cfg.Now(), nil
	}
	now, err := r.guard.Now()
	if d, ok := errors.AsType[*clock.Doubt](err); ok {
		return time.Time{}, &tsa.Failure{Info: tsa.TimeNotAvailable, Text: "the clock is not to be relied on now: " + string(d.Code)}
	}
	return now, err
}

// confirm asks once more before a token leaves: the sources may have said meanwhile that the clock was wrong, or must still say, if so
// configured, that it is right.
func (r *Role) confirm(ctx context.Context) error {
	if r.guard == nil {
		return nil
	}
	err := r.guard.Confirm(ctx)
	if d, ok := errors.AsType[*clock.Doubt](err); ok {
		return &tsa.Failure{Info: tsa.TimeNotAvailable, Text: "the clock is not to be relied on now: " + string(d.Code)}
	}
	return err
}

// RunClock asks the sources of time and records what becomes of it, until ctx ends. It must have returned before [Role.Close].
func (r *Role) RunClock(ctx context.Context) {
	if r.guard == nil {
		return
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.guard.Run(ctx)
	}()
	defer func() { <-asked }()
	if r.gate.Wait(ctx) != nil {
		return
	}
	for {
		select {
		case e := <-r.events:
			if err := r.recordClock(ctx, e); err != nil {
				r.cfg.Log.Error("record of the clock", "kind", e.Kind, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// recordClock writes one event, dated as the guard does.
func (r *Role) recordClock(ctx context.Context, e clock.Event) error {
	kind := "clock.synchronised"
	switch e.Kind {
	case clock.KindLost:
		kind = "clock.lost"
	case clock.KindRestored:
		kind = "clock.restored"
	case clock.KindJump:
		kind = "clock.jump"
	case clock.KindLeap:
		kind = "clock.leap"
	}
	return r.event(ctx, audit.Event{At: e.At, Kind: kind, Detail: e.Detail}, func(tx *sql.Tx) error { return r.hold(ctx, tx, e) })
}

// clockHealth is what health says of the clock.
func (r *Role) clockHealth() (reasons, notes []string) {
	if r.guard == nil {
		return nil, []string{"the clock is held against no source: fit for a sandbox only"}
	}
	s := r.guard.Status()
	if s.Doubt != nil {
		reasons = append(reasons, s.Doubt.Text)
	}
	for _, one := range s.Sources {
		if !one.Agrees {
			notes = append(notes, fmt.Sprintf("source of time %s: %s", one.Name, one.Fault))
		}
	}
	return reasons, notes
}
