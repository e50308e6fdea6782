package activation

import (
	"context"
	"crypto"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/cms"
	"tekend/consent"
	"tekend/hsm"
	"tekend/sam"
)

// activate uses the owner's key for the free positions. The order decides
// everything (house §3): check, burn and record durably, use the key, store.
// With no error there is a value in each use, and all are stored.
func (r *Role) activate(ctx context.Context, q *question, s *session, free []int, stamp []byte) ([]use, error) {
	// 1. All that must be true now. Nothing is used up if something is not.
	l, m, err := r.permitted(ctx, q, s)
	if err != nil {
		return nil, err
	}
	if err := r.checkStamp(l, q, stamp); err != nil {
		return nil, err
	}
	work, err := l.uses(m, free)
	if err != nil {
		return nil, err
	}
	// 2. Burn. When this returns nil it is on the disk.
	still := r.still(ctx)
	if err := r.burn(ctx, s, l, work, stamp); err != nil {
		return nil, err
	}
	// 3. The only use of a user's key for documents in the program.
	err = r.token.UseWrapped(ctx, l.Key, l.leaf.PublicKey, func(key crypto.Signer) error {
		return signAll(key, l.leaf.PublicKey, work, still)
	})
	// 4. Store, whatever became of the caller.
	if stored := r.keep(s, concernOf(q.Nonce, m), work); stored != nil {
		return nil, fmt.Errorf("store values: %w", stored)
	}
	r.endOnce(l, s)
	return work, ended(work, err)
}

