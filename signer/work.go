package signer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tekend/sam"
)

const (
	// stepTime bounds one job: hashing the largest document (2 GiB) twice takes far less.
	stepTime = 10 * time.Minute
	// watchdog is when the worker looks again at a step that should have ended long ago.
	watchdog = 5 * time.Second
	// A look for due requests is one indexed query.
	lookMin, lookMax = 250 * time.Millisecond, time.Second
	dueBatch         = 100
	maxBackoff       = time.Minute
	// maxSteps bounds one job; a request has 7 states and a few looks again.
	maxSteps = 32
)

// jobs runs at most one job per request at a time, and a bounded number together. What comes while a
// job runs is one more job after it.
type jobs struct {
	mu     sync.Mutex
	run    map[string]*job
	slots  chan struct{}
	wake   chan struct{}
	base   context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed bool
}

// job is the runner of one request; next is what it does after what it does now.
type job struct{ next *pass }

type pass struct {
	page bool // somebody looks at the page: go as far as the link
	done chan struct{}
}

func (j *jobs) init(workers int) {
	j.run = map[string]*job{}
	j.slots = make(chan struct{}, workers)
	j.wake = make(chan struct{}, 1)
	j.base, j.cancel = context.WithCancel(context.Background())
}

func (j *jobs) wakeUp() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// kick makes the request go on in the background. The channel is closed when a job that began after
// this call has ended.
func (s *Service) kick(id string, page bool) <-chan struct{} {
	j := &s.jobs
	j.mu.Lock()
	defer j.mu.Unlock()
	r, running := j.run[id]
	if !running {
		r = &job{}
	}
	if r.next == nil {
		r.next = &pass{done: make(chan struct{})}
	}
	r.next.page = r.next.page || page
	done := r.next.done
	if j.closed {
		close(done)
		r.next = nil
		return done
	}
	if !running {
		j.run[id] = r
		j.wg.Add(1)
		go s.work(id, r)
	}
	return done
}

func (s *Service) work(id string, r *job) {
	j := &s.jobs
	defer j.wg.Done()
	select {
	case j.slots <- struct{}{}:
		defer func() { <-j.slots }()
	case <-j.base.Done():
	}
	for {
		j.mu.Lock()
		p := r.next
		r.next = nil
		if p == nil {
			delete(j.run, id)
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		s.guarded(id, p.page)
		close(p.done)
	}
}

// guarded keeps a fault in one request from ending all the others.
func (s *Service) guarded(id string, page bool) {
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Log.Error("step failed badly", "request", id, "panic", fmt.Sprint(p))
		}
	}()
	ctx, cancel := context.WithTimeout(s.jobs.base, stepTime)
	defer cancel()
	err := s.claimed(ctx, id, page, func(ctx context.Context) { s.drive(ctx, id, page) })
	if err != nil && !errors.Is(err, errClaimed) && ctx.Err() == nil {
		s.cfg.Log.Error("request stands still", "request", id, "err", err)
	}
}

// drive moves a request as far as it goes now.
func (s *Service) drive(ctx context.Context, id string, page bool) {
	rec, err := s.dep.Requests.Load(ctx, Lookup{ID: id, Works: true})
	for n := 0; n < maxSteps && err == nil && ctx.Err() == nil; n++ {
		var again bool
		again, err = s.stepped(ctx, rec, page)
		switch {
		case err == nil && again:
			continue
		case errors.Is(err, ErrConflict):
			rec, err = s.dep.Requests.Load(ctx, Lookup{ID: id, Works: true})
			continue
		case err == nil:
			err = s.settle(ctx, rec)
		default:
			err = s.stumble(ctx, id, err)
		}
		break
	}
	if err != nil && !errors.Is(err, ErrConflict) && ctx.Err() == nil {
		s.cfg.Log.Error("request stands still", "request", id, "err", err)
	}
}

