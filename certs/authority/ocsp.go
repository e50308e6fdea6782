package authority

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"tekend/audit"
	"tekend/certs"
)

// OCSP (RFC 6960, RFC 5019, RFC 9654). Answers without nonce are made in advance
// and kept (answers.go), so that most questions need neither key nor database.
// What must be made when somebody asks (with the nonce of the question, about
// several certificates, about a serial number that was never issued) costs a
// signature, and strangers have only so many of them: quotas. Beyond them the
// answer made in advance is given, without the nonce (RFC 9654 §2.1 leaves that
// to the responder), or the protocol's tryLater.

// unknownLife is the life of the answer "unknown": the serial number may be in
// the middle of its issuance.
const unknownLife = time.Minute

// OCSP answers a query (DER) with an answer (DER). What cannot be answered gets
// the protocol's own error: malformedRequest, unauthorized for certificates of
// other CAs (RFC 5019 §2.2.3), tryLater.
func (r *Role) OCSP(ctx context.Context, query []byte) []byte {
	return r.ocspOf(ctx, query, r.quota.live)
}

// OwnOCSP is OCSP for the front's own products, which need answers of after their time-stamps: it has signatures of its own,
// so that no stranger with many nonces keeps a product waiting.
func (r *Role) OwnOCSP(ctx context.Context, query []byte) []byte {
	return r.ocspOf(ctx, query, r.quota.own)
}

// ocspOf answers; what must be signed for the asker is of the quota live.
func (r *Role) ocspOf(ctx context.Context, query []byte, live *bucket) []byte {
	der, err := r.answer(ctx, query, live)
	if err == nil {
		return der
	}
	if e, ok := errors.AsType[*certs.OCSPError](err); ok {
		return certs.OCSPErrorResponse(e.Status)
	}
	if r.loud.take(r.cfg.Now()) { // strangers must not fill the log
		r.cfg.Log.Error("no OCSP answer", "role", "ca", "cause", err.Error())
	}
	return certs.OCSPErrorResponse(certs.OCSPTryLater)
}

func tryLater(reason string) error {
	return &certs.OCSPError{Status: certs.OCSPTryLater, Reason: reason}
}

func (r *Role) answer(ctx context.Context, query []byte, live *bucket) ([]byte, error) {
	q, err := certs.ParseOCSPRequest(query)
	if err != nil {
		return nil, err
	}
	if err := r.gate.Check(); err != nil {
		return nil, tryLater("the gate is closed")
	}
	now := r.cfg.Now()
	id := q.IDs[0]
	if len(q.IDs) == 1 && len(q.Nonce) == 0 {
		if der := r.answers.get(id.DER, now); der != nil {
			return der, nil
		}
	}
	i := r.issuerOf(q.IDs)
	if i == nil {
		return nil, &certs.OCSPError{Status: certs.OCSPUnauthorized, Reason: "certificates of another CA, or of several"}
	}
	if len(q.IDs) == 1 && len(q.Nonce) == 0 {
		return r.prepared(ctx, i, id)
	}
	der, err := r.live(ctx, i, *q, live)
	if err != nil && len(q.IDs) == 1 {
		// The quota is used up, or token or database are away: what was made before is better than nothing.
		if der := r.answers.get(id.DER, now); der != nil {
			return der, nil
		}
		if der, found := r.storedAnswer(ctx, id, now); found == nil && der != nil {
			return der, nil
		}
	}
	return der, err
}

// issuerOf gives the one issuing CA that all ids name, nil when there is none.
func (r *Role) issuerOf(ids []certs.CertID) *issuer {
	for _, i := range r.issuers {
		if ids[0].Of(i.cert) {
			for _, id := range ids[1:] {
				if !id.Of(i.cert) {
					return nil
				}
			}
			return i
		}
	}
	return nil
}

// live signs an answer now, under a quota: known for certificates that were issued.
func (r *Role) live(ctx context.Context, i *issuer, q certs.OCSPRequest, known *bucket) ([]byte, error) {
	now := r.cfg.Now()
	var singles []certs.SingleStatus
	quota := r.quota.unknown
	for _, id := range q.IDs {
		s, err := r.single(ctx, i, id, now)
		if err != nil {
			return nil, err
		}
		if s.State != certs.StatusUnknown {
			quota = known
		}
		singles = append(singles, s)
	}
	if !quota.take(now) {
		return nil, tryLater("the quota of signatures for questions is used up")
	}
	return r.signAnswer(ctx, i, singles, q.Nonce)
}

// signAnswer has the OCSP key sign. The gate is asked again: a role that was put
// back must not say what it does not know any more.
func (r *Role) signAnswer(ctx context.Context, i *issuer, singles []certs.SingleStatus, nonce []byte) ([]byte, error) {
	if err := r.gate.Check(); err != nil {
		return nil, tryLater("the gate is closed")
	}
	who, err := r.responder(ctx, i)
	if err != nil {
		return nil, err
	}
	for n := range singles {
		if singles[n].NextUpdate.After(who.Cert.NotAfter) {
			singles[n].NextUpdate = who.Cert.NotAfter
		}
	}
	der, err := who.Answer(singles, singles[0].ThisUpdate, nonce)
	if err != nil {
		return nil, fmt.Errorf("sign OCSP answer: %w", err)
	}
	return der, nil
}

