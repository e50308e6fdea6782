package signer

import (
	"context"
	"errors"
	"time"

	"tekend/sam"
)

const (
	// pageWait is how long a page waits for work that is soon done before it says "wait".
	pageWait = 3 * time.Second
	// answerWait is the same for a callback: the SAM exchanges the code with itsme meanwhile.
	answerWait = 8 * time.Second
)

// Page tells what the signer's page with this token shows now, and makes what it needs to show it: the
// prepared documents and itsme's address. It may be called as often as one likes.
func (s *Service) Page(ctx context.Context, token string) (*Page, error) {
	rec, err := s.load(ctx, Lookup{Token: token})
	if err != nil {
		return nil, err
	}
	if s.pageNeedsWork(rec) {
		await(ctx, s.kick(rec.ID, true), pageWait)
		if rec, err = s.load(ctx, Lookup{Token: token}); err != nil {
			return nil, err
		}
	}
	return s.page(rec), nil
}

func (s *Service) pageNeedsWork(rec *Record) bool {
	p, now := &rec.Progress, s.now()
	switch {
	case rec.State.open() && p.Answer == nil && !now.Before(rec.ExpiresAt):
		return true // expired
	case rec.State == Created && p.Enrolment != nil:
		return p.Answer == nil && p.Enrolment.Step != sam.StepIssue && !now.Before(p.Enrolment.ExpiresAt)
	case rec.State == Created:
		return p.Terms != "" || bound(rec)
	case rec.State == Prepared && p.Answer == nil:
		return !s.lasts(p) || s.onceOver(rec)
	}
	return rec.State == Identified && (!rec.awaits() || s.onceOver(rec))
}

func (s *Service) page(rec *Record) *Page {
	pr := &rec.Progress
	p := &Page{Request: view(rec), ReturnURL: returnURL(rec), Notice: pr.Notice, Failure: pr.Failure, Step: s.stepOf(rec)}
	p.CheckCode = p.Request.CheckCode
	switch p.Step {
	case StepTerms:
		p.TermsVersion = s.cfg.Terms.Version
	case StepIdentify, StepConsent:
		p.Link, p.ExpiresAt = pr.Enrolment.URL, pr.Enrolment.ExpiresAt
	case StepConfirm:
		p.Link, p.ExpiresAt, p.Text = pr.Confirmation.URL, pr.Confirmation.ExpiresAt, pr.Confirmation.Text
	}
	return p
}

func (s *Service) stepOf(rec *Record) string {
	p := &rec.Progress
	live := func(t time.Time) bool { return s.now().Before(t) }
	switch rec.State {
	case Finished:
		return StepDone
	case Declined:
		return StepRefused
	case Expired:
		return StepExpired
	case Failed:
		return StepFailed
	case Created:
		switch {
		case p.Answer != nil || p.Terms != "" && p.Enrolment == nil:
			return StepWait
		case p.Enrolment == nil && p.Notice != nil && !personAgain(p.Notice):
			return StepWait // we could not look up the credential yet
		case p.Enrolment == nil:
			return StepTerms
		case p.Enrolment.Step == sam.StepIdentify && live(p.Enrolment.ExpiresAt):
			return StepIdentify
		case p.Enrolment.Step == sam.StepConsent && live(p.Enrolment.ExpiresAt):
			return StepConsent
		}
	case Prepared:
		if p.Answer == nil && p.Confirmation != nil && live(p.Confirmation.ExpiresAt) {
			return StepConfirm
		}
	}
	return StepWait
}

// change applies f to the request with this token and stores the result; when somebody else was faster
// it looks again. f returns nil for "nothing to do".
func (s *Service) change(ctx context.Context, l Lookup, f func(rec *Record) (*Change, error)) (*Record, error) {
	for range 5 { // more than five writers at once on one request are not honest
		rec, err := s.load(ctx, l)
		if err != nil {
			return nil, err
		}
		c, err := f(rec)
		if err != nil || c == nil {
			return rec, err
		}
		err = s.advance(ctx, rec, *c)
		if !errors.Is(err, ErrConflict) {
			return rec, err
		}
	}
	return nil, ErrBusy
}

// AcceptTerms records that the person accepts the terms and starts the enrolment; then Page shows the
// first link. A second click changes nothing.
func (s *Service) AcceptTerms(ctx context.Context, token, version, lang string) error {
	if version != s.cfg.Terms.Version {
		return ErrTerms
	}
	if lang != "" && !language(lang) {
		return ErrLanguage
	}
	rec, err := s.change(ctx, Lookup{Token: token}, func(rec *Record) (*Change, error) {
		if rec.State.End() {
			return nil, ErrEnded.with("the request is " + string(rec.State))
		}
		if rec.State != Created || rec.Progress.Terms != "" {
			return nil, nil
		}
		if !s.now().Before(rec.ExpiresAt) {
			return nil, ErrExpired
		}
		next := *rec
		next.Progress.Terms, next.Progress.Notice = version, nil
		if lang != "" {
			next.Language = lang
		}
		return &Change{Now: &next}, nil
	})
	if err != nil {
		return err
	}
	return s.awaitStep(ctx, rec.ID, func(p *Progress) bool { return p.Terms == "" || p.Enrolment != nil || p.Notice != nil })
}

// awaitStep makes a request go on and returns when done says so, at the latest after answerWait.
func (s *Service) awaitStep(ctx context.Context, id string, done func(*Progress) bool) error {
	ended := s.kick(id, false)
	limit := time.NewTimer(answerWait)
	defer limit.Stop()
	for {
		changed := s.hub.next(id)
		rec, err := s.load(ctx, Lookup{ID: id})
		if err != nil {
			return err
		}
		if rec.State.End() || done(&rec.Progress) {
			return nil
		}
		select {
		case <-changed:
		case <-ended:
			return nil
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// Decline ends a request that was not confirmed yet because the person said no on our page.
func (s *Service) Decline(ctx context.Context, token string) error {
	_, err := s.change(ctx, Lookup{Token: token}, func(rec *Record) (*Change, error) {
		switch {
		case rec.State == Declined:
			return nil, nil
		case rec.State.End():
			return nil, ErrEnded.with("the request is " + string(rec.State))
		case !rec.State.open() || rec.Progress.Answer != nil && rec.Progress.Answer.Kind == KindConfirmation:
			return nil, ErrTooLate
		}
		next := *rec
		next.State = Declined
		next.Progress.Failure, next.Progress.Notice, next.Progress.Answer = ErrDeclined, nil, nil
		return &Change{Now: &next}, nil
	})
	return err
}
