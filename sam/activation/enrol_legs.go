package activation

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"tekend/consent"
	"tekend/itsme/token"
	"tekend/sam"
)

// leg loads an enrolment and one of its questions.
func (r *Role) leg(ctx context.Context, id, kind string) (*enrolment, *question, error) {
	e, err := r.loadEnrolment(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if e == nil {
		return nil, nil, refuse(sam.CodeEnrolmentUnknown, "there is no such enrolment")
	}
	nonce := e.IdentNonce
	if kind == kindConsent {
		nonce = e.ConsentNonce
	}
	if nonce == "" {
		return nil, nil, refuse(sam.CodeConflict, "the enrolment is not at this step")
	}
	q, err := r.loadQuestion(ctx, kind, "nonce", nonce)
	if err == nil && q == nil {
		err = refuse(sam.CodeEnrolmentUnknown, "the enrolment has no question")
	}
	return e, q, err
}

// identification takes the answer of the first leg: who is it?
func (r *Role) identification(ctx context.Context, id string, a sam.Answer, hash string) (*sam.EnrolStep, error) {
	e, q, err := r.leg(ctx, id, kindIdentification)
	if err != nil {
		return nil, err
	}
	var second *question
	if q.Answer == "" && q.Status == sam.StatePrepared && a.Error == "" && r.usable(ctx, q) == nil {
		// Made before the code is used up, because it needs itsme and the token.
		if second, err = r.askConsent(ctx, e); err != nil {
			return nil, err
		}
	}
	var next *enrolment
	err = r.take(ctx, q, a, hash, taker{
		party: r.ident,
		check: func(ctx context.Context, acc *accepted) (err error) {
			next, err = r.identified(ctx, e, second, acc)
			return err
		},
		store: func(ctx context.Context, tx *sql.Tx, acc *accepted) error {
			if err := r.allowed(ctx, tx, personName(acc.Issuer, acc.Audience, acc.Subject), id, ""); err != nil {
				return err
			}
			kind := "enrol.identified"
			if next.Step == sam.StepExisting {
				kind = "enrol.existing"
				second = nil
			}
			if second != nil {
				if err := insertQuestion(ctx, tx, second); err != nil {
					return err
				}
			}
			return errors.Join(storeEnrolment(ctx, tx, next, e.MAC), r.audit(ctx, tx, kind, id, nil))
		},
	})
	if err != nil {
		return nil, err
	}
	if next != nil {
		e = next
	}
	return r.step(ctx, e)
}

// askConsent makes the second leg: the person confirms the application, with
// the client whose tokens can also sign, so that its sub becomes known. Who
// must answer cannot be named yet; the claims tell.
func (r *Role) askConsent(ctx context.Context, e *enrolment) (*question, error) {
	app, err := consent.DecodeApplication(e.Application)
	if err != nil {
		return nil, err
	}
	text, err := consent.EnrolText(e.Language, app)
	if err != nil {
		return nil, err
	}
	return r.ask(ctx, form{
		kind: kindConsent, subject: e.ID, party: r.confirm, language: e.Language, claims: token.IdentityClaims(),
		manifest: consent.Manifest{
			Op: consent.OpEnrol, Txn: e.ID, Application: digest(e.Application),
			Template: &consent.Template{Name: token.TemplateFreeText, Text: text},
		},
	})
}

// identified is the enrolment after the first leg: at the consent, or at its
// end when the person has a credential that can be used.
func (r *Role) identified(ctx context.Context, e *enrolment, second *question, acc *accepted) (*enrolment, error) {
	if err := errors.Join(fit(acc.Claims), notSuspended(ctx, r.db, acc.Issuer, acc.Audience, acc.Subject)); err != nil {
		return nil, err
	}
	next := *e
	next.IdentSub, next.Identified = acc.Subject, acc.IssuedAt.UnixMicro()
	known, err := r.known(ctx, e, acc)
	if err != nil {
		return nil, err
	}
	if known != nil {
		next.Step, next.Credential = sam.StepExisting, known.ID
		next.Key.Blob, next.CSR = nil, nil // the new key is dropped
	} else {
		next.Step, next.ConsentNonce = sam.StepConsent, second.Nonce
		if next.Person, err = json.Marshal(acc.Claims); err != nil {
			return nil, err
		}
	}
	next.MAC, err = r.mac(ctx, next.fields())
	return &next, err
}

// fit says whether somebody with these claims may have a certificate.
// Who cannot be shown to be 18 is not.
func fit(c token.Claims) error {
	if c.AgeGTE18 == nil || !*c.AgeGTE18 {
		return refuse(sam.CodeSignerMinor, "the person is not shown to be 18 or older")
	}
	if c.DocumentSN == "" || c.Name == "" && c.FamilyName == "" && c.GivenName == "" {
		return refuse(sam.CodeIdentityMismatch, "itsme did not say the person's name or document")
	}
	return nil
}

// known finds the credential that the enrolment can end with. One for one time
// is always new.
func (r *Role) known(ctx context.Context, e *enrolment, acc *accepted) (*link, error) {
	if oneTime, err := e.oneTime(); err != nil || oneTime {
		return nil, err
	}
	return r.existing(ctx, acc)
}

// existing finds a usable credential of who identified himself: of this very
// account at itsme, whatever the names, and not one that is due for renewal.
func (r *Role) existing(ctx context.Context, acc *accepted) (*link, error) {
	ids, err := column(ctx, r.db, "SELECT id FROM links WHERE iss = ? AND ident_aud = ? AND ident_sub = ? AND state = 'active' AND once_ends = 0 ORDER BY created DESC LIMIT 8",
		acc.Issuer, acc.Audience, acc.Subject)
	if err != nil {
		return nil, fmt.Errorf("look for credentials: %w", err)
	}
	for _, id := range ids {
		l, err := r.credential(ctx, id)
		if err == nil {
			err = r.usableNow(ctx, l)
		}
		if err == nil && l.renew {
			continue
		}
		if err == nil {
			return l, nil
		}
		ref := why(err)
		if ref == nil || ref.Retryable {
			return nil, err
		}
		if err := r.record(ctx, "existing credential", id, ref); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// consent takes the answer of the second leg. It must be the same person: all
// claims of identity equal, where one that is absent equals one that is absent.
func (r *Role) consent(ctx context.Context, id string, a sam.Answer, hash string) (*sam.EnrolStep, error) {
	e, q, err := r.leg(ctx, id, kindConsent)
	if err != nil {
		return nil, err
	}
	var next *enrolment
	err = r.take(ctx, q, a, hash, taker{
		party: r.confirm,
		check: func(ctx context.Context, acc *accepted) (err error) {
			next, err = r.consented(ctx, e, acc)
			return err
		},
		store: func(ctx context.Context, tx *sql.Tx, _ *accepted) error {
			return errors.Join(storeEnrolment(ctx, tx, next, e.MAC), r.audit(ctx, tx, "enrol.consented", id, nil))
		},
	})
	if err != nil {
		return nil, err
	}
	if next != nil {
		e = next
	}
	return r.step(ctx, e)
}

func (r *Role) consented(ctx context.Context, e *enrolment, acc *accepted) (*enrolment, error) {
	var first token.Claims
	if e.Step != sam.StepConsent || json.Unmarshal(e.Person, &first) != nil {
		return nil, refuse(sam.CodeConflict, "the enrolment is not at this step")
	}
	if err := errors.Join(fit(acc.Claims), r.onceOver(e)); err != nil {
		return nil, err
	}
	if identity(first) != identity(acc.Claims) {
		return nil, refuse(sam.CodeIdentityMismatch, "the two answers do not speak of the same person")
	}
	next := *e
	next.Step, next.ConfirmSub = sam.StepIssue, acc.Subject
	var err error
	next.MAC, err = r.mac(ctx, next.fields())
	return &next, err
}

// identity are the claims by which the two legs are compared.
func identity(c token.Claims) [6]string {
	return [6]string{c.Name, c.GivenName, c.FamilyName, c.Birthdate, c.BirthdateText, c.DocumentSN}
}