// single is what there is to say about a certificate now.
func (r *Role) single(ctx context.Context, i *issuer, id certs.CertID, now time.Time) (certs.SingleStatus, error) {
	if err := r.clock(ctx, now); err != nil {
		return certs.SingleStatus{}, err
	}
	this := now.UTC().Truncate(time.Second)
	s := certs.SingleStatus{ID: id, ThisUpdate: this, NextUpdate: this.Add(unknownLife), ArchiveCutoff: i.cert.NotBefore}
	if id.Serial.Sign() <= 0 {
		return s, nil
	}
	state, err := r.stateOf(ctx, i.name, certs.SerialHex(id.Serial))
	if err != nil {
		return certs.SingleStatus{}, err
	}
	s.State, s.RevokedAt, s.Reason = state.state, state.at, state.reason
	if s.State != certs.StatusUnknown {
		s.NextUpdate = this.Add(r.cfg.OCSPLife)
	}
	return s, nil
}

// clock refuses to say anything when the clock is before recorded history: a
// revocation could lie in what is the future now.
func (r *Role) clock(ctx context.Context, now time.Time) error {
	high, err := audit.HighWater(ctx, r.db)
	if err != nil {
		return err
	}
	if now.Before(high.Add(-audit.Backstep)) {
		return clockBack()
	}
	return nil
}

// state is what the database says of a serial number.
type state struct {
	state  certs.CertState
	at     time.Time // of the revocation
	reason int
}

// stateOf: good is what was issued and recorded, revoked what is in the table of
// revocations, whatever became of its order; all else, also an order whose
// certificate is being made, is unknown (EN 319 411-1 OVR-6.6.3-02).
func (r *Role) stateOf(ctx context.Context, issuer, serial string) (state, error) {
	var s state
	var order sql.NullString
	var at, reason sql.NullInt64
	err := r.db.QueryRowContext(ctx, `SELECT (SELECT state FROM orders WHERE serial = ? AND issuer = ?),
		(SELECT at FROM revocations WHERE serial = ? AND issuer = ?), (SELECT reason FROM revocations WHERE serial = ? AND issuer = ?)`,
		serial, issuer, serial, issuer, serial, issuer).Scan(&order, &at, &reason)
	switch {
	case err != nil:
		return s, fmt.Errorf("look up status: %w", err)
	case at.Valid:
		return state{certs.StatusRevoked, time.Unix(at.Int64, 0).UTC(), int(reason.Int64)}, nil
	case order.String == "issued":
		s.state = certs.StatusGood
	case !order.Valid:
		return s, r.responderState(ctx, issuer, serial, &s)
	}
	return s, nil
}

// responderState looks whether the serial number is one of our responder's own certificates.
func (r *Role) responderState(ctx context.Context, issuer, serial string, s *state) error {
	var n int
	err := r.db.QueryRowContext(ctx, "SELECT count(*) FROM responders WHERE serial = ? AND issuer = ? AND certificate IS NOT NULL", serial, issuer).Scan(&n)
	if err != nil {
		return fmt.Errorf("look up status: %w", err)
	}
	if n > 0 {
		s.state = certs.StatusGood
	}
	return nil
}

// quotas are of signatures for strangers' questions, each kind its own, so that
// who asks about numbers that he made up takes nothing from who does not.
type quotas struct {
	live    *bucket // with a nonce, or about several certificates
	own     *bucket // the same, asked by the front for its products
	kept    *bucket // to be kept: one a certificate and digest in half a day
	unknown *bucket // about nothing that was ever issued
}

func newQuotas(rate int, now time.Time) quotas {
	return quotas{newBucket(rate, now), newBucket(rate, now), newBucket(rate, now), newBucket(rate, now)}
}

// bucket is a quota: so many a second, and as many at once as it has gathered.
type bucket struct {
	mu     sync.Mutex
	rate   float64 // a second
	most   float64
	tokens float64
	last   time.Time
}

func newBucket(rate int, now time.Time) *bucket {
	most := 2 * float64(rate)
	return &bucket{rate: float64(rate), most: most, tokens: most, last: now}
}

// take tells whether one more is within the quota. A clock that jumps back gives nothing.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.last).Seconds(); d > 0 {
		b.tokens = min(b.most, b.tokens+d*b.rate)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// sha1ID is the id under which nearly every client asks; RFC 5019 §2.1.1 knows no other one.
func (i *issuer) sha1ID(serial []byte) (certs.CertID, error) {
	return certs.IDOf(certOf(serial), i.cert, crypto.SHA1)
}
