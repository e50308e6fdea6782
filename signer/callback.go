package signer

import (
	"context"
	"errors"
	"fmt"

	"tekend/sam"
)

// Limits of what itsme's redirect may carry. itsme's codes and errors are below 100 characters; our own
// states are 43.
const (
	maxStateParam = 512
	maxCode       = 512 // the SAM takes no more
	maxErrorCode  = 128
)

// Callback takes what itsme's redirect carried: exactly one of code and errorCode. The state parameter
// alone says which request is meant, so that the answer may come from another device than the question.
// The answer is stored, with the state used up, before the SAM gets it: it survives a restart and is
// given to the SAM until that has taken it.
//
// It returns the token of the page to show next. Refused and failed answers are no errors here, the page
// shows them. With ErrStateUsed and ErrStateExpired the token is returned too.
func (s *Service) Callback(ctx context.Context, state, code, errorCode string) (token string, err error) {
	if err := replyForm(state, code, errorCode); err != nil {
		return "", err
	}
	cb, err := s.dep.Callbacks.Callback(ctx, state)
	if errors.Is(err, ErrNotFound) {
		return "", ErrStateUnknown
	}
	if err != nil {
		return "", fmt.Errorf("look up callback: %w", err)
	}
	rec, err := s.change(ctx, Lookup{ID: cb.Request}, func(rec *Record) (*Change, error) {
		token = rec.Token
		return s.answered(ctx, rec, state, &Answer{Kind: cb.Kind, Subject: cb.Subject, Code: code, Error: errorCode, ExpiresAt: cb.ExpiresAt})
	})
	if err != nil {
		return token, err
	}
	if rec.State.End() {
		return token, nil
	}
	return token, s.awaitStep(ctx, rec.ID, func(p *Progress) bool { return p.Answer == nil || p.Notice != nil })
}

// replyForm refuses what cannot be an answer to a question of ours.
func replyForm(state, code, errorCode string) error {
	if state == "" || len(state) > maxStateParam {
		return ErrStateUnknown
	}
	if (code == "") == (errorCode == "") ||
		code != "" && !visibleASCII(code, maxCode) || errorCode != "" && !visibleASCII(errorCode, maxErrorCode) {
		return ErrBadReply
	}
	return nil
}

// answered makes the change that stores an answer, if the request still waits for it.
func (s *Service) answered(ctx context.Context, rec *Record, state string, a *Answer) (*Change, error) {
	cb, err := s.dep.Callbacks.Callback(ctx, state) // again: change may be here for the second time
	if err != nil {
		return nil, fmt.Errorf("look up callback: %w", err)
	}
	if cb.Used {
		return nil, ErrStateUsed
	}
	if rec.State.End() {
		return nil, nil // the page says what became of it
	}
	a.ExpiresAt = cb.ExpiresAt // it may have been abandoned meanwhile
	if now := s.now(); !now.Before(a.ExpiresAt) || !now.Before(rec.ExpiresAt) || !waitsFor(rec, a) {
		return nil, ErrStateExpired
	}
	next := *rec
	next.Progress.Answer, next.Progress.Notice = a, nil
	return &Change{Now: &next, Use: state}, nil
}

func waitsFor(rec *Record, a *Answer) bool {
	p := &rec.Progress
	if p.Answer != nil {
		return false
	}
	switch a.Kind {
	case KindIdentification:
		return rec.State == Created && p.Enrolment != nil && p.Enrolment.ID == a.Subject && p.Enrolment.Step == sam.StepIdentify
	case KindConsent:
		return rec.State == Created && p.Enrolment != nil && p.Enrolment.ID == a.Subject && p.Enrolment.Step == sam.StepConsent
	case KindConfirmation:
		return rec.State == Prepared
	}
	return false
}
