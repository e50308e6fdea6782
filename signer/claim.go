package signer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Claims lets several fronts share the work: at most one works on a request at a time. It saves work and
// the partners' patience; what must happen once is held by Advance and by the SAM.
type Claims interface {
	// Claim gives the work on a request to this front for d from now, also when it has it already. false:
	// another front has it.
	Claim(ctx context.Context, request string, d time.Duration) (bool, error)
	// Release gives it back. One that was lost meanwhile is no error.
	Release(ctx context.Context, request string) error
}

const (
	// claimTime is how long the work of a front that died stays undone.
	claimTime = 15 * time.Second
	claimAsk  = 100 * time.Millisecond
	// claimPatience is how long somebody who looks at a page waits for another front to end its step.
	claimPatience = 2 * time.Second
)

// errClaimed: another front works on the request.
var errClaimed = errors.New("another front works on the request")

// claimed runs work while this front has the request. When the claim is lost, which takes a front that
// stood still or a database that did not answer for claimTime, the context of work ends.
func (s *Service) claimed(ctx context.Context, id string, page bool, work func(context.Context)) error {
	if err := s.claim(ctx, id, page); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		s.hold(ctx, id)
	}()
	defer func() {
		cancel()
		<-ended
		free, stop := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
		defer stop()
		if err := s.dep.Claims.Release(free, id); err != nil { // it ends by itself
			s.cfg.Log.Warn("a request was not given back", "request", id, "err", err)
		}
	}()
	work(ctx)
	return nil
}

func (s *Service) claim(ctx context.Context, id string, page bool) error {
	for waited := time.Duration(0); ; waited += claimAsk {
		ok, err := s.dep.Claims.Claim(ctx, id, claimTime)
		switch {
		case err != nil:
			return fmt.Errorf("claim a request: %w", err)
		case ok:
			return nil
		case !page || waited >= claimPatience:
			return errClaimed
		}
		select {
		case <-time.After(claimAsk):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hold renews the claim until ctx ends; it returns earlier when another front has the request, or when
// the claim could not be renewed twice.
func (s *Service) hold(ctx context.Context, id string) {
	tick := time.NewTicker(claimTime / 3)
	defer tick.Stop()
	for missed := 0; missed < 2; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		ok, err := s.dep.Claims.Claim(ctx, id, claimTime)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			missed++
		case !ok:
			s.cfg.Log.Warn("another front took over a request", "request", id)
			return
		default:
			missed = 0
		}
	}
	s.cfg.Log.Warn("a claim could not be renewed", "request", id)
}
