package signer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"tekend/ca"
	"tekend/certs"
	"tekend/sam"
	"tekend/wire"
)

// created is step 2: a person without a usable credential gets one.
func (s *Service) created(ctx context.Context, rec *Record, page bool) (again bool, err error) {
	p := &rec.Progress
	switch {
	case p.Answer != nil:
		return true, s.answerEnrolment(ctx, rec)
	case p.Enrolment != nil && p.Enrolment.Step == sam.StepIssue:
		return true, s.issue(ctx, rec)
	case p.Enrolment != nil && !s.now().Before(p.Enrolment.ExpiresAt):
		if !page {
			return false, nil
		}
		return false, s.askTermsAgain(ctx, rec, ErrAgain)
	case p.Enrolment != nil:
		return false, nil
	case p.Terms != "":
		return false, s.enrol(ctx, rec)
	case page && rec.Reference != "" && !p.OneTime:
		return s.known(ctx, rec)
	}
	return false, nil
}

// known looks whether the client's person has a credential already. One that cannot be used any more is
// forgotten, and the person enrols again; so he does when it is to be renewed, but that one is kept until
// there is another.
func (s *Service) known(ctx context.Context, rec *Record) (again bool, err error) {
	id, err := s.dep.Signers.CredentialOf(ctx, rec.Client, rec.Reference)
	if err != nil {
		return false, fmt.Errorf("look up credential: %w", err)
	}
	if id == "" {
		return false, s.unknown(ctx, rec)
	}
	cred, err := s.dep.Preparing.Credential(ctx, id)
	if err == nil {
		err = s.checkCredential(cred)
	}
	if err == nil && cred.Renew {
		return false, s.unknown(ctx, rec)
	}
	if err == nil {
		return true, s.identified(ctx, rec, cred)
	}
	if why := samError(err); why.Code != ErrCertificate.Code {
		return false, why
	}
	next := *rec
	next.Progress.Credential, next.Progress.Notice = "", nil
	return false, s.advance(ctx, rec, Change{Now: &next, Bind: true})
}

// unknown leaves the person at the terms, without a notice about the looking up.
func (s *Service) unknown(ctx context.Context, rec *Record) error {
	if n := rec.Progress.Notice; n == nil || personAgain(n) {
		return nil
	}
	next := *rec
	next.Progress.Notice = nil
	return s.advance(ctx, rec, Change{Now: &next})
}

// checkCredential says whether a signature made now would be good: active, one path to our roots, and a
// certificate of a natural person.
func (s *Service) checkCredential(c sam.Credential) error {
	if c.State != sam.CredentialActive {
		return ErrCertificate.with("the person's credential is " + plainCode(c.State))
	}
	leaf, chain, err := parseChain(c.Chain)
	if err != nil {
		return err
	}
	if ahead := leaf.NotBefore.Sub(s.now()); ahead > 0 { // ours to mend; it passes by waiting, and nothing signed claims a time before it
		return fmt.Errorf("the certificate begins in %v: the clock of this machine is behind the certification authority's", ahead)
	}
	if err := certs.CheckPath(leaf, chain, s.dep.Roots, s.now(), certs.Signing); err != nil {
		s.cfg.Log.Warn("certificate path", "credential", c.ID, "err", err)
		return ErrCertificate
	}
	if err := certs.IsQualifiedNaturalPerson(leaf); err != nil {
		s.cfg.Log.Warn("certificate profile", "credential", c.ID, "err", err)
		return ErrCertificate
	}
	return nil
}

// parseChain reads a chain, leaf first. A root in it is left out: it adds nothing to a signature.
func parseChain(der [][]byte) (leaf *x509.Certificate, chain []*x509.Certificate, err error) {
	if len(der) == 0 || len(der) > 8 { // 8: nobody has more levels
		return nil, nil, ErrCertificate
	}
	for i, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, nil, fmt.Errorf("parse certificate %d of the chain: %w", i, err)
		}
		switch {
		case i == 0:
			leaf = c
		case c.CheckSignatureFrom(c) != nil:
			chain = append(chain, c)
		}
	}
	return leaf, chain, nil
}

// enrol asks the SAM for a key and the first leg.
func (s *Service) enrol(ctx context.Context, rec *Record) error {
	st, err := s.dep.Enrolling.Enrol(ctx, sam.EnrolRequest{
		V: sam.Version, Txn: txn(rec), Language: rec.Language, TermsVersion: rec.Progress.Terms, TermsSHA256: s.cfg.Terms.SHA256,
		OneTime: rec.Progress.OneTime,
	})
	if err != nil {
		return s.enrolFailed(ctx, rec, err)
	}
	if st.Step != sam.StepIdentify || !s.now().Before(st.ExpiresAt) {
		// The stored outcome of an earlier, lost try. A new txn makes a new enrolment.
		return s.askTermsAgain(ctx, rec, ErrAgain)
	}
	return s.enrolled(ctx, rec, st)
}

// txn names one enrolment or preparation. It stays the same until its outcome is stored, so that a
// repeated call is an equal one.
func txn(rec *Record) string { return fmt.Sprintf("%s-%d", rec.ID, rec.Progress.Tries+1) }