// permitted checks everything once more: question and session are of this
// process and not over, the manifest is what the nonce commits to, the
// credential is the one that was confirmed and good at this moment. The record's
// MAC comes from the token, so a token that is away is noticed here.
func (r *Role) permitted(ctx context.Context, q *question, s *session) (l *link, m consent.Manifest, err error) {
	if err := r.usable(ctx, q); err != nil {
		return nil, m, err
	}
	if err := r.usableSession(s); err != nil {
		return nil, m, err
	}
	if l, err = r.credential(ctx, s.Credential); err != nil {
		return nil, m, err
	}
	m, err = q.manifest()
	if err != nil || m.Op != consent.OpSign || len(m.Docs) != s.Positions || m.Cred.ID != l.ID || m.Sub != l.ConfirmSub {
		return nil, m, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	if l.Generation != s.Generation {
		return nil, m, refuse(sam.CodeCertificateNotGood, "the credential changed since it was confirmed")
	}
	if err := sameCertificate(m, l); err != nil {
		return nil, m, err
	}
	a, err := l.algorithmOf(m)
	if err != nil || string(a) != s.Algorithm {
		return nil, m, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	if err := r.countsNow(l, a); err != nil {
		return nil, m, err
	}
	return l, m, r.usableNow(ctx, l)
}

// use is one use of the key.
type use struct {
	position  int
	algorithm cms.Algorithm
	name      string // of the digest, as in the manifest
	dtbs      []byte // digest of the signed attributes
	sent      bool   // the key was asked; from here on the outcome is unknown until there is a value
	value     []byte
	err       error
}

// uses are the uses of the key for some positions of a manifest.
func (l *link) uses(m consent.Manifest, positions []int) ([]use, error) {
	a, err := l.algorithmOf(m)
	if err != nil {
		return nil, err
	}
	work := make([]use, len(positions))
	for i, p := range positions {
		dtbs, err := m.Docs[p].DTBSDigest()
		if err != nil || len(dtbs) != a.Hash().Size() {
			return nil, refuse(sam.CodeNotAuthorized, "the stored question was changed")
		}
		work[i] = use{position: p, algorithm: a, name: m.Docs[p].DTBS, dtbs: dtbs}
	}
	return work, nil
}

// burn marks the positions as used, with a row of the audit each, in one
// durable transaction, in which l is still as it was looked at. stamp is the
// time-stamp of a one-time key's use.
func (r *Role) burn(ctx context.Context, s *session, l *link, work []use, stamp []byte) error {
	for i, u := range work {
		if !r.spent.first(s.spentName(u.position), r.cfg.Now()) {
			r.unspend(s, work[:i])
			return refuse(sam.CodeBurnt, "the position was used before; the database was put back")
		}
	}
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		if err := stillThere(ctx, tx, l); err != nil {
			return err
		}
		if err := keepStamp(ctx, tx, s.Nonce, stamp); err != nil {
			return err
		}
		for _, u := range work {
			err := changed(ctx, tx, "UPDATE positions SET state = 'burnt' WHERE nonce = ? AND position = ? AND state = 'free'", s.Nonce, u.position)
			if errors.Is(err, errNotOne) {
				return refuse(sam.CodeBurnt, "the position is not free")
			}
			if err != nil {
				return fmt.Errorf("burn: %w", err)
			}
			detail := map[string]string{"position": strconv.Itoa(u.position), "credential": s.Credential, "dtbs": u.name}
			if len(stamp) > 0 {
				detail["time_stamp"] = digest(stamp)
			}
			err = r.audit(ctx, tx, "key.intent", s.Nonce, detail)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.unspend(s, work) // the database says what holds
	}
	return err
}

func (s *session) spentName(p int) string { return "position " + s.Nonce + " " + strconv.Itoa(p) }

func (r *Role) unspend(s *session, work []use) {
	for _, u := range work {
		if !u.sent {
			r.spent.again(s.spentName(u.position))
		}
	}
}

// signAll asks the key for one value after the other and stops at the first
// trouble: then no value of the confirmation will leave, so no further one is made.
// still refuses when time has passed and this process has been replaced.
func signAll(key crypto.Signer, pub crypto.PublicKey, work []use, still func() error) error {
	for i := range work {
		u := &work[i]
		if err := still(); err != nil {
			return err
		}
		u.sent = true
		u.value, u.err = key.Sign(rand.Reader, u.dtbs, u.algorithm.Options())
		if u.err == nil && u.algorithm.Verify(pub, u.dtbs, u.value) != nil { // hsm has verified too; this is the promise of this package
			u.err = hsm.ErrWrongValue
		}
		if u.err != nil {
			clear(u.value)
			u.value = nil
			return u.err
		}
	}
	return nil
}

// keepTime bounds the storing of values; it goes on when the call is over.
const keepTime = 10 * time.Second

// keep stores the values and what is known of the others, for a confirmation
// about c. The key was used, so neither a caller who left nor a clock put back
// may be in the way, and a database that is busy is asked again.
func (r *Role) keep(s *session, c concern, work []use) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTime)
	defer cancel()
	at := r.cfg.Now()
	for pause := 50 * time.Millisecond; ; pause *= 4 {
		err := r.keepOnce(ctx, s, c, work, at)
		if errors.Is(err, audit.ErrClockBack) { // then the record's own time
			high, unread := audit.HighWater(ctx, r.db)
			if unread == nil {
				at = high
				err = r.keepOnce(ctx, s, c, work, at)
			}
		}
		if err == nil || pause > time.Second {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func (r *Role) keepOnce(ctx context.Context, s *session, c concern, work []use, at time.Time) error {
	var late []int // of work
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		var rows []audit.Event
		late = nil
		for i, u := range work {
			e, isLate, err := r.keepPosition(ctx, tx, s.Nonce, u)
			if err != nil {
				return err
			}
			if isLate {
				late = append(late, i)
			}
			if e.Kind != "" {
				e.At, e.Subject = at, s.Nonce
				rows = append(rows, e)
			}
		}
		if err := r.auditUses(ctx, tx, c, rows); err != nil {
			return err
		}
		return r.auditWrong(ctx, tx, s, work, at)
	})
	if err != nil {
		return err
	}
	for _, i := range late { // never released (reliability F38)
		clear(work[i].value)
		work[i].value = nil
	}
	r.unspend(s, work)
	r.out.signal()
	return nil
}

// result is the new state of a burnt position and its row.
func (u use) result() (state string, e audit.Event) {
	e.Detail = map[string]string{"position": strconv.Itoa(u.position)}
	switch {
	case u.value != nil:
		e.Kind, e.Detail["value"] = "key.used", digest(u.value)
		return sam.PositionSigned, e
	case u.sent:
		e.Kind, e.Detail["why"] = "key.unknown", "the token failed"
		if errors.Is(u.err, hsm.ErrWrongValue) {
			e.Detail["why"] = "the value did not verify; it was destroyed"
		}
		return sam.PositionUnknown, e
	}
	e.Kind = "key.not_used" // known for certain: the key was never asked
	return sam.PositionFree, e
}

// ended is what the caller is told.
func ended(work []use, err error) error {
	missing := false
	for _, u := range work {
		if u.sent && u.value == nil {
			return refuse(sam.CodeBurnt, "the token failed while the key was used; it is never used again for this confirmation")
		}
		missing = missing || u.value == nil
	}
	switch {
	case !missing:
		return nil // the values are there, whatever happened afterwards
	case errors.Is(err, hsm.ErrSuspended):
		return refuse(sam.CodeCertificateNotGood, "the key once gave a wrong value and is suspended until an operator has acted")
	case errors.Is(err, hsm.ErrBlob), errors.Is(err, hsm.ErrOtherKey):
		return refuse(sam.CodeCredentialUnknown, "the key cannot be opened, or is not in the token")
	}
	return tokenTrouble(err)
}
