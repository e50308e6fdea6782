package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"tekend/audit"
	"tekend/consent"
	"tekend/itsme"
	"tekend/itsme/token"
	"tekend/sam"
)

// accepted is an ID token that passed every check of specs/itsme.md §9.4 for
// its question.
type accepted struct {
	*token.IDToken
	inner string // compact JWS
	m     consent.Manifest
	keys  itsme.Snapshot // the set of itsme's that the token was verified with
}

// taker says what an accepted token brings about. check may refuse it for
// reasons of its own and does what needs the token or the network; store
// writes its outcome in the transaction that consumes the nonce.
type taker struct {
	party *party
	check func(ctx context.Context, a *accepted) error
	store func(ctx context.Context, tx *sql.Tx, a *accepted) error
}

// take is the way of itsme's answer to one question; the caller holds the
// question's lock. The first answer is taken, whatever comes of it; an equal
// one gets the stored outcome (nil or a refusal), another one is a conflict.
func (r *Role) take(ctx context.Context, q *question, a sam.Answer, hash string, t taker) error {
	if q.Status == sam.StatePrepared && r.cfg.Now().Before(q.Expires) || q.Status == exchanging {
		if err := r.elsewhere(ctx, q); err != nil {
			return err
		}
	}
	if q.Answer != "" {
		return r.outcome(ctx, q, hash)
	}
	if q.Status != sam.StatePrepared {
		return q.refusal()
	}
	if err := checkAnswer(a); err != nil {
		return err
	}
	if err := r.usable(ctx, q); err != nil {
		return err
	}
	if !r.cfg.Now().Before(q.Expires) {
		return r.settle(ctx, q, hash, refuse(sam.CodeExpired, "the answer came too late"))
	}
	if a.Error != "" {
		return r.settle(ctx, q, hash, meaning(a.Error))
	}
	// Without a token nothing can come of it: the code stays unused, and the same answer may be brought again.
	if err := r.token.Health(ctx); err != nil {
		return tokenTrouble(err)
	}
	acc, err := r.redeem(ctx, q, a.Code, hash, t.party)
	if err == nil {
		err = t.check(ctx, acc)
	}
	if err == nil {
		err = r.consume(ctx, q, acc, t)
	}
	var ref *refusal
	if errors.As(err, &ref) && q.Status == exchanging {
		return r.settle(ctx, q, hash, ref)
	}
	return err
}

// outcome is what an answer that is not the first gets.
func (r *Role) outcome(ctx context.Context, q *question, hash string) error {
	switch {
	case q.Answer != hash:
		return refuse(sam.CodeConflict, "another answer was taken before")
	case q.Status == sam.StateAuthorized:
		return nil
	case q.Status == exchanging: // the process could not write the end down
		return r.settle(ctx, q, hash, lost())
	}
	return q.refusal()
}

// lost: itsme may have taken the code, and its answer did not arrive. The code
// is never sent a second time.
func lost() *refusal {
	return refuse(sam.CodeExpired, "the exchange of the code has no known outcome; the person may confirm again")
}

// refusal is the stored one.
func (q *question) refusal() *refusal {
	if q.Reason == "" {
		return refuse(sam.CodeNotAuthorized, "the question has ended")
	}
	ref := refuse(q.Reason, q.Detail)
	ref.recorded = true
	return ref
}

// checkAnswer: codes are opaque, 36 characters at itsme (specs/itsme.md §1.10).
func checkAnswer(a sam.Answer) error {
	if (a.Code == "") == (a.Error == "") {
		return refuse(sam.CodeBadRequest, "exactly one of code and error must be set")
	}
	for _, v := range []string{a.Code, a.Error} {
		if len(v) > 512 || strings.ContainsFunc(v, func(c rune) bool { return c < '!' || c > '~' }) {
			return refuse(sam.CodeBadRequest, "code and error are at most 512 visible ASCII characters")
		}
	}
	return nil
}

// meaning is what an error of itsme's redirect means (specs/itsme.md §5).
func meaning(code string) *refusal {
	switch itsme.ErrorMeaning(code) {
	case itsme.Declined:
		return refuse(sam.CodeDeclined, "the person declined")
	case itsme.Fault:
		return refuse(sam.CodeBadToken, "itsme says that the request was wrong")
	}
	return refuse(sam.CodeExpired, "nobody answered at itsme")
}

