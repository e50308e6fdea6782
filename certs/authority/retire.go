package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/foureyes"
	"tekend/wire"
)

// ErrNotYet: a CA's last CRL would be too early.
var ErrNotYet = errors.New("the last CRL would be too early")

// Retire signs the last CRL of an earlier issuing CA: with nextUpdate
// 99991231235959Z, after which nothing of it can be revoked. It refuses while
// one of its certificates is valid, or an order without a certificate could have
// given one, and is not revoked (EN 319 411-2 CSS-6.3.10-07). The CA in force
// cannot be retired: it goes on issuing.
func (r *Role) Retire(ctx context.Context, name string) error {
	i := r.issuer(name)
	if i == nil || i == r.issuers[0] {
		return fmt.Errorf("%w: not an earlier issuing CA of this role; operators name it by the SHA-256 of its certificate, in hexadecimal", ErrNotYet)
	}
	if err := r.shut(); err != nil {
		return err
	}
	s := &i.crl
	s.Lock()
	defer s.Unlock()
	if s.last() {
		return nil
	}
	now := r.cfg.Now()
	if err := r.nothingValid(ctx, name, now); err != nil {
		return err
	}
	return r.newCRL(context.WithoutCancel(ctx), i, now, true)
}

// retire is Retire for two operators. Their act counts for this CA alone, also
// when the key failed and they ask again.
func (r *Role) retire(ctx context.Context, req ca.RetireRequest) (ca.LastCRL, error) {
	if err := r.shut(); err != nil {
		return ca.LastCRL{}, err
	}
	act, err := foureyes.ParseAct(req.Text)
	if err != nil || act.Act != foureyes.ActRetire {
		return ca.LastCRL{}, r.retireRefused(ctx, "", refuse(ca.CodeBadOrder, "the text is no act that retires an issuing CA"))
	}
	detail, err := r.approvedAct(act, req.Approvals)
	if err != nil {
		return ca.LastCRL{}, r.retireRefused(ctx, act.Subject, err)
	}
	// The subject is a certificate, not a name: names of issuing CAs are the same everywhere, and an approval for one
	// deployment must do nothing in another one.
	name := r.nameOf(act.Subject)
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := useAct(ctx, tx, act.ID, act.Subject, r.cfg.Now()); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "issuer.retire", Subject: name, Detail: detail})
	})
	if err == nil {
		err = r.Retire(ctx, name)
	}
	if errors.Is(err, ErrNotYet) {
		err = wire.Refuse(http.StatusConflict, ca.CodeNotYet, err.Error())
	}
	if err != nil {
		return ca.LastCRL{}, r.retireRefused(ctx, name, err)
	}
	out := ca.LastCRL{Issuer: name}
	err = r.db.QueryRowContext(ctx, "SELECT number, sha256 FROM crls WHERE issuer = ? AND next_update = ? AND sha256 IS NOT NULL", name, lastUpdate.Unix()).
		Scan(&out.Number, &out.SHA256)
	return out, err
}

// nameOf gives the name of the issuing CA whose certificate has this SHA-256, in
// hexadecimal; "" for none of this role.
func (r *Role) nameOf(fingerprint string) string {
	for _, i := range r.issuers {
		if sum := sha256.Sum256(i.cert.Raw); hex.EncodeToString(sum[:]) == fingerprint {
			return i.name
		}
	}
	return ""
}

func (r *Role) retireRefused(ctx context.Context, name string, cause error) error {
	detail := map[string]string{"code": "internal"}
	if e, ok := errors.AsType[*wire.Error](cause); ok {
		detail = map[string]string{"code": e.Code, "detail": e.Detail}
	}
	return r.note(ctx, audit.Event{Kind: "issuer.retire_refused", Subject: name, Detail: detail}, cause)
}

// nothingValid looks at every certificate that is not revoked, the newest first.
func (r *Role) nothingValid(ctx context.Context, name string, now time.Time) error {
	var dead int
	err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM orders o LEFT JOIN revocations v ON v.serial = o.serial
		WHERE o.issuer = ? AND o.state <> 'issued' AND o.at > ? AND v.serial IS NULL`, name, now.Add(-maxLife).Unix()).Scan(&dead)
	if err != nil {
		return fmt.Errorf("look for valid certificates: %w", err)
	}
	if dead > 0 {
		return fmt.Errorf("%w: %d orders may have given a certificate; revoke them", ErrNotYet, dead)
	}
	rows, err := r.db.QueryContext(ctx, `SELECT o.certificate FROM orders o LEFT JOIN revocations v ON v.serial = o.serial
		WHERE o.issuer = ? AND o.state = 'issued' AND o.at > ? AND v.serial IS NULL ORDER BY o.at DESC`, name, now.Add(-maxLife-time.Hour).Unix())
	if err != nil {
		return fmt.Errorf("look for valid certificates: %w", err)
	}
	for rows.Next() && err == nil {
		var der []byte
		var cert *x509.Certificate
		if err = rows.Scan(&der); err == nil {
			cert, err = x509.ParseCertificate(der)
		}
		if err == nil && !now.After(cert.NotAfter) {
			err = fmt.Errorf("%w: a certificate is valid until %s", ErrNotYet, cert.NotAfter.Format(time.RFC3339))
		}
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// notRetired refuses to revoke what no CRL would show any more.
func (r *Role) notRetired(ctx context.Context, tx *sql.Tx, name string) error {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM crls WHERE issuer = ? AND next_update = ? AND sha256 IS NOT NULL", name, lastUpdate.Unix()).Scan(&n)
	if err != nil {
		return fmt.Errorf("look for the last CRL: %w", err)
	}
	if n > 0 {
		return wire.Refuse(http.StatusConflict, ca.CodeNotRevocable, "the last CRL of this certificate's issuer is out")
	}
	return nil
}
