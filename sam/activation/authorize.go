package activation

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tekend/consent"
	"tekend/itsme"
	"tekend/sam"
)

// session permits signing the positions of one confirmation.
type session struct {
	Nonce, ID, Credential string
	Generation            int64
	Algorithm             string // of the values
	Positions             int
	Expires               time.Time
	Seal                  []byte

	once *link  // a new one-time session: the credential's record after it
	was  []byte // its MAC before
}

func (r *Role) sealOfSession(s *session) []byte {
	return r.seal([]byte("session"), []byte(s.Nonce), []byte(s.ID), []byte(s.Credential), number(s.Generation),
		[]byte(s.Algorithm), number(int64(s.Positions)), number(s.Expires.UnixMicro()))
}

// authorize takes itsme's answer to a confirmation of documents. The token
// must be for the Confirmation client, commit to exactly this manifest, and be
// of the owner of the credential.
func (r *Role) authorize(ctx context.Context, nonce string, a sam.Answer, hash string) (*sam.Session, error) {
	q, err := r.loadQuestion(ctx, kindSign, "nonce", nonce)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such confirmation")
	}
	var s *session
	var keys string // hash of itsme's key set
	err = r.take(ctx, q, a, hash, taker{
		party: r.confirm,
		check: func(ctx context.Context, acc *accepted) (err error) {
			s, err = r.newSession(ctx, acc)
			return err
		},
		store: func(ctx context.Context, tx *sql.Tx, acc *accepted) error {
			keys = digest(acc.keys.Body)
			return r.storeSession(ctx, tx, s, acc)
		},
	})
	if err != nil {
		return nil, err
	}
	if s == nil { // an equal call: the stored outcome
		if s, err = r.session(ctx, nonce); err != nil {
			return nil, err
		}
	}
	if keys != "" {
		r.sets.stored(keys)
	}
	return r.sessionMessage(ctx, q, s)
}

// newSession checks that who answered owns the credential. What can change
// until the key is used (the certificate's status) is checked then.
func (r *Role) newSession(ctx context.Context, acc *accepted) (*session, error) {
	m := acc.m
	if m.Cred == nil {
		return nil, refuse(sam.CodeNotAuthorized, "the question is not about a credential")
	}
	l, err := r.credential(ctx, m.Cred.ID)
	if err != nil {
		return nil, err
	}
	if l.Iss != acc.Issuer || l.ConfirmAud != acc.Audience || l.ConfirmSub != acc.Subject {
		return nil, refuse(sam.CodeWrongPerson, "another person answered than the owner of the credential")
	}
	if err := sameCertificate(m, l); err != nil {
		return nil, err
	}
	bound, err := r.confirmOnce(ctx, l, acc)
	if err != nil {
		return nil, err
	}
	a, err := l.algorithmOf(m)
	if err != nil {
		return nil, err
	}
	now := r.cfg.Now()
	s := &session{
		Nonce: acc.Nonce, ID: itsme.Random(), Credential: l.ID, Generation: l.Generation, Algorithm: string(a), Positions: len(m.Docs),
		Expires: until(now, r.cfg.SessionLife, acc.IssuedAt.Add(MaxLife)).UTC().Truncate(time.Microsecond),
		once:    bound, was: l.MAC,
	}
	if bound != nil {
		s.Generation, s.Expires = bound.Generation, until(s.Expires, 0, l.Once.ends())
	}
	s.Seal = r.sealOfSession(s)
	return s, nil
}

func sameCertificate(m consent.Manifest, l *link) error {
	cert := sha256.Sum256(l.leaf.Raw)
	if l.State != sam.CredentialActive || m.Cred.CertSHA256 != b64.EncodeToString(cert[:]) {
		return refuse(sam.CodeCertificateNotGood, "the credential changed since it was prepared")
	}
	return nil
}

func (r *Role) storeSession(ctx context.Context, tx *sql.Tx, s *session, acc *accepted) error {
	if err := storeOnce(ctx, tx, s.once, s.was); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO sessions (nonce, id, credential, generation, algorithm, positions, expires, seal) VALUES (?,?,?,?,?,?,?,?)",
		s.Nonce, s.ID, s.Credential, s.Generation, s.Algorithm, s.Positions, s.Expires.UnixMicro(), s.Seal)
	if err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	for i := range s.Positions {
		if _, err := tx.ExecContext(ctx, "INSERT INTO positions (nonce, position) VALUES (?, ?)", s.Nonce, i); err != nil {
			return fmt.Errorf("store positions: %w", err)
		}
	}
	if err := r.keepJudged(ctx, tx, s.Nonce, acc.keys); err != nil {
		return err
	}
	return r.auditConcern(ctx, tx, concernOf(acc.Nonce, acc.m), "confirmation.authorized", map[string]string{
		"credential": s.Credential, "positions": strconv.Itoa(s.Positions), "token": digest([]byte(acc.inner)), "kid": digest([]byte(acc.KeyID)),
		"keys": digest(acc.keys.Body), "keys_url": acc.keys.URL, "keys_at": timeOfKeys(acc.keys.At),
	})
}

// session loads the session of a confirmation.
func (r *Role) session(ctx context.Context, nonce string) (*session, error) {
	s := &session{Nonce: nonce}
	var expires int64
	err := r.db.QueryRowContext(ctx, "SELECT id, credential, generation, algorithm, positions, expires, seal FROM sessions WHERE nonce = ?", nonce).Scan(
		&s.ID, &s.Credential, &s.Generation, &s.Algorithm, &s.Positions, &expires, &s.Seal)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such session")
	}
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	s.Expires = time.UnixMicro(expires).UTC()
	return s, nil
}

// usableSession refuses a session that this process did not make or that is over.
func (r *Role) usableSession(s *session) error {
	if !hmac.Equal(s.Seal, r.sealOfSession(s)) {
		return refuse(sam.CodeNotAuthorized, "the stored session was changed")
	}
	if !r.cfg.Now().Before(s.Expires) {
		return refuse(sam.CodeNotAuthorized, "the session is over")
	}
	return nil
}
