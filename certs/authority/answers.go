package authority

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"tekend/certs"
)

// OCSP answers without nonce. Each issued certificate has a row in the table
// answers from the transaction on that stores it, with renew_at 0, and
// [Role.renewAnswers] makes what is due, in batches. A revocation empties the
// certificate's rows in its own transaction, so that no answer "good" outlives
// it, not over a crash either.

// answers are those in memory, by the bytes of their CertID.
type answers struct {
	mu   sync.RWMutex
	by   map[string]kept
	most int
	// round counts what may have made kept answers untrue. An answer whose state was read before is not kept.
	round uint64
}

type kept struct {
	der        []byte
	this, next time.Time
}

// get gives an answer that is valid now, or nil.
func (a *answers) get(id []byte, now time.Time) []byte {
	a.mu.RLock()
	k, ok := a.by[string(id)]
	a.mu.RUnlock()
	if !ok || now.Before(k.this.Add(-time.Minute)) || !now.Before(k.next) {
		return nil
	}
	return k.der
}

func (a *answers) now() uint64 {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.round
}

// put keeps an answer, unless something was revoked since round. When there is
// no room a stranger's choice goes: map order is random.
func (a *answers) put(id []byte, k kept, round uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.round != round {
		return
	}
	if _, has := a.by[string(id)]; !has && len(a.by) >= a.most {
		for other := range a.by {
			delete(a.by, other)
			break
		}
	}
	a.by[string(id)] = k
}

// drop forgets the answers under the given ids; nil: all.
func (a *answers) drop(ids [][]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.round++
	if ids == nil {
		clear(a.by)
	}
	for _, id := range ids {
		delete(a.by, string(id))
	}
}

// certOf is as much of a certificate as its CertID needs.
func certOf(serial []byte) *x509.Certificate {
	return &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial)}
}

// expectAnswer makes the row of a certificate whose answers are made in advance:
// in the transaction that stores it.
func (r *Role) expectAnswer(ctx context.Context, tx *sql.Tx, i *issuer, cert *x509.Certificate) error {
	id, err := i.sha1ID(cert.SerialNumber.Bytes())
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO answers (cert_id, serial, issuer, until, renew_at) VALUES (?, ?, ?, ?, 0)",
		id.DER, certs.SerialHex(cert.SerialNumber), i.name, cert.NotAfter.Unix()); err != nil {
		return fmt.Errorf("expect OCSP answers: %w", err)
	}
	return nil
}

// storedAnswer gives the answer of the database that is valid now; nil when there is none.
func (r *Role) storedAnswer(ctx context.Context, id certs.CertID, now time.Time) ([]byte, error) {
	round := r.answers.now()
	var der []byte
	var next int64
	err := r.db.QueryRowContext(ctx, "SELECT der, next_update FROM answers WHERE cert_id = ? AND der IS NOT NULL AND next_update > ?", id.DER, now.Unix()).Scan(&der, &next)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up OCSP answer: %w", err)
	}
	end := time.Unix(next, 0)
	r.answers.put(id.DER, kept{der, end.Add(-r.cfg.OCSPLife), end}, round)
	return der, nil
}

// prepared gives the answer without nonce that is stored, or makes it: for a
// certificate from before the responder, one whose end is over, an id under
// another digest. That costs a signature of the quota, once in the life of an
// answer. "unknown" is not stored.
func (r *Role) prepared(ctx context.Context, i *issuer, id certs.CertID) ([]byte, error) {
	now := r.cfg.Now()
	der, err := r.storedAnswer(ctx, id, now)
	if err != nil || der != nil {
		return der, err
	}
	s, err := r.single(ctx, i, id, now)
	if err != nil {
		return nil, err
	}
	if s.State == certs.StatusUnknown {
		return r.live(ctx, i, certs.OCSPRequest{IDs: []certs.CertID{id}}, r.quota.live)
	}
	if !r.quota.kept.take(now) {
		return nil, tryLater("the quota of signatures for questions is used up")
	}
	made, err := r.make(ctx, i, id)
	if err != nil {
		return nil, err
	}
	return made.der, r.keepAnswers(ctx, []madeAnswer{made})
}

// madeAnswer is an answer that was signed and not stored yet.
type madeAnswer struct {
	issuer string
	single certs.SingleStatus
	der    []byte
	round  uint64 // before the state was read
	stale  bool   // something else is true meanwhile
}

func (r *Role) make(ctx context.Context, i *issuer, id certs.CertID) (madeAnswer, error) {
	m := madeAnswer{issuer: i.name, round: r.answers.now()}
	var err error
	if m.single, err = r.single(ctx, i, id, r.cfg.Now()); err != nil {
		return m, err
	}
	m.der, err = r.signAnswer(ctx, i, []certs.SingleStatus{m.single}, nil)
	return m, err
}