// stepped is step, of which a panic is an error like others: the request waits longer each time and ends in its time, instead of
// doing the same for ever.
func (s *Service) stepped(ctx context.Context, rec *Record, page bool) (again bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			again, err = false, fmt.Errorf("panic: %v", p)
		}
	}()
	return s.step(ctx, rec, page)
}

// settle moves the time of the next look on when there was nothing to do at it.
func (s *Service) settle(ctx context.Context, rec *Record) error {
	if rec.State.End() || rec.NextAt.After(s.now()) {
		return nil
	}
	next := *rec
	next.NextAt = s.look(rec)
	return s.put(ctx, Change{Was: rec.State, Now: &next})
}

// step does what state and clock ask for (the table of house §3). again: there may be more to do. On an
// error rec must be loaded again.
func (s *Service) step(ctx context.Context, rec *Record, page bool) (again bool, err error) {
	if rec.State.open() && rec.Progress.Answer == nil && !s.now().Before(rec.ExpiresAt) {
		return false, s.end(ctx, rec, Expired, ErrExpired)
	}
	if s.onceOver(rec) {
		return false, s.end(ctx, rec, Failed, ErrSessionOver)
	}
	switch rec.State {
	case Created:
		return s.created(ctx, rec, page)
	case Identified:
		if rec.awaits() {
			return false, nil
		}
		return true, s.prepareDocuments(ctx, rec)
	case Prepared:
		return s.prepared(ctx, rec, page)
	case Confirmed:
		return true, s.activate(ctx, rec)
	case Activating:
		return true, s.askActivation(ctx, rec, nil)
	case Signed:
		return false, s.finish(ctx, rec)
	}
	return false, nil
}

// stumble decides what an error of a step means: wait and repeat, or the end.
func (s *Service) stumble(ctx context.Context, id string, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping: nothing was learned about the partner
	}
	rec, err := s.dep.Requests.Load(ctx, Lookup{ID: id})
	if err != nil {
		return err
	}
	if rec.State.End() {
		return nil
	}
	var own *Error
	if !errors.As(cause, &own) {
		s.cfg.Log.Error("step failed", "request", id, "state", string(rec.State), "err", cause)
		own = &Error{Code: "internal", Detail: "something went wrong inside; we try again", Retryable: true}
	}
	s.logCause(rec, own)
	own = s.overdue(rec, own)
	switch {
	case own.Code == ErrDeclined.Code && rec.State.open():
		err = s.end(ctx, rec, Declined, own)
	case !own.Retryable:
		err = s.end(ctx, rec, Failed, own)
	default:
		err = s.wait(ctx, rec, own)
	}
	return err
}

// logCause tells the operator what a partner said; the outside is told our words only.
func (s *Service) logCause(rec *Record, e *Error) {
	if e.cause != nil {
		s.cfg.Log.Warn("partner", "request", rec.ID, "state", string(rec.State), "code", e.Code, "err", e.cause)
	}
}

// wait writes down why the request waits and when it goes on.
func (s *Service) wait(ctx context.Context, rec *Record, why *Error) error {
	next := *rec
	next.Progress.Attempts++
	next.Progress.Notice = why
	next.NextAt = s.now().Add(backoff(next.Progress.Attempts))
	if rec.State.open() && next.Progress.Answer == nil && next.NextAt.After(rec.ExpiresAt) {
		next.NextAt = rec.ExpiresAt
	}
	return s.put(ctx, Change{Was: rec.State, Now: &next})
}

// backoff: 0.25 s, 0.5 s, 1 s … 1 min.
func backoff(attempt int) time.Duration {
	if attempt > 9 {
		return maxBackoff
	}
	return min(maxBackoff, 125*time.Millisecond<<attempt)
}

// end moves a request to an end.
func (s *Service) end(ctx context.Context, rec *Record, to State, why *Error) error {
	next := *rec
	next.State = to
	next.Progress.Failure = s.whyNotGood(ctx, rec, why)
	next.Progress.Notice = nil
	next.Progress.Answer = nil
	return s.advance(ctx, rec, Change{Now: &next})
}

