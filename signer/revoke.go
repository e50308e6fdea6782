package signer

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tekend/sam"
)

// A person revokes by answering a question of itsme. The front only carries it: the SAM makes the question, verifies the answer,
// decides whose credentials they are, blocks the keys and tells the ca. What is kept here is what the page shows, and an answer
// until the SAM has taken it.

// Reasons that a person may give, in the words of RFC 5280 §5.3.1; the first is the default.
func revocationReasons() []string {
	return []string{"unspecified", "keyCompromise", "superseded", "cessationOfOperation"}
}

// Revocation is one such question. The store keeps it as it is here.
type Revocation struct {
	ID         string          `json:"id"`                   // rv_ and a UUIDv7
	Token      string          `json:"token"`                // of its page; 256 bits, base64url
	State      string          `json:"-"`                    // the state parameter at itsme; the store keeps its hash
	Version    int64           `json:"-"`                    // counts the writes, for the compare-and-swap
	Credential string          `json:"credential,omitempty"` // "": all of whoever answers
	Language   string          `json:"language"`
	Reason     string          `json:"reason"`
	Nonce      string          `json:"nonce"`
	URL        string          `json:"url"`  // itsme's address
	Text       string          `json:"text"` // what the itsme app shows
	CreatedAt  time.Time       `json:"created_at"`
	ExpiresAt  time.Time       `json:"expires_at"`        // of the question
	Answer     *sam.Answer     `json:"answer,omitempty"`  // came from itsme, not yet taken by the SAM
	Used       bool            `json:"used,omitempty"`    // the state parameter was used
	Outcome    *sam.Revocation `json:"outcome,omitempty"` // as the SAM told it last
	Notice     *Error          `json:"notice,omitempty"`  // why it waits
	Failure    *Error          `json:"failure,omitempty"` // why nothing was revoked
}

// RevocationLookup says which is meant: exactly one member is set.
type RevocationLookup struct{ ID, Token, State string }

// Revocations keeps them. Implementations are safe for concurrent use.
type Revocations interface {
	InsertRevocation(ctx context.Context, r *Revocation) error
	// LoadRevocation returns ErrNotFound if there is none. State is not set.
	LoadRevocation(ctx context.Context, l RevocationLookup) (*Revocation, error)
	// AdvanceRevocation is a compare-and-swap on Version: ErrConflict when it is another one; on nil r.Version is the new one.
	AdvanceRevocation(ctx context.Context, r *Revocation) error
	// AnsweredRevocations are the ids of up to limit with an Answer, the oldest first.
	AnsweredRevocations(ctx context.Context, limit int) (ids []string, err error)
	// DropRevocations forgets those that nobody answered and whose question ended before unanswered, and all that ended before all.
	DropRevocations(ctx context.Context, unanswered, all time.Time) error
}

// Revoking is the SAM's part. The PUTs are repeatable.
type Revoking interface {
	Revoke(ctx context.Context, r sam.RevokeRequest) (sam.Prepared, error)
	RevocationAnswer(ctx context.Context, nonce string, a sam.Answer) (sam.Revocation, error)
	RevocationStatus(ctx context.Context, nonce string) (sam.Revocation, error)
	Siblings(ctx context.Context, credential string) (sam.Credentials, error)
}

// Steps of the revocation's page. StepConfirm, StepWait, StepRefused, StepExpired and StepFailed mean what they mean on a signer's
// page.
const (
	StepBlocked   = "blocked"   // the keys cannot be used any more; the ca does not say so yet
	StepPublished = "published" // everybody can see it
)

// RevocationPage is what the page shows now.
type RevocationPage struct {
	Step      string
	Language  string
	All       bool      // all certificates of whoever answers
	Link      string    // itsme's address, in confirm
	Text      string    // what the itsme app shows, in confirm
	ExpiresAt time.Time // of Link
	Count     int       // of certificates that were revoked
	At        time.Time // when, in blocked and published
	Notice    *Error
	Failure   *Error
}