// keepAnswers stores answers, in one transaction. An answer "good" about what was
// revoked meanwhile is dropped: the row stays due. A row that is not there yet
// is one that is made only when asked.
func (r *Role) keepAnswers(ctx context.Context, made []madeAnswer) error {
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		for n := range made {
			m := &made[n]
			serial := certs.SerialHex(m.single.ID.Serial)
			revoked, err := isRevoked(ctx, tx, serial)
			if err != nil {
				return err
			}
			if revoked != (m.single.State == certs.StatusRevoked) {
				m.stale = true
				continue
			}
			flag := 0
			if revoked {
				flag = 1
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO answers (cert_id, serial, issuer, revoked, next_update, der) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (cert_id) DO UPDATE SET revoked = excluded.revoked, next_update = excluded.next_update, der = excluded.der,
				renew_at = CASE WHEN answers.until IS NULL THEN NULL ELSE CAST(? AS BIGINT) END`,
				m.single.ID.DER, serial, m.issuer, flag, m.single.NextUpdate.Unix(), m.der, m.single.ThisUpdate.Add(r.cfg.OCSPLife/2).Unix()); err != nil {
				return fmt.Errorf("store OCSP answer: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range made {
		if !m.stale {
			r.answers.put(m.single.ID.DER, kept{m.der, m.single.ThisUpdate, m.single.NextUpdate}, m.round)
		}
	}
	return nil
}

// withdrawAnswers empties the answers about a certificate: they are due at once.
func withdrawAnswers(ctx context.Context, tx *sql.Tx, serial string) error {
	_, err := tx.ExecContext(ctx, "UPDATE answers SET der = NULL, renew_at = CASE WHEN until IS NULL THEN NULL ELSE 0 END WHERE serial = ?", serial)
	if err != nil {
		return fmt.Errorf("withdraw OCSP answers: %w", err)
	}
	return nil
}

func isRevoked(ctx context.Context, tx *sql.Tx, serial string) (bool, error) {
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM revocations WHERE serial = ?", serial).Scan(&n); err != nil {
		return false, fmt.Errorf("look up revocation: %w", err)
	}
	return n > 0, nil
}

// batch is how many answers are made and stored at once: a tenth of a second's
// work, so that a CRL that is due does not wait.
const batch = 200

// due is a row whose answer must be made anew.
type due struct {
	serial, issuer string
	until          int64
}

// renewAnswers makes the answers that are due, at most a batch, those of
// certificates that were just issued or revoked first. more: there are others.
func (r *Role) renewAnswers(ctx context.Context) (more bool, err error) {
	now := r.cfg.Now()
	list, err := r.dueAnswers(ctx, now)
	if err != nil {
		return false, err
	}
	var made []madeAnswer
	for _, d := range list {
		i := r.issuer(d.issuer)
		if i == nil || d.until <= now.Unix() {
			continue
		}
		serial, err := hex.DecodeString(d.serial)
		if err != nil {
			return false, fmt.Errorf("serial number of an OCSP answer: %w", err)
		}
		id, err := i.sha1ID(serial)
		if err != nil {
			return false, err
		}
		m, err := r.make(ctx, i, id)
		if err != nil {
			return false, err
		}
		made = append(made, m)
	}
	if err := r.keepAnswers(ctx, made); err != nil {
		return false, err
	}
	return len(list) == batch, r.endAnswers(ctx, now, len(made) < len(list))
}

// dueAnswers reads the rows that are due.
func (r *Role) dueAnswers(ctx context.Context, now time.Time) ([]due, error) {
	rows, err := r.db.QueryContext(ctx, "SELECT serial, issuer, until FROM answers WHERE renew_at IS NOT NULL AND renew_at <= ? ORDER BY renew_at LIMIT ?", now.Unix(), batch)
	if err != nil {
		return nil, fmt.Errorf("read OCSP answers: %w", err)
	}
	var list []due
	for rows.Next() && err == nil {
		var d due
		if err = rows.Scan(&d.serial, &d.issuer, &d.until); err == nil {
			list = append(list, d)
		}
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("read OCSP answers: %w", err)
	}
	return list, nil
}

// endAnswers stops making in advance the answers of certificates whose end is
// over, or whose issuer this role has no longer. Who asks gets one that is made
// then (EN 319 411-2 CSS-6.3.10-02).
func (r *Role) endAnswers(ctx context.Context, now time.Time, some bool) error {
	if !some {
		return nil
	}
	names := make([]any, 0, len(r.issuers)+2)
	names = append(names, now.Unix(), now.Unix())
	marks := ""
	for _, i := range r.issuers {
		names, marks = append(names, i.name), marks+",?"
	}
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE answers SET renew_at = NULL, until = NULL WHERE renew_at IS NOT NULL AND renew_at <= ? AND (until <= ? OR issuer NOT IN ("+marks[1:]+"))", names...)
		if err != nil {
			return fmt.Errorf("end OCSP answers: %w", err)
		}
		return nil
	})
}

// warm reads answers into memory, as many as there is room for, so that they can
// be given when the database is away.
func (r *Role) warm(ctx context.Context) error {
	round := r.answers.now()
	rows, err := r.db.QueryContext(ctx, "SELECT cert_id, der, next_update FROM answers WHERE der IS NOT NULL AND next_update > ? LIMIT ?", r.cfg.Now().Unix(), r.answers.most)
	if err != nil {
		return fmt.Errorf("read OCSP answers: %w", err)
	}
	for rows.Next() && err == nil {
		var id, der []byte
		var next int64
		if err = rows.Scan(&id, &der, &next); err == nil {
			end := time.Unix(next, 0)
			r.answers.put(id, kept{der, end.Add(-r.cfg.OCSPLife), end}, round)
		}
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read OCSP answers: %w", err)
	}
	return nil
}
