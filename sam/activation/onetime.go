package activation

import (
	"context"
	"crypto"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/certs"
	"tekend/consent"
	"tekend/sam"
	"tekend/tsa"
)

// A one-time credential (TS 119 431-1 LNK-6.2.2-03B, GEN-6.2.1-09) is for one
// session: it begins with the identification of its enrolment and ends 30
// minutes later at the latest. Its key is asked for in one question, about one
// list of documents, and one confirmation; the key signs with a time-stamp of
// the last minute in hand, and then it is destroyed. What was asked and
// confirmed stands in the link record, under its MAC, and every change is a
// compare-and-swap on that MAC: of two questions or two answers one wins.

// OnceLife is how long the session of a one-time credential lasts after itsme
// identified the person (SIG-A.5-09, policy EUSPv2: 30 minutes).
const OnceLife = 30 * time.Minute

// maxOnce is the longest validity of its certificate (eidas §2.4 STC-01).
const maxOnce = 24 * time.Hour

// stampSkew is how far the time-stamp may be from our clock.
const stampSkew = time.Minute

// once is what a link record says of a one-time credential.
type once struct {
	Ends  int64  // when its session ends, microseconds since 1970; 0: not a one-time credential
	Docs  string // names the documents of its question; "": not asked yet
	Nonce string // of the confirmation that was given; "": none
}

// ends is zero for other credentials.
func (o once) ends() time.Time {
	if o.Ends == 0 {
		return time.Time{}
	}
	return time.UnixMicro(o.Ends).UTC()
}

// oneTime tells whether the enrolment is for a one-time credential.
func (e *enrolment) oneTime() (bool, error) {
	app, err := consent.DecodeApplication(e.Application)
	return app.OneTime, err
}

// onceOver refuses when the session that the enrolment began is over.
func (r *Role) onceOver(e *enrolment) error {
	oneTime, err := e.oneTime()
	if err != nil {
		return err
	}
	if oneTime && !r.cfg.Now().Before(time.UnixMicro(e.Identified).Add(OnceLife)) {
		return refuse(sam.CodeExpired, "the session of the one-time credential is over")
	}
	return nil
}

// fitOnce holds the new credential to what was applied for: a certificate of
// the one-time profile, valid for a day at most, exactly when it was asked for.
func (l *link) fitOnce(e *enrolment) error {
	oneTime, err := e.oneTime()
	if err != nil {
		return err
	}
	if certs.IsOneTime(l.leaf) != oneTime {
		return refuse(sam.CodeCertificateNotGood, "the certificate is of the other kind than was applied for")
	}
	if !oneTime {
		return nil
	}
	if l.leaf.NotAfter.Sub(l.leaf.NotBefore) > maxOnce {
		return refuse(sam.CodeCertificateNotGood, "the certificate is valid for longer than a one-time certificate may be")
	}
	l.Once.Ends = time.UnixMicro(e.Identified).Add(OnceLife).UnixMicro()
	return nil
}

// docsName names the documents of a manifest, in their order, by what people
// are told of them. The digest of the signed attributes is not in it: those of
// CAdES state the time of the question, and a question that is asked again is
// about the same documents. What is signed is what the one question said that
// was confirmed.
func docsName(m consent.Manifest) string {
	var all [][]byte
	for _, d := range m.Docs {
		all = append(all, []byte(d.Alg), []byte(d.Doc), []byte(d.Label), []byte(d.Origin))
	}
	return digest(joined(all))
}

// askOnce is the record after a question about these documents was made, nil
// when it stays as it is. The same documents may be asked about again as long as
// nobody confirmed; others never.
func (r *Role) askOnce(ctx context.Context, l *link, m consent.Manifest) (*link, error) {
	if l.Once.Ends == 0 {
		return nil, nil
	}
	docs := docsName(m)
	switch {
	case r.cfg.Now().Add(time.Second).After(l.Once.ends()):
		return nil, refuse(sam.CodeNotAuthorized, "the session of the one-time credential is over")
	case l.Once.Nonce != "":
		return nil, refuse(sam.CodeNotAuthorized, "the one-time credential had its confirmation")
	case l.Once.Docs == docs:
		return nil, nil
	case l.Once.Docs != "":
		return nil, refuse(sam.CodeNotAuthorized, "the one-time credential is for other documents")
	}
	next := *l
	next.Once.Docs = docs
	return &next, r.remade(ctx, &next)
}

