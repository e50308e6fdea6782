package activation

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"tekend/fence"
	"tekend/sam"
)

// A credential is never changed into a younger one: to renew is to enrol again,
// with a new key, a new identification and a new certificate (411-1 6.3.6). For
// a while a person then has two, and the old one signs until its certificate
// ends; then its key is destroyed. Which credentials are one person's is told
// by the sub that itsme gave, and by nothing else: who made a new account at
// itsme is somebody new here (LNK-04).

// renewDue tells whether the next order should enrol anew: the certificate ends
// soon (sooner for one that is valid for a short time), or the key is under a
// key-encryption key that is going away.
func (r *Role) renewDue(l *link) bool {
	if l.Once.Ends != 0 {
		return false
	}
	before := min(r.cfg.RenewBefore, l.leaf.NotAfter.Sub(l.leaf.NotBefore)/4)
	return !r.cfg.Now().Before(l.leaf.NotAfter.Add(-before)) || slices.Contains(r.cfg.PreviousKEKs, l.Key.KEK)
}

// siblings lists the credentials of the person who has this one.
func (r *Role) siblings(ctx context.Context, id string) (*sam.Credentials, error) {
	l, err := r.credential(ctx, id)
	if err != nil {
		return nil, err
	}
	ids, err := column(ctx, r.db, "SELECT id FROM links WHERE iss = ? AND ident_aud = ? AND ident_sub = ? ORDER BY created DESC, id DESC LIMIT ?",
		l.Iss, l.IdentAud, l.IdentSub, sam.MaxSiblings)
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	out := &sam.Credentials{Credentials: []sam.Sibling{}}
	for _, id := range ids {
		one, err := r.credential(ctx, id)
		if ref := why(err); ref != nil && ref.Code == sam.CodeCredentialUnknown {
			continue // its record was changed: nothing of it is told, and it is refused wherever it is used
		}
		if err != nil {
			return nil, err
		}
		out.Credentials = append(out.Credentials, sam.Sibling{
			ID: one.ID, State: one.State, Certificate: one.leaf.Raw, Created: time.UnixMicro(one.Created).UTC(),
			OneTime: one.Once.Ends != 0, Renew: one.renew,
		})
	}
	return out, nil
}

// sweepBatch is how many keys one look ends at most.
const sweepBatch = 100

// sweepExpired destroys the keys of credentials whose certificate has ended
// (KEY-08). One whose validity ended is not revoked, and nothing is told to the ca.
func (r *Role) sweepExpired(ctx context.Context) error {
	if err := r.nameExpiry(ctx); err != nil {
		return err
	}
	ids, err := column(ctx, r.db, findExpired+" AND expires > 0 AND expires <= ? LIMIT ?", r.cfg.Now().UnixMicro(), sweepBatch)
	if err != nil {
		return fmt.Errorf("look for expired credentials: %w", err)
	}
	return r.each(ctx, ids, func(ctx context.Context, id string) error {
		l, err := r.credential(ctx, id)
		if err != nil || !r.cfg.Now().After(l.leaf.NotAfter) { // what counts is the certificate
			return err
		}
		return r.destroyKey(ctx, l, "its certificate has ended")
	})
}

// findExpired finds credentials that have a key. A revoked one is at its end by
// another way (reconcile.go).
const findExpired = "SELECT id FROM links WHERE state <> 'destroyed' AND state <> 'revoked'"

// nameExpiry writes the column by which sweepExpired looks, for records from
// before it.
func (r *Role) nameExpiry(ctx context.Context) error {
	ids, err := column(ctx, r.db, "SELECT id FROM links WHERE expires = 0 AND state <> 'destroyed' LIMIT ?", sweepBatch)
	if err != nil || len(ids) == 0 {
		return err
	}
	ends := map[string]int64{}
	for _, id := range ids {
		l, err := r.readLink(ctx, id)
		if err != nil {
			return err
		}
		ends[id] = 1 // a chain that cannot be read is refused when it is used
		if all, err := x509.ParseCertificates(l.Chain); err == nil && len(all) > 0 {
			ends[id] = all[0].NotAfter.UnixMicro()
		}
	}
	return r.inTx(ctx, func(tx *sql.Tx) error {
		for id, at := range ends {
			if _, err := tx.ExecContext(ctx, "UPDATE links SET expires = ? WHERE id = ?", at, id); err != nil {
				return fmt.Errorf("store expiry: %w", err)
			}
		}
		return nil
	})
}

// sweepEvery is how often the role looks for keys whose time is over.
const sweepEvery = 5 * time.Second

// sweeping runs until ctx ends.
func (r *Role) sweeping(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if err := r.sweep(ctx, false); err != nil && ctx.Err() == nil {
			r.cfg.Log.Error("keys that are over could not be destroyed yet", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// sweep ends what is over: keys of one-time sessions, of expired certificates,
// and those in the token that nobody knows of. search: look into the token even
// if that was done a moment ago.
func (r *Role) sweep(ctx context.Context, search bool) error {
	r.sweeper.Lock()
	defer r.sweeper.Unlock()
	if r.gate.Check() != nil || fence.Witnessed(r.log, r.cfg.Now()) != nil {
		return nil // perhaps another history, or a record that may not grow: nothing is decided now
	}
	return errors.Join(r.sweepOnce(ctx), r.sweepExpired(ctx), r.sweepResidents(ctx, search))
}
