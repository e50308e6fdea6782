package authority

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tekend/audit"
	"tekend/certs"
)

// crlState is the newest CRL of the issuing CA, in memory.
type crlState struct {
	sync.Mutex
	number     int64
	this, next time.Time
	der        []byte
	newest     time.Time // of the last certificate issued
	failed     time.Time // of the last attempt that did not make one

	wake chan struct{} // a certificate was issued: the CRL is from before it
}

// gather is how long Run waits after an issuance, so that many certificates
// issued together cost one CRL.
const gather = 300 * time.Millisecond

// retryCRL is the pause after a failed attempt: a token that is away must not
// be asked with every reader of the CRL.
const retryCRL = 30 * time.Second

// loadCRL reads the newest CRL and the highest number that was ever intended.
func (r *Role) loadCRL(ctx context.Context) error {
	s := &r.crl
	var this, next int64
	err := r.db.QueryRowContext(ctx, "SELECT this_update, next_update, crl FROM crls WHERE crl IS NOT NULL ORDER BY number DESC LIMIT 1").Scan(&this, &next, &s.der)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("load CRL: %w", err)
	}
	s.this, s.next = time.Unix(this, 0), time.Unix(next, 0)
	if err := r.db.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM crls").Scan(&s.number); err != nil {
		return fmt.Errorf("load CRL: %w", err)
	}
	var newest int64
	if err := r.db.QueryRowContext(ctx, "SELECT coalesce(max(at), 0) FROM orders WHERE state = 'issued'").Scan(&newest); err != nil {
		return fmt.Errorf("load CRL: %w", err)
	}
	s.newest = time.Unix(newest, 0)
	return nil
}

// issuedAt tells the CRL that a certificate was issued.
func (r *Role) issuedAt(t time.Time) {
	r.crl.Lock()
	defer r.crl.Unlock()
	r.crl.newest = time.Unix(max(t.Unix(), r.crl.newest.Unix()), 0)
	select {
	case r.crl.wake <- struct{}{}:
	default: // Run is awake already
	}
}

// CRL gives the issuing CA's CRL in DER. It makes a new one when half the life
// of the present one is over, and when a certificate was issued since: a CRL
// from before a certificate's notBefore says nothing about it, and EU DSS
// refuses it as revocation information (RevocationConsistentCheck, FAIL in its
// default policy). When a new one cannot be made the present one is given as
// long as it is valid.
func (r *Role) CRL(ctx context.Context) ([]byte, error) {
	if err := r.shut(); err != nil {
		return nil, err // the newest one here may be older than one that was published
	}
	s := &r.crl
	s.Lock()
	defer s.Unlock()
	now := r.cfg.Now()
	half := s.this.Add(s.next.Sub(s.this) / 2)
	if s.der != nil && now.Before(half) && !s.this.Before(s.newest) && !now.Before(s.this.Add(-audit.Backstep)) {
		return s.der, nil
	}
	var err error
	if now.Sub(s.failed).Abs() >= retryCRL {
		if err = r.newCRL(context.WithoutCancel(ctx), now); err != nil {
			s.failed = now
		}
	}
	if s.der == nil || now.After(s.next) {
		return nil, errors.Join(errors.New("there is no current CRL"), err)
	}
	return s.der, nil
}

// newCRL records its intent, has the CRL signed and stores it. The number is
// the time in seconds, or one more than the last: it also grows when an old
// database was put back (RFC 5280 §5.2.3).
func (r *Role) newCRL(ctx context.Context, now time.Time) error {
	s := &r.crl
	number := max(s.number+1, now.Unix())
	this := now.UTC().Truncate(time.Second)
	next := this.Add(r.cfg.CRLLife)
	subject := fmt.Sprint(number)
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO crls (number, this_update, next_update) VALUES (?, ?, ?)", number, this.Unix(), next.Unix()); err != nil {
			return fmt.Errorf("record CRL: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: now, Kind: "crl.intent", Subject: subject})
	})
	if err != nil {
		return err
	}
	s.number = number
	der, err := certs.CRL(certs.Issuer{Cert: r.issuing, Signer: r.signer}, big.NewInt(number), nil, this, next)
	if err != nil {
		return err
	}
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE crls SET crl = ? WHERE number = ?", der, number); err != nil {
			return fmt.Errorf("store CRL: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "crl.issued", Subject: subject})
	})
	if err != nil {
		return err
	}
	s.this, s.next, s.der = this, next, der
	return r.publish(der)
}

// publish replaces the CRL's file, whole or not at all.
func (r *Role) publish(crl []byte) error {
	if r.cfg.PublishDir == "" {
		return nil
	}
	path := filepath.Join(r.cfg.PublishDir, "crl", "issuing-ca.crl")
	if err := os.WriteFile(path+".new", crl, 0o644); err != nil {
		return fmt.Errorf("publish CRL: %w", err)
	}
	// The program's umask may be narrower; everyone may read what is public.
	if err := os.Chmod(path+".new", 0o644); err != nil {
		return fmt.Errorf("publish CRL: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("publish CRL: %w", err)
	}
	return nil
}

// Run keeps the CRL fresh until ctx ends; readers of the CRL do so too, so a
// role that is not run only signs later.
func (r *Role) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	// The file may be older than the database: it is written anew at start.
	if der, err := r.CRL(ctx); err == nil {
		if err := r.publish(der); err != nil {
			return err
		}
	}
	for {
		_, _ = r.CRL(ctx) // a failure shows in Health and is tried again
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.crl.wake:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(gather):
			}
		}
	}
}