// Limits of questions for revocations, of all people together: each costs the SAM a signature of its itsme client, and nobody has
// proven anything yet. The emergency channel has none of this.
const (
	maxRevocations     = 120
	revocationsPer     = time.Minute
	carryEvery         = 2 * time.Second  // an answer that the SAM did not take is given to it again
	carryTime          = 30 * time.Second // of one attempt
	keepUnanswered     = 24 * time.Hour
	keepRevocations    = 30 * 24 * time.Hour
	carryBatch         = 50
	revocationLifetime = 15 * time.Minute // that the SAM may give a question, at most
)

// rush counts the questions of the window that began last.
type rush struct {
	mu    sync.Mutex
	since time.Time
	count int
}

func (r *rush) take(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.since); age < 0 || age >= revocationsPer {
		r.since, r.count = now, 0
	}
	r.count++
	return r.count <= maxRevocations
}

// Revoke has a question made with which all certificates of whoever answers it are revoked. It returns the token of its page.
func (s *Service) Revoke(ctx context.Context, language, reason string) (token string, err error) {
	if !s.rush.take(s.now()) {
		return "", ErrRush
	}
	return s.askRevocation(ctx, "", language, reason)
}

// RevokeOne has a question made with which the signer of the request with this page token revokes one of his certificates.
// viewer is as in Uses. The SAM takes the answer of its owner alone.
func (s *Service) RevokeOne(ctx context.Context, token, viewer, credential string) (page string, err error) {
	all, err := s.Credentials(ctx, token, viewer)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(c CredentialInfo) bool { return c.ID == credential })
	if at < 0 || !all[at].Revocable {
		return "", ErrNoCredential
	}
	rec, err := s.load(ctx, Lookup{Token: token})
	if err != nil {
		return "", err
	}
	if !s.rush.take(s.now()) {
		return "", ErrRush
	}
	return s.askRevocation(ctx, credential, rec.Language, "")
}

func (s *Service) askRevocation(ctx context.Context, credential, lang, reason string) (token string, err error) {
	if lang == "" {
		lang = defaultLanguage
	}
	if !language(lang) {
		return "", ErrLanguage
	}
	if reason == "" {
		reason = revocationReasons()[0]
	}
	if !slices.Contains(revocationReasons(), reason) {
		return "", ErrReason
	}
	id, err := newID("rv_")
	if err != nil {
		return "", err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	p, err := s.dep.Revoking.Revoke(ctx, sam.RevokeRequest{V: sam.Version, Txn: id, Credential: credential, Language: lang, Reason: reason})
	if err != nil {
		return "", revocationError(err)
	}
	now := s.now()
	r := &Revocation{
		ID: id, Token: base64.RawURLEncoding.EncodeToString(secret), State: p.State, Credential: credential, Language: lang, Reason: reason,
		Nonce: p.Nonce, URL: p.AuthorizationURL, Text: p.Text, CreatedAt: now, ExpiresAt: p.ExpiresAt,
	}
	if latest := now.Add(revocationLifetime); r.ExpiresAt.After(latest) {
		r.ExpiresAt = latest
	}
	if err := s.dep.Revocations.InsertRevocation(ctx, r); err != nil {
		return "", fmt.Errorf("store a revocation: %w", err)
	}
	return r.Token, nil
}

// RevocationPage tells what the page with this token shows now. ErrNoRevocation: there is none.
func (s *Service) RevocationPage(ctx context.Context, token string) (*RevocationPage, error) {
	r, err := s.revocation(ctx, RevocationLookup{Token: token})
	if err != nil {
		return nil, err
	}
	if r.Outcome != nil && r.Outcome.State == sam.RevocationBlocked {
		s.askPublished(ctx, r)
	}
	p := &RevocationPage{Language: r.Language, All: r.Credential == "", Notice: r.Notice, Failure: r.Failure, Step: s.stepOfRevocation(r)}
	if p.Step == StepConfirm {
		p.Link, p.Text, p.ExpiresAt = r.URL, r.Text, r.ExpiresAt
	}
	if o := r.Outcome; o != nil {
		p.Count, p.At = len(o.Credentials), o.At
	}
	return p, nil
}

func (s *Service) stepOfRevocation(r *Revocation) string {
	switch {
	case r.Failure != nil && r.Failure.Code == ErrDeclined.Code:
		return StepRefused
	case r.Failure != nil && r.Failure.Code == ErrAgain.Code:
		return StepExpired
	case r.Failure != nil:
		return StepFailed
	case r.Outcome != nil && r.Outcome.State == sam.RevocationPublished:
		return StepPublished
	case r.Outcome != nil:
		return StepBlocked
	case r.Answer != nil:
		return StepWait
	case !s.now().Before(r.ExpiresAt):
		return StepExpired
	}
	return StepConfirm
}

func (s *Service) revocation(ctx context.Context, l RevocationLookup) (*Revocation, error) {
	r, err := s.dep.Revocations.LoadRevocation(ctx, l)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrNoRevocation
	}
	if err != nil {
		return nil, fmt.Errorf("load a revocation: %w", err)
	}
	return r, nil
}