// enrolled writes down what the SAM's enrolment is at.
func (s *Service) enrolled(ctx context.Context, rec *Record, st sam.EnrolStep) error {
	next := *rec
	p := &next.Progress
	if p.Enrolment == nil {
		p.Tries++
	}
	p.Answer, p.Notice = nil, nil
	p.Enrolment = &Enrolment{ID: st.ID, Step: st.Step, URL: st.AuthorizationURL, ExpiresAt: st.ExpiresAt}
	c := Change{Now: &next}
	switch st.Step {
	case sam.StepIdentify:
		c.Expect = &Callback{State: st.State, Request: rec.ID, Kind: KindIdentification, Subject: st.ID, ExpiresAt: st.ExpiresAt}
	case sam.StepConsent:
		c.Expect = &Callback{State: st.State, Request: rec.ID, Kind: KindConsent, Subject: st.ID, ExpiresAt: st.ExpiresAt}
	}
	return s.advance(ctx, rec, c)
}

// askTermsAgain goes back to the start of the enrolment and tells the person why.
func (s *Service) askTermsAgain(ctx context.Context, rec *Record, why *Error) error {
	s.logCause(rec, why)
	next := *rec
	p := &next.Progress
	p.Terms, p.Enrolment, p.Answer, p.Notice = "", nil, nil, why
	p.Tries++
	return s.advance(ctx, rec, Change{Now: &next})
}

// enrolFailed: some refusals mean that the person may try again, from the start.
func (s *Service) enrolFailed(ctx context.Context, rec *Record, err error) error {
	why := samError(err)
	if personAgain(why) || codeOf(err) == sam.CodeBeforeStart {
		if why.Code == ErrRestarted.Code {
			why = ErrAgain
		}
		return s.askTermsAgain(ctx, rec, why)
	}
	return why
}

// personAgain says that not waiting helps, but the person, by confirming once more.
func personAgain(e *Error) bool {
	switch e.Code {
	case ErrAgain.Code, ErrOnCall.Code, ErrTerms.Code, ErrInterrupted.Code, ErrTooMany.Code:
		return true
	}
	return false
}

// codeOf is the partner's own code of an answered refusal.
func codeOf(err error) string {
	var w *wire.Error
	if errors.As(err, &w) {
		return w.Code
	}
	return ""
}

// answerEnrolment hands itsme's answer to the SAM.
func (s *Service) answerEnrolment(ctx context.Context, rec *Record) error {
	a := rec.Progress.Answer
	call := s.dep.Enrolling.Identification
	if a.Kind == KindConsent {
		call = s.dep.Enrolling.Consent
	}
	st, err := call(ctx, a.Subject, sam.Answer{Code: a.Code, Error: a.Error})
	if err != nil {
		if why := samError(err); why.Retryable && !personAgain(why) && !s.now().Before(a.ExpiresAt) {
			return s.askTermsAgain(ctx, rec, ErrAgain) // too late for this answer
		}
		return s.enrolFailed(ctx, rec, err)
	}
	return s.enrolStep(ctx, rec, st)
}

// enrolStep acts upon the step that the SAM says the enrolment is at.
func (s *Service) enrolStep(ctx context.Context, rec *Record, st sam.EnrolStep) error {
	switch st.Step {
	case sam.StepIdentify, sam.StepConsent, sam.StepIssue:
		return s.enrolled(ctx, rec, st)
	case sam.StepDone, sam.StepExisting:
		if st.Credential == nil {
			return fmt.Errorf("enrolment %s without a credential", plainCode(st.Step))
		}
		if err := s.checkCredential(*st.Credential); err != nil {
			return err
		}
		if rec.Progress.OneTime == st.Credential.SessionEnds.IsZero() {
			return ErrCertificate.with("the credential is of the other kind than was asked for")
		}
		return s.identified(ctx, rec, *st.Credential)
	}
	return s.enrolFailed(ctx, rec, &wire.Error{Code: st.Reason})
}

// issue carries the issue order to the CA and the certificate back. Every call is repeatable.
func (s *Service) issue(ctx context.Context, rec *Record) error {
	id := rec.Progress.Enrolment.ID
	st, err := s.dep.Certifying.Enrolment(ctx, id)
	if err != nil {
		return s.enrolFailed(ctx, rec, err)
	}
	if st.Step != sam.StepIssue || st.Order == nil {
		return s.enrolStep(ctx, rec, st) // an earlier try came through
	}
	issued, err := s.dep.Issuer.Issue(ctx, ca.IssueRequest(*st.Order))
	if err != nil {
		why := caError(err)
		if personAgain(why) {
			return s.askTermsAgain(ctx, rec, why)
		}
		return why
	}
	st, err = s.dep.Certifying.Certificate(ctx, id, issued.Chain)
	if err != nil {
		return s.enrolFailed(ctx, rec, err)
	}
	return s.enrolStep(ctx, rec, st)
}

// identified ends step 2. If the client has a name for the person, it keeps the credential, unless that is for
// this request alone.
func (s *Service) identified(ctx context.Context, rec *Record, c sam.Credential) error {
	next := *rec
	next.State = Identified
	p := &next.Progress
	p.Credential, p.Chain, p.Algorithm, p.SessionEnds = c.ID, c.Chain, c.Algorithm, c.SessionEnds
	p.Terms, p.Enrolment, p.Answer, p.Notice = "", nil, nil, nil
	if next.awaits() {
		if err := s.awaitDigests(&next); err != nil {
			return err
		}
	}
	return s.advance(ctx, rec, Change{Now: &next, Bind: bound(rec)})
}

// bound tells whether the client's name of the person stands for the credential.
func bound(rec *Record) bool { return rec.Reference != "" && !rec.Progress.OneTime }
