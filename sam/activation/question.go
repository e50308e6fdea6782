package activation

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/consent"
	"tekend/itsme"
	"tekend/sam"
)

// Kinds of questions.
const (
	kindIdentification = "identification"
	kindConsent        = "consent"
	kindSign           = "sign"
	kindRevoke         = "revoke"
)

// exchanging is the status while a code is being exchanged. The others are
// those of package sam.
const exchanging = "exchanging"

// question is what a person is asked at itsme. It is named by its nonce.
type question struct {
	Nonce, Kind, Subject, Boot    string
	Manifest                      []byte
	Verifier, State, URL, Request string
	Expires                       time.Time
	Seal                          []byte

	Status, Answer, Reason, Detail, Token string
}

// form is what is asked: the part of the manifest that the caller fills in, and
// what does not stand in it.
type form struct {
	kind, subject string
	party         *party
	manifest      consent.Manifest // Op, Txn, Sub, Template, Docs, Root, Cred, Application
	language      string
	claims        []string  // asked inside the ID token
	before        time.Time // the answer must come before; zero: no other limit than the question's life
}

// ask makes a question: salt, PKCE, manifest, nonce, request object. Nothing
// of it comes from the caller's side of the socket but what f holds.
func (r *Role) ask(ctx context.Context, f form) (*question, error) {
	now := r.cfg.Now()
	cfg := f.party.Config()
	verifier, challenge := itsme.NewVerifier()
	m := f.manifest
	m.V, m.Iss, m.ClientID, m.Service = consent.Version, r.provider.Issuer(), cfg.ID, cfg.Service
	m.RedirectURI, m.ACR, m.CodeChallenge, m.Salt = cfg.RedirectURI, cfg.ACR, challenge, itsme.Random()
	m.Policy = r.cfg.PolicySHA256
	ends := now.Add(r.cfg.QuestionLife)
	if !f.before.IsZero() && f.before.Before(ends) {
		ends = f.before
	}
	m.Iat, m.Exp = now.Unix(), ends.Unix()
	b, err := m.Encode()
	if err != nil {
		return nil, err
	}
	q := &question{
		Nonce: consent.Nonce(b), Kind: f.kind, Subject: f.subject, Boot: r.boot, Manifest: b,
		Verifier: verifier, State: itsme.Random(), Expires: time.Unix(m.Exp, 0), Status: sam.StatePrepared,
	}
	text := ""
	if m.Template != nil {
		text = m.Template.Text
	}
	q.URL, q.Request, err = f.party.AuthorizationURL(ctx, itsme.AuthRequest{
		State: q.State, Nonce: q.Nonce, CodeChallenge: challenge, Language: f.language, Subject: m.Sub, Text: text,
		IDTokenClaims: f.claims, Issued: time.Unix(m.Iat, 0), Expires: q.Expires, JTI: itsme.Random(),
	})
	if err != nil {
		return nil, itsmeTrouble(fmt.Errorf("make authorization URL: %w", err))
	}
	q.Seal = r.sealOf(q)
	return q, nil
}

// unanswered is where a question stands that nobody has confirmed, with a refusal
// code when it has ended. It only reads.
func (r *Role) unanswered(ctx context.Context, q *question) (state, reason string, err error) {
	there, err := r.atWork(ctx, q)
	switch {
	case err != nil:
		return "", "", err
	case q.Status == exchanging:
		return sam.StatePrepared, q.Reason, nil
	case q.Status == sam.StatePrepared && q.Boot != r.boot && !there:
		return sam.StateFailed, sam.CodeBeforeStart, nil
	case q.Status == sam.StatePrepared && !r.cfg.Now().Before(q.Expires):
		return sam.StateExpired, sam.CodeExpired, nil
	}
	return q.Status, q.Reason, nil
}

// itsmeTrouble makes the errors of a call to itsme that used nothing up
// retryable refusals.
func itsmeTrouble(err error) error {
	if errors.Is(err, itsme.ErrUnreachable) {
		return later(sam.CodeItsmeUnreachable, "itsme did not answer")
	}
	return tokenTrouble(err)
}

func (r *Role) sealOf(q *question) []byte {
	return r.seal([]byte("question"), []byte(q.Nonce), []byte(q.Kind), []byte(q.Subject), []byte(q.Boot), q.Manifest,
		[]byte(q.Verifier), []byte(q.State), []byte(q.URL), []byte(q.Request), number(q.Expires.UnixMicro()))
}

// manifest reads back what was asked; it must be what the nonce commits to.
func (q *question) manifest() (consent.Manifest, error) {
	if consent.Nonce(q.Manifest) != q.Nonce {
		return consent.Manifest{}, errors.New("the stored manifest is not what the nonce commits to")
	}
	return consent.DecodeManifest(q.Manifest)
}

// usable refuses a question for new acts when it is of another process, or
// when its row is not what this process wrote.
func (r *Role) usable(ctx context.Context, q *question) error {
	if q.Boot != r.boot {
		if err := r.elsewhere(ctx, q); err != nil {
			return err
		}
		return refuse(sam.CodeBeforeStart, "made before this process started")
	}
	if !hmac.Equal(q.Seal, r.sealOf(q)) || consent.Nonce(q.Manifest) != q.Nonce {
		return refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	return nil
}

func insertQuestion(ctx context.Context, tx *sql.Tx, q *question) error {
	err := changed(ctx, tx, `INSERT INTO questions (nonce, kind, subject, boot, manifest, verifier, state, url, request, expires, seal)
		VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (kind, subject) DO NOTHING`, q.Nonce, q.Kind, q.Subject, q.Boot, q.Manifest, q.Verifier, q.State, q.URL, q.Request, q.Expires.UnixMicro(), q.Seal)
	if errors.Is(err, errNotOne) { // the same preparation, at the same time
		return busyElsewhere()
	}
	if err != nil {
		return fmt.Errorf("store question: %w", err)
	}
	return nil
}

const questionColumns = "nonce, kind, subject, boot, manifest, verifier, state, url, request, expires, seal, status, answer, reason, detail, token"

// loadQuestion finds a question of the kind by "nonce" or "subject"; nil when
// there is none. A nonce of another operation is none.
func (r *Role) loadQuestion(ctx context.Context, kind, by, value string) (*question, error) {
	query := "SELECT " + questionColumns + " FROM questions WHERE kind = ? AND nonce = ?"
	if by == "subject" {
		query = "SELECT " + questionColumns + " FROM questions WHERE kind = ? AND subject = ?"
	}
	var q question
	var expires int64
	err := r.db.QueryRowContext(ctx, query, kind, value).Scan(&q.Nonce, &q.Kind, &q.Subject, &q.Boot, &q.Manifest, &q.Verifier,
		&q.State, &q.URL, &q.Request, &expires, &q.Seal, &q.Status, &q.Answer, &q.Reason, &q.Detail, &q.Token)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	q.Expires = time.UnixMicro(expires).UTC()
	return &q, nil
}

// changed runs an UPDATE that must change exactly one row.
func changed(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return errNotOne
	}
	return nil
}

// errNotOne: a row was not in the state that it must have.
var errNotOne = errors.New("the row is not in the expected state")