// askPublished asks the SAM whether the ca has it by now. A SAM that does not answer changes nothing: the keys are blocked.
func (s *Service) askPublished(ctx context.Context, r *Revocation) {
	now, err := s.dep.Revoking.RevocationStatus(ctx, r.Nonce)
	if err != nil || now.State == r.Outcome.State {
		return
	}
	r.Outcome = &now
	if err := s.dep.Revocations.AdvanceRevocation(ctx, r); err != nil && !errors.Is(err, ErrConflict) {
		s.cfg.Log.Error("store a revocation", "revocation", r.ID, "err", err)
	}
}

// RevocationReply takes what itsme's redirect carried, like Callback and under its rules, when the state belongs to no request:
// ErrStateUnknown if to no revocation either. It returns the token of the page to show next, also with ErrStateUsed and
// ErrStateExpired.
func (s *Service) RevocationReply(ctx context.Context, state, code, errorCode string) (token string, err error) {
	if err := replyForm(state, code, errorCode); err != nil {
		return "", err
	}
	r, err := s.dep.Revocations.LoadRevocation(ctx, RevocationLookup{State: state})
	switch {
	case errors.Is(err, ErrNotFound):
		return "", ErrStateUnknown
	case err != nil:
		return "", fmt.Errorf("look up a revocation: %w", err)
	case r.Used:
		return r.Token, ErrStateUsed
	case !s.now().Before(r.ExpiresAt):
		return r.Token, ErrStateExpired
	}
	r.Answer, r.Used = &sam.Answer{Code: code, Error: errorCode}, true
	if err := s.dep.Revocations.AdvanceRevocation(ctx, r); err != nil {
		if errors.Is(err, ErrConflict) {
			return r.Token, ErrStateUsed
		}
		return "", fmt.Errorf("store an answer: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryTime)
	defer cancel()
	s.carry(ctx, r)
	return r.Token, nil
}

// carry gives the SAM an answer. It is stored before, so that a front that stops here, or a SAM that is away, loses none.
func (s *Service) carry(ctx context.Context, r *Revocation) {
	o, err := s.dep.Revoking.RevocationAnswer(ctx, r.Nonce, *r.Answer)
	switch {
	case err != nil:
		why := revocationError(err)
		if why.Retryable && !personAgain(why) {
			s.cfg.Log.Warn("a revocation waits", "revocation", r.ID, "code", why.Code, "err", why.cause)
			r.Notice = why
			break // the answer stays
		}
		r.Answer, r.Notice, r.Failure = nil, nil, why
	case o.State == sam.RevocationBlocked || o.State == sam.RevocationPublished:
		r.Answer, r.Notice, r.Outcome = nil, nil, &o
	default:
		r.Answer, r.Notice, r.Failure = nil, nil, revocationEnd(o)
	}
	if err := s.dep.Revocations.AdvanceRevocation(ctx, r); err != nil && !errors.Is(err, ErrConflict) {
		s.cfg.Log.Error("store a revocation", "revocation", r.ID, "err", err) // the SAM has it; asked again it says the same
	}
}

// revocationEnd says why nothing was revoked.
func revocationEnd(o sam.Revocation) *Error {
	switch o.State {
	case sam.StateDeclined:
		return ErrDeclined
	case sam.StateExpired:
		return ErrAgain
	}
	for _, known := range []map[string]*Error{revocationErrors, samErrors} {
		if e, ok := known[o.Reason]; ok {
			return e
		}
	}
	return ErrRefused
}

// carryAll gives the SAM what it has not taken, until ctx ends, and forgets what is old.
func (s *Service) carryAll(ctx context.Context) {
	t := time.NewTicker(carryEvery)
	defer t.Stop()
	swept := s.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		ids, err := s.dep.Revocations.AnsweredRevocations(ctx, carryBatch)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("look for revocations", "err", err)
		}
		for _, id := range ids {
			if r, err := s.dep.Revocations.LoadRevocation(ctx, RevocationLookup{ID: id}); err == nil && r.Answer != nil {
				s.carry(ctx, r)
			}
		}
		if now := s.now(); now.Sub(swept) >= time.Hour {
			swept = now
			if err := s.dep.Revocations.DropRevocations(ctx, now.Add(-keepUnanswered), now.Add(-keepRevocations)); err != nil && ctx.Err() == nil {
				s.cfg.Log.Error("forget old revocations", "err", err)
			}
		}
	}
}