// confirmOnce is the record after the confirmation, nil for other credentials.
func (r *Role) confirmOnce(ctx context.Context, l *link, acc *accepted) (*link, error) {
	if l.Once.Ends == 0 {
		return nil, nil
	}
	if !r.cfg.Now().Before(l.Once.ends()) || l.Once.Nonce != "" || l.Once.Docs != docsName(acc.m) {
		return nil, refuse(sam.CodeNotAuthorized, "the one-time credential is not for this confirmation, or its session is over")
	}
	next := *l
	next.Once.Nonce = acc.Nonce
	return &next, r.remade(ctx, &next)
}

// remade gives a changed record its next generation and its MAC.
func (r *Role) remade(ctx context.Context, l *link) (err error) {
	l.Generation++
	l.MAC, err = r.mac(ctx, l.fields())
	return err
}

// storeOnce writes what askOnce or confirmOnce gave, unless the record changed
// since it was read. was is its MAC then.
func storeOnce(ctx context.Context, tx *sql.Tx, l *link, was []byte) error {
	if l == nil {
		return nil
	}
	err := changed(ctx, tx, "UPDATE links SET generation = ?, once_docs = ?, once_nonce = ?, mac = ? WHERE id = ? AND mac = ?",
		l.Generation, l.Once.Docs, l.Once.Nonce, l.MAC, l.ID, was)
	if errors.Is(err, errNotOne) {
		return busyElsewhere()
	}
	if err != nil {
		return fmt.Errorf("change link: %w", err)
	}
	return nil
}

// sessionMessage is the session as the front may see it, with what must be
// time-stamped before the key is used. What it reads here is only told; what
// holds is read under its MAC when the key is used.
func (r *Role) sessionMessage(ctx context.Context, q *question, s *session) (*sam.Session, error) {
	out := &sam.Session{ID: s.ID, Positions: s.Positions, ExpiresAt: s.Expires}
	var ends int64
	if err := r.db.QueryRowContext(ctx, "SELECT once_ends FROM links WHERE id = ?", s.Credential).Scan(&ends); err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	if ends != 0 {
		sum := sha256.Sum256(q.Manifest)
		out.Stamp = sum[:]
	}
	return out, nil
}

// checkStamp is the last check before a one-time key is used: it is for this
// confirmation, and the time at which it signs is proven by somebody who knows
// the time, inside the certificate's validity: nobody publishes later whether
// the certificate was good (eidas §2.4 STC-05). The token leads to our root.
// Without one nothing is used up, and a fresh one may be brought.
func (r *Role) checkStamp(l *link, q *question, raw []byte) error {
	if l.Once.Ends == 0 {
		if len(raw) > 0 {
			return refuse(sam.CodeBadRequest, "the credential needs no time-stamp")
		}
		return nil
	}
	now := r.cfg.Now()
	if l.Once.Nonce != q.Nonce || !now.Before(l.Once.ends()) {
		return refuse(sam.CodeNotAuthorized, "the one-time credential is not for this confirmation, or its session is over")
	}
	ref := refuse(sam.CodeTimeStampRequired, "no time-stamp of the last minute over the manifest")
	ref.Retryable = true
	token, err := tsa.ParseToken(raw)
	if err != nil {
		return ref
	}
	sum := sha256.Sum256(q.Manifest)
	if err := token.Verify(tsa.VerifyOptions{Imprint: sum[:], Hash: crypto.SHA256, Roots: r.roots, At: now, MaxSkew: stampSkew}); err != nil {
		ref.Detail = "the time-stamp is refused: " + stampFault(err)
		return ref
	}
	if token.GenTime.Before(l.leaf.NotBefore) || !token.GenTime.Before(l.leaf.NotAfter) {
		return refuse(sam.CodeCertificateNotGood, "the time-stamp is not of the certificate's validity")
	}
	return nil
}

// stampFault is the code of package tsa: a fixed list, nothing that came in.
func stampFault(err error) string {
	var e *tsa.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return "other"
}

// keepStamp stores the time-stamp with which the key is about to be used.
func keepStamp(ctx context.Context, tx *sql.Tx, nonce string, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO stamps (nonce, hash, token) VALUES (?,?,?) ON CONFLICT DO NOTHING", nonce, digest(raw), raw); err != nil {
		return fmt.Errorf("store time-stamp: %w", err)
	}
	return nil
}