// redeem exchanges the code and verifies the token. Before the code is sent,
// that is written down durably, so that it is never sent again; what can fail
// without using the code up is done before: above all the HSM signs the client
// assertion, so that a confirmation does not get lost with the HSM.
func (r *Role) redeem(ctx context.Context, q *question, code, hash string, p *party) (*accepted, error) {
	if err := r.provider.Check(ctx); err != nil {
		return nil, itsmeTrouble(err)
	}
	m, err := q.manifest()
	if err != nil {
		return nil, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	if err := r.matches(q, m, p); err != nil {
		return nil, err
	}
	raw, err := p.Exchange(ctx, code, q.Verifier, func() error { return r.exchange(ctx, q, hash) })
	switch {
	case err != nil && q.Status != exchanging:
		return nil, itsmeTrouble(err) // the code was not sent
	case err != nil:
		return nil, exchangeRefusal(err)
	}
	inner, err := token.Decrypt(raw, p.decrypt)
	if err != nil {
		return nil, tokenRefusal(err)
	}
	keys := r.provider.Record()
	t, err := token.Verify(ctx, inner, keys, token.Expect{
		Issuer: m.Iss, Audience: p.ID(), Nonce: consent.Nonce(q.Manifest), Subject: m.Sub, ACR: m.ACR, Now: r.cfg.Now(),
	})
	if err != nil {
		return nil, tokenRefusal(err)
	}
	if t.Expires.Sub(t.IssuedAt) > MaxLife {
		return nil, refuse(sam.CodeBadToken, "the ID token lives too long")
	}
	if t.Claims.OngoingCall != nil && *t.Claims.OngoingCall {
		return nil, refuse(sam.CodeOngoingCall, "the person is in a call")
	}
	return &accepted{IDToken: t, inner: inner, m: m, keys: keys.Snapshot()}, nil
}

// exchange writes down that the code is sent now.
func (r *Role) exchange(ctx context.Context, q *question, hash string) error {
	if !r.spent.first("answer "+q.Nonce, r.cfg.Now()) {
		return refuse(sam.CodeReplayed, "an answer was taken before; the database was put back")
	}
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		if err := changed(ctx, tx, "UPDATE questions SET status = 'exchanging', answer = ? WHERE nonce = ? AND status = 'prepared' AND answer = ''", hash, q.Nonce); err != nil {
			return err
		}
		return r.audit(ctx, tx, "answer.exchange", q.Nonce, map[string]string{"kind": q.Kind})
	})
	if err != nil {
		r.spent.again("answer " + q.Nonce) // nothing was sent, nothing was stored
		return err
	}
	q.Status, q.Answer = exchanging, hash
	return nil
}

// matches compares the manifest with what is used now (specs/itsme.md §9.4
// step 8); a configuration that changed meanwhile is no reason to be lenient.
func (r *Role) matches(q *question, m consent.Manifest, p *party) error {
	cfg := p.Config()
	if m.Op != opOf[q.Kind] || m.Iss != r.provider.Issuer() || m.ClientID != cfg.ID || m.Service != cfg.Service ||
		m.RedirectURI != cfg.RedirectURI || m.ACR != cfg.ACR || m.CodeChallenge != digest([]byte(q.Verifier)) {
		return refuse(sam.CodeNotAuthorized, "the question is of another operation or client")
	}
	if r.cfg.Now().Unix() >= m.Exp {
		return refuse(sam.CodeExpired, "the answer came too late")
	}
	return nil
}

// opOf is the operation of a manifest for each kind of question.
var opOf = map[string]string{
	kindIdentification: consent.OpEnrol, kindConsent: consent.OpEnrol, kindSign: consent.OpSign, kindRevoke: consent.OpRevoke,
}

func exchangeRefusal(err error) error {
	var e *itsme.Error
	switch {
	case errors.As(err, &e) && e.Code == "invalid_grant":
		return refuse(sam.CodeExpired, "itsme does not take the code: too old, used, or of another question")
	case errors.As(err, &e):
		return refuse(sam.CodeBadToken, "itsme refused the exchange: "+e.Code)
	}
	// The code may or may not be used up, and a second sending is never tried.
	return lost()
}

