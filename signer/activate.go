package signer

import (
	"context"
	"slices"
	"time"

	"tekend/sam"
)

// burntGrace is how long after the end of a session we still wait for values of burnt positions: the
// SAM may be in the middle of using the key.
const burntGrace = time.Minute

// authorize is step 5: the SAM takes itsme's answer. The call is a PUT of this very answer, so that it
// may be repeated after a lost reply: the SAM exchanges a code once and tells its stored outcome.
func (s *Service) authorize(ctx context.Context, rec *Record) error {
	a := rec.Progress.Answer
	sess, err := s.dep.Activation.Authorize(ctx, a.Subject, sam.Answer{Code: a.Code, Error: a.Error})
	if err != nil {
		why := samError(err)
		switch {
		case why.Code == ErrRestarted.Code:
			why = ErrAgain.because(err) // nothing was signed; the person may confirm a new preparation
		case why.Retryable && !personAgain(why) && !s.now().Before(a.ExpiresAt):
			why = ErrAgain.because(err) // too late for this answer
		}
		if personAgain(why) {
			return s.askConfirmationAgain(ctx, rec, why)
		}
		return why
	}
	next := *rec
	next.State = Confirmed
	p := &next.Progress
	p.Session = &Session{ID: sess.ID, Nonce: a.Subject, ExpiresAt: sess.ExpiresAt, Stamp: sess.Stamp}
	p.Viewer = viewerHash(ViewerOf(a.Code))
	p.Answer, p.Notice = nil, nil
	return s.advance(ctx, rec, Change{Now: &next})
}

func (s *Service) askConfirmationAgain(ctx context.Context, rec *Record, why *Error) error {
	s.logCause(rec, why)
	next := *rec
	p := &next.Progress
	p.Answer, p.Confirmation, p.Notice = nil, nil, why
	return s.advance(ctx, rec, Change{Now: &next})
}

// activate is step 6. From the moment when state activating is durable, it is unknown whether the key
// was used, until the SAM says so.
func (s *Service) activate(ctx context.Context, rec *Record) error {
	if !s.now().Before(rec.Progress.Session.ExpiresAt) {
		return ErrSessionOver
	}
	stamp, err := s.stampSession(ctx, rec)
	if err != nil {
		return err
	}
	next := *rec
	next.State = Activating
	next.Progress.Notice = nil
	if err := s.advance(ctx, rec, Change{Now: &next}); err != nil {
		return err
	}
	return s.sign(ctx, rec, stamp)
}

// sign asks for all positions at once. Only activate and askActivation may call it: nothing was burnt.
func (s *Service) sign(ctx context.Context, rec *Record, stamp []byte) error {
	sess := rec.Progress.Session
	signed, err := s.dep.Activation.Sign(ctx, sess.Nonce, sam.SignRequest{Session: sess.ID, Positions: positions(rec), TimeStamp: stamp})
	if err != nil {
		// Not the error decides but what the SAM has recorded: askActivation, at once or in a moment.
		s.cfg.Log.Warn("sign", "request", rec.ID, "err", err)
		why := samError(err)
		if why.Retryable {
			return why
		}
		return s.askActivation(ctx, rec, why)
	}
	return s.keepValues(ctx, rec, signed.Values)
}

func positions(rec *Record) []int {
	p := make([]int, len(rec.Documents))
	for i := range p {
		p[i] = i
	}
	return p
}

// askActivation finds out what became of a call of Sign (house §3, state activating). refusal is the
// final answer that Sign got just now, if it got one.
func (s *Service) askActivation(ctx context.Context, rec *Record, refusal *Error) error {
	sess := rec.Progress.Session
	st, err := s.dep.Activation.Confirmation(ctx, sess.Nonce)
	if err != nil {
		why := samError(err)
		if why.Retryable && s.now().Before(sess.ExpiresAt.Add(s.cfg.FinishWithin)) {
			return why
		}
		return ErrOutcome
	}
	count := map[string]int{}
	var values []sam.Value
	for _, p := range st.Positions {
		count[p.State]++
		if p.Value != nil {
			values = append(values, *p.Value)
		}
	}
	n := len(rec.Documents)
	over := !s.now().Before(sess.ExpiresAt)
	switch {
	case len(values) == n:
		return s.keepValues(ctx, rec, values)
	case count[sam.PositionUnknown] > 0 || len(st.Positions) != n:
		return ErrOutcome
	case count[sam.PositionFree] == n && refusal != nil:
		return refusal
	case count[sam.PositionFree] == n && (over || st.State != sam.StateAuthorized):
		return ErrSessionOver
	case count[sam.PositionBurnt] > 0 || count[sam.PositionFree] == 0 || over:
		if s.now().Before(sess.ExpiresAt.Add(burntGrace)) {
			return ErrSAM.with("the signature activation module is at work")
		}
		return ErrOutcome
	case refusal != nil:
		return ErrOutcome
	}
	stamp, err := s.stampSession(ctx, rec)
	if err != nil {
		return err
	}
	return s.sign(ctx, rec, stamp)
}

// keepValues stores the signature values before anything else is done with them.
func (s *Service) keepValues(ctx context.Context, rec *Record, values []sam.Value) error {
	next := *rec
	next.State = Signed
	next.Progress.SignedAt = s.now()
	next.Progress.Notice = nil
	next.Documents = slices.Clone(rec.Documents)
	seen := make([]bool, len(next.Documents))
	for _, v := range values {
		if v.Position < 0 || v.Position >= len(seen) || seen[v.Position] || len(v.Value) == 0 {
			return ErrOutcome.with("the signature activation module returned values that do not fit")
		}
		seen[v.Position] = true
		w := *next.Documents[v.Position].Work
		w.Value, w.Algorithm = v.Value, v.Algorithm
		next.Documents[v.Position].Work = &w
	}
	if slices.Contains(seen, false) {
		return ErrOutcome.with("the signature activation module returned too few values")
	}
	return s.advance(ctx, rec, Change{Now: &next, Works: true})
}
