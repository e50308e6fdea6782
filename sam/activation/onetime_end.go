package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tekend/sam"
)

// endOnce destroys the key of a one-time credential as soon as nothing is left
// for it to sign (KEY-08, DEL-6.3.2-05). What fails here the sweep does.
func (r *Role) endOnce(l *link, s *session) {
	if l.Once.Ends == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepTime)
	defer cancel()
	done, err := r.spentAll(ctx, s.Nonce)
	if err == nil && done {
		err = r.destroyKey(ctx, l, whyOver)
	}
	if err != nil {
		r.cfg.Log.Error("the key of a one-time credential was not destroyed yet", "credential", l.ID, "err", err)
	}
}

// spentAll tells whether no position of the confirmation can be signed any more.
func (r *Role) spentAll(ctx context.Context, nonce string) (bool, error) {
	all, err := r.positions(ctx, nonce)
	if err != nil {
		return false, err
	}
	open := false
	for _, p := range all {
		if p.state == sam.PositionUnknown { // then nothing more is signed with it
			return true, nil
		}
		open = open || p.open()
	}
	return !open, nil
}

// sweepOnce destroys the keys of one-time credentials whose session is over: by
// the clock, because everything is signed, or because the process that had the
// session is gone. It finds what a crash left.
func (r *Role) sweepOnce(ctx context.Context) error {
	ids, err := column(ctx, r.db, findOnce+" AND (once_ends <= ? OR once_nonce <> '') LIMIT 1000", r.cfg.Now().UnixMicro())
	if err != nil {
		return err
	}
	return errors.Join(r.each(ctx, ids, r.sweepOne), r.sweepApplications(ctx))
}

// findOnce finds the one-time credentials that have a key. A revoked one is at
// its end by another way (reconcile.go).
const findOnce = "SELECT id FROM links WHERE once_ends > 0 AND state <> 'destroyed' AND state <> 'revoked'"

// each does the same for each of some records. One that somebody changed, or
// that another instance is at, is told and does not keep the others.
func (r *Role) each(ctx context.Context, ids []string, do func(ctx context.Context, id string) error) error {
	for _, id := range ids {
		err := do(ctx, id)
		if ref := why(err); ref != nil && (!ref.Retryable || ref.Code == sam.CodeElsewhere) {
			r.cfg.Log.Warn("a record is left alone", "id", id, "code", ref.Code)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whyOver stands in the audit row of a one-time key's end.
const whyOver = "its session is over"

func (r *Role) sweepOne(ctx context.Context, id string) error {
	l, err := r.credential(ctx, id)
	if err != nil {
		return err
	}
	over, err := r.onceEnded(ctx, l)
	if err != nil || !over {
		return err
	}
	return r.destroyKey(ctx, l, whyOver)
}

// onceEnded tells whether the session of a one-time credential is over.
func (r *Role) onceEnded(ctx context.Context, l *link) (bool, error) {
	if !r.cfg.Now().Before(l.Once.ends()) {
		return true, nil
	}
	q, err := r.loadQuestion(ctx, kindSign, "nonce", l.Once.Nonce)
	if err != nil || q == nil {
		return false, err
	}
	s, err := r.session(ctx, q.Nonce)
	if err != nil {
		return false, err
	}
	if !r.cfg.Now().Before(s.Expires) {
		return true, nil
	}
	there, err := r.atWork(ctx, q)
	if err != nil || q.Boot != r.boot && !there {
		return err == nil, err
	}
	return r.spentAll(ctx, q.Nonce)
}

// sweepApplications removes applications for one-time credentials whose session
// ended before there was a certificate, with their keys.
func (r *Role) sweepApplications(ctx context.Context) error {
	over := r.cfg.Now().Add(-OnceLife).UnixMicro()
	ids, err := column(ctx, r.db, "SELECT id FROM enrolments WHERE step NOT IN ('done', 'existing') AND identified > 0 AND identified <= ? LIMIT 1000", over)
	if err != nil {
		return err
	}
	return r.each(ctx, ids, func(ctx context.Context, id string) error {
		e, err := r.loadEnrolment(ctx, id)
		if err != nil || e == nil || r.onceOver(e) == nil {
			return err
		}
		return r.dropApplication(ctx, e)
	})
}

// dropApplication forgets an application that can no longer become a
// credential, and destroys its key. It may be called again after a stop in it.
func (r *Role) dropApplication(ctx context.Context, e *enrolment) error {
	if e.Key.Resident() {
		if err := r.token.DestroyResident(ctx, e.Key.Blob); err != nil {
			return tokenTrouble(fmt.Errorf("destroy key: %w", err))
		}
	}
	return r.inTx(ctx, func(tx *sql.Tx) error {
		if e.Key.Resident() {
			if _, err := tx.ExecContext(ctx, "UPDATE resident_keys SET state = ? WHERE key_id = ?", keyDestroyed, e.Key.Blob); err != nil {
				return fmt.Errorf("drop application: %w", err)
			}
		}
		if err := changed(ctx, tx, "UPDATE enrolments SET blob = ? WHERE id = ? AND mac = ?", make([]byte, len(e.Key.Blob)), e.ID, e.MAC); err != nil {
			return fmt.Errorf("drop application: %w", err)
		}
		if err := changed(ctx, tx, "DELETE FROM enrolments WHERE id = ?", e.ID); err != nil {
			return fmt.Errorf("drop application: %w", err)
		}
		return r.audit(ctx, tx, "key.destroyed", e.ID, map[string]string{"why": whyOver, "spki": digest(e.SPKI)})
	})
}