// tokenRefusal: the reasons of package token are a fixed list without content.
func tokenRefusal(err error) error {
	switch reason := token.ReasonOf(err); reason {
	case "":
		return lost() // the keys could not be had
	case token.WrongNonce:
		return refuse(sam.CodeWrongNonce, "the token commits to another question")
	case token.WrongSubject:
		return refuse(sam.CodeWrongPerson, "another person answered")
	default:
		return refuse(sam.CodeBadToken, "the token is refused: "+reason)
	}
}

// consume takes the nonce out of the world, for ever, together with what it
// brings about and the rows of the audit: one durable transaction.
func (r *Role) consume(ctx context.Context, q *question, a *accepted, t taker) error {
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "INSERT INTO consumed (iss, aud, nonce, at) VALUES (?,?,?,?) ON CONFLICT DO NOTHING",
			a.Issuer, a.Audience, a.Nonce, r.cfg.Now().UnixMicro())
		if err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, refuse(sam.CodeReplayed, "the nonce was consumed before"))
		}
		if err := changed(ctx, tx, "UPDATE questions SET status = 'authorized', token = ? WHERE nonce = ? AND status = 'exchanging'", a.inner, q.Nonce); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		return t.store(ctx, tx, a)
	})
	if err == nil {
		q.Status, q.Token = sam.StateAuthorized, a.inner
	}
	return err
}

// settle ends a question with a refusal: stored, and in the audit.
func (r *Role) settle(ctx context.Context, q *question, hash string, ref *refusal) error {
	final := refuse(ref.Code, ref.Detail)
	if ref.Retryable && ref.Code != sam.CodeTooManyQuestions { // not any more: the code is used up
		final = refuse(sam.CodeExpired, ref.Detail+"; the person may confirm again")
	}
	status := sam.StateFailed
	switch final.Code {
	case sam.CodeDeclined:
		status = sam.StateDeclined
	case sam.CodeExpired:
		status = sam.StateExpired
	}
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		err := changed(ctx, tx, "UPDATE questions SET status = ?, answer = ?, reason = ?, detail = ? WHERE nonce = ? AND status IN ('prepared', 'exchanging')",
			status, hash, final.Code, final.Detail, q.Nonce)
		if err != nil {
			return fmt.Errorf("settle: %w", err)
		}
		return r.auditEnd(ctx, tx, q, "refusal."+final.Code, map[string]string{"call": "answer " + q.Kind, "why": final.Detail})
	})
	if err != nil {
		return err
	}
	q.Status, q.Answer, q.Reason, q.Detail = status, hash, final.Code, final.Detail
	final.recorded = true
	return final
}

// settleExchanges ends, at start, the exchanges that a process that is no more began.
func (r *Role) settleExchanges(ctx context.Context, tx *sql.Tx) error {
	nonces, err := column(ctx, tx, "SELECT nonce FROM questions q WHERE status = 'exchanging' AND "+left, r.leftBy()...)
	if err != nil {
		return err
	}
	end := lost()
	for _, n := range nonces {
		if err := changed(ctx, tx, "UPDATE questions SET status = 'expired', reason = ?, detail = ? WHERE nonce = ?", end.Code, end.Detail, n); err != nil {
			return err
		}
		q := &question{Nonce: n}
		if err := tx.QueryRowContext(ctx, "SELECT kind, manifest FROM questions WHERE nonce = ?", n).Scan(&q.Kind, &q.Manifest); err != nil {
			return fmt.Errorf("read question: %w", err)
		}
		if err := r.auditEnd(ctx, tx, q, "refusal."+end.Code, map[string]string{"call": "start", "why": end.Detail}); err != nil {
			return err
		}
	}
	return nil
}

// column reads one text column, in a transaction or outside.
func column(ctx context.Context, q audit.Querier, query string, args ...any) ([]string, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// until is the end of a life that begins at t, not later than limit.
func until(t time.Time, life time.Duration, limit time.Time) time.Time {
	end := t.Add(life)
	if end.After(limit) {
		return limit
	}
	return end
}