// advance writes what a step has learned and takes it over into rec. A step that ended well starts the
// next one with no attempts behind it.
func (s *Service) advance(ctx context.Context, rec *Record, c Change) error {
	c.Was = rec.State
	c.Now.Progress.Attempts = 0
	c.Now.NextAt = s.look(c.Now)
	if err := s.put(ctx, c); err != nil {
		return err
	}
	*rec = *c.Now
	return nil
}

// put is the only caller of Advance: it adds the event and wakes those who wait.
func (s *Service) put(ctx context.Context, c Change) error {
	if c.Now.State != c.Was {
		ev, err := s.event(c.Now.State)
		if err != nil {
			return err
		}
		c.Event = ev
		c.Now.Events = append(c.Now.Events[:len(c.Now.Events):len(c.Now.Events)], *ev)
	}
	if err := s.dep.Requests.Advance(ctx, c); err != nil {
		return err
	}
	s.hub.changed(c.Now.ID)
	s.jobs.wakeUp()
	return nil
}

// look says when the worker looks again at a request that moves normally.
func (s *Service) look(r *Record) time.Time {
	switch {
	case r.State.End():
		return time.Time{}
	case r.State.open() && !r.Progress.pending() && (r.State != Identified || r.awaits()):
		if ends := r.Progress.SessionEnds; !ends.IsZero() && ends.Before(r.ExpiresAt) {
			return ends
		}
		return r.ExpiresAt
	}
	return s.now().Add(watchdog)
}

// pending says that we, not the person, have the next step in an open state.
func (p *Progress) pending() bool {
	return p.Answer != nil || p.Terms != "" && p.Enrolment == nil || p.Enrolment != nil && p.Enrolment.Step == sam.StepIssue
}

// Run goes on with everything that a restart interrupted, then repeats what waits and ends what is too
// old, until ctx ends. It returns after the steps under way have ended (Config.StopWithin).
func (s *Service) Run(ctx context.Context) error {
	defer s.stop()
	ctx, cancel := context.WithCancel(ctx)
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		s.carryAll(ctx)
	}()
	defer func() {
		cancel()
		<-carried
	}()
	if err := s.resume(ctx); err != nil && ctx.Err() == nil { // told to stop while it looks is no fault
		return err
	}
	for ctx.Err() == nil {
		pause := lookMax
		ids, next, err := s.dep.Requests.Due(ctx, s.now(), dueBatch)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("look for due requests", "err", err)
		}
		for _, id := range ids {
			s.kick(id, false)
		}
		if !next.IsZero() {
			pause = min(max(next.Sub(s.now()), lookMin), lookMax)
		}
		if len(ids) > 0 {
			pause = lookMin
		}
		s.pause(ctx, pause)
	}
	return nil
}

// pause waits d, and after a wake-up at least lookMin, so that nothing makes it a busy loop.
func (s *Service) pause(ctx context.Context, d time.Duration) {
	least := time.NewTimer(lookMin)
	defer least.Stop()
	select {
	case <-ctx.Done():
		return
	case <-least.C:
	}
	if d <= lookMin {
		return
	}
	rest := time.NewTimer(d - lookMin)
	defer rest.Stop()
	select {
	case <-ctx.Done():
	case <-rest.C:
	case <-s.jobs.wake:
	}
}

// resume looks once at every request that has not ended: the watchdog times of a process that is gone
// mean nothing.
func (s *Service) resume(ctx context.Context) error {
	farAway := s.now().Add(100 * 365 * 24 * time.Hour)
	ids, _, err := s.dep.Requests.Due(ctx, farAway, 1<<30)
	if err != nil {
		return fmt.Errorf("look for requests to go on with: %w", err)
	}
	for _, id := range ids {
		s.kick(id, false)
	}
	return nil
}

func (s *Service) stop() {
	j := &s.jobs
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		j.wg.Wait()
		close(ended)
	}()
	t := time.NewTimer(s.cfg.StopWithin)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
	}
	j.cancel()
	<-ended
}

// await waits until done is closed, but not longer than d.
func await(ctx context.Context, done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}