// CredentialInfo is one of a person's credentials as he may see it.
type CredentialInfo struct {
	ID        string
	State     string    // of its key: active blocked suspended revoked destroyed (package sam)
	Serial    string    // of its certificate, lower-case hex
	NotBefore time.Time // of its certificate
	NotAfter  time.Time
	OneTime   bool
	Revocable bool // it can be revoked: it is not revoked, not expired, and no one-time certificate
}

// Credentials lists the credentials of the signer of the request with this page token, the newest first. viewer is as in Uses.
func (s *Service) Credentials(ctx context.Context, token, viewer string) ([]CredentialInfo, error) {
	credential, err := s.viewed(ctx, token, viewer)
	if err != nil {
		return nil, err
	}
	all, err := s.dep.Revoking.Siblings(ctx, credential)
	if err != nil {
		return nil, revocationError(err)
	}
	var out []CredentialInfo
	for _, c := range all.Credentials {
		cert, err := x509.ParseCertificate(c.Certificate)
		if err != nil {
			return nil, fmt.Errorf("read a certificate of the SAM: %w", err)
		}
		out = append(out, CredentialInfo{
			ID: c.ID, State: c.State, Serial: fmt.Sprintf("%x", cert.SerialNumber.Bytes()), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, OneTime: c.OneTime,
			Revocable: !c.OneTime && c.State != sam.CredentialRevoked && c.State != sam.CredentialDestroyed && s.now().Before(cert.NotAfter),
		})
	}
	return out, nil
}

// whyNotGood says of a certificate that cannot be used what the SAM says of its key: a person whose certificate is revoked gets a
// new one, one whose key is suspended asks those who did it.
func (s *Service) whyNotGood(ctx context.Context, rec *Record, why *Error) *Error {
	if why == nil || why.Code != ErrCertificate.Code || why.Retryable || rec.Progress.Credential == "" {
		return why
	}
	c, err := s.dep.Preparing.Credential(ctx, rec.Progress.Credential)
	if err != nil {
		return why
	}
	switch c.State {
	case sam.CredentialRevoked, sam.CredentialDestroyed:
		return why.with("the person's certificate is revoked")
	case sam.CredentialSuspended:
		return ErrSuspended
	}
	return why
}
