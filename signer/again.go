package signer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tekend/sam"
)

// againPause is the least time between two new questions at the person's wish: each costs the SAM a
// signature of its itsme client, and a key when it is an enrolment.
const againPause = 10 * time.Second

// Again gives up the question that itsme was asked and makes a new one, for a person whose app or browser
// lost it: itsme's link works once. An answer to the old question that still comes is ErrStateExpired and
// signs nothing. If the SAM has taken an answer already the request goes on instead, and if there is no
// question Again changes nothing. ErrTooSoon: the last new question is not older than 10 seconds.
func (s *Service) Again(ctx context.Context, token string) error {
	for range 5 { // as in change
		rec, err := s.load(ctx, Lookup{Token: token})
		if err != nil {
			return err
		}
		err = s.again(ctx, rec)
		if errors.Is(err, ErrConflict) {
			continue // perhaps the answer has come meanwhile
		}
		if err == nil {
			await(ctx, s.kick(rec.ID, true), pageWait)
			err = s.tooMany(ctx, rec.ID)
		}
		return err
	}
	return ErrBusy
}

// tooMany is ErrTooMany when the SAM asks this person no more for now.
func (s *Service) tooMany(ctx context.Context, id string) error {
	rec, err := s.load(ctx, Lookup{ID: id})
	if err != nil {
		return err
	}
	if n := rec.Progress.Notice; n != nil && n.Code == ErrTooMany.Code {
		return n
	}
	return nil
}

func (s *Service) again(ctx context.Context, rec *Record) error {
	if rec.State.End() {
		return ErrEnded.with("the request is " + string(rec.State))
	}
	step := s.stepOf(rec)
	if step != StepIdentify && step != StepConsent && step != StepConfirm {
		return nil // an answer has come, or the person has something else to do
	}
	now := s.now()
	if since := now.Sub(rec.Progress.AskedAgain); since >= 0 && since < againPause {
		return ErrTooSoon
	}
	found, err := false, error(nil)
	if step == StepConfirm {
		found, err = s.findConfirmed(ctx, rec)
	} else {
		found, err = s.findEnrolled(ctx, rec)
	}
	if found || err != nil {
		return err
	}
	next := *rec
	p := &next.Progress
	p.Confirmation, p.Enrolment, p.Notice, p.AskedAgain = nil, nil, nil, now
	if step != StepConfirm && p.Terms != s.cfg.Terms.Version {
		p.Terms, p.Notice = "", ErrTerms
	}
	// The next step makes the new question: each one that was stored has counted Tries up, so that its txn,
	// and with it the SAM's question, is another one.
	return s.advance(ctx, rec, Change{Now: &next, Abandon: true})
}

// findConfirmed asks the SAM whether it has taken an answer to the question that is on the page, of which
// we know nothing. Then the request goes on (found).
func (s *Service) findConfirmed(ctx context.Context, rec *Record) (found bool, err error) {
	nonce := rec.Progress.Confirmation.Nonce
	st, err := s.dep.Activation.Confirmation(ctx, nonce)
	if err != nil {
		if why := samError(err); why.Retryable && !personAgain(why) {
			s.logCause(rec, why)
			return false, why
		}
		return false, nil // the SAM does not know the question: nobody can have answered it
	}
	switch {
	case st.State == sam.StateDeclined:
		return true, s.end(ctx, rec, Declined, ErrDeclined)
	case st.State != sam.StateAuthorized:
		return false, nil
	case st.Session == nil:
		return false, fmt.Errorf("confirmation is authorized without a session")
	}
	next := *rec
	next.State = Confirmed
	used := func(p sam.PositionStatus) bool { return p.State != sam.PositionFree }
	if len(st.Positions) != len(rec.Documents) || slices.ContainsFunc(st.Positions, used) {
		next.State = Activating // Sign may have been called: askActivation finds out
	}
	p := &next.Progress
	p.Session = &Session{ID: st.Session.ID, Nonce: nonce, ExpiresAt: st.Session.ExpiresAt, Stamp: st.Session.Stamp}
	p.Notice = nil
	return true, s.advance(ctx, rec, Change{Now: &next, Abandon: true})
}

// findEnrolled is the same for an enrolment: found when the SAM's is ahead of ours.
func (s *Service) findEnrolled(ctx context.Context, rec *Record) (found bool, err error) {
	st, err := s.dep.Certifying.Enrolment(ctx, rec.Progress.Enrolment.ID)
	if err != nil {
		if why := samError(err); why.Retryable && !personAgain(why) {
			s.logCause(rec, why)
			return false, why
		}
		return false, nil // the SAM does not know the enrolment
	}
	if st.Step == rec.Progress.Enrolment.Step || st.Step == sam.StepFailed {
		return false, nil
	}
	err = s.enrolStep(ctx, rec, st)
	if err != nil && !errors.Is(err, ErrConflict) {
		err = s.stumble(ctx, rec.ID, err)
	}
	return true, err
}
