package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"tekend/audit"
	"tekend/certs"
)

// responder is the certificate with which the OCSP key answers for an issuer.
type responder struct {
	sync.Mutex
	cert   *x509.Certificate // nil: there is none
	failed time.Time         // of the last attempt that made none
}

// retryResponder is the pause after an attempt that made no certificate.
const retryResponder = 30 * time.Second

// loadResponder reads the newest certificate for the OCSP key.
func (r *Role) loadResponder(ctx context.Context, i *issuer) error {
	spki, err := certs.SPKISHA256(r.ocspKey.Public())
	if err != nil {
		return err
	}
	var der []byte
	err = r.db.QueryRowContext(ctx, `SELECT certificate FROM responders WHERE issuer = ? AND spki_sha256 = ? AND certificate IS NOT NULL
		ORDER BY not_after DESC LIMIT 1`, i.name, spki).Scan(&der)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load the responder's certificate: %w", err)
	}
	i.ocsp.Lock()
	defer i.ocsp.Unlock()
	i.ocsp.cert, err = x509.ParseCertificate(der)
	return err
}

// responder gives who answers for an issuer. Its certificate is made anew when
// two thirds of its life are over; until then, and when that fails, the present
// one serves as long as it is valid.
func (r *Role) responder(ctx context.Context, i *issuer) (certs.OCSPResponder, error) {
	o := &i.ocsp
	o.Lock()
	defer o.Unlock()
	now := r.cfg.Now()
	var err error
	if o.cert == nil || now.After(renewal(o.cert)) {
		if now.Sub(o.failed).Abs() >= retryResponder {
			if err = r.newResponder(context.WithoutCancel(ctx), i, now); err != nil {
				o.failed = now
			}
		}
	}
	if o.cert == nil || now.Before(o.cert.NotBefore) || now.After(o.cert.NotAfter) {
		return certs.OCSPResponder{}, errors.Join(errors.New("there is no valid OCSP responder certificate"), err)
	}
	return certs.OCSPResponder{Cert: o.cert, Signer: r.ocspKey, Issuer: i.cert}, nil
}

// renewal is when two thirds of a certificate's life are over.
func renewal(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// newResponder issues a certificate to the OCSP key, as every certificate is
// issued: lint, intent, the issuer's key once, result. The caller has the lock of
// i.ocsp.
func (r *Role) newResponder(ctx context.Context, i *issuer, now time.Time) error {
	if err := r.shut(); err != nil {
		return err
	}
	prepared, order, err := r.prepareResponder(i, now)
	if err != nil {
		return fmt.Errorf("prepare the responder's certificate: %w", err)
	}
	spki, err := certs.SPKISHA256(r.ocspKey.Public())
	if err != nil {
		return err
	}
	serial := certs.SerialHex(prepared.Serial)
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO responders (serial, issuer, spki_sha256, not_after) VALUES (?, ?, ?, ?)",
			serial, i.name, spki, order.NotAfter.Unix()); err != nil {
			return fmt.Errorf("record the responder's certificate: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: now, Kind: "responder.intent", Subject: serial,
			Detail: map[string]string{"issuer": i.name, "spki_sha256": spki, "tbs_sha256": prepared.TBSSHA256()}})
	})
	if err != nil {
		return err
	}
	der, err := prepared.Sign(i.signer)
	if err != nil {
		return fmt.Errorf("sign the responder's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(der)
	err = r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE responders SET certificate = ? WHERE serial = ?", der, serial); err != nil {
			return fmt.Errorf("store the responder's certificate: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "responder.issued", Subject: serial,
			Detail: map[string]string{"issuer": i.name, "certificate_sha256": hex.EncodeToString(sum[:])}})
	})
	if err != nil {
		return err
	}
	i.ocsp.cert = cert
	return nil
}

// maxCommonName is the longest common name, in characters (RFC 5280 appendix A.1, ub-common-name).
const maxCommonName = 64

// prepareResponder builds and lints the certificate: the issuer's organisation,
// a name that says which issuer, and a short life that never outlives it.
func (r *Role) prepareResponder(i *issuer, now time.Time) (*certs.Prepared, certs.Order, error) {
	subject, err := certs.SubjectOf(i.cert)
	if err != nil {
		return nil, certs.Order{}, err
	}
	if subject.CommonName = "OCSP of " + subject.CommonName; len(subject.CommonName) > maxCommonName {
		subject.CommonName = "OCSP of " + i.name
		if !r.cfg.Production {
			subject.CommonName += " " + certs.SandboxMark
		}
	}
	o := certs.Order{
		Profile: certs.Responder, Subject: subject, PublicKey: r.ocspKey.Public(),
		NotBefore: now.UTC().Truncate(time.Second), NotAfter: now.Add(r.cfg.ResponderLife).UTC().Truncate(time.Second),
		Publication: certs.PublishedBy(r.cfg.PublicURL, i.name, r.cfg.CPSURL), Real: r.cfg.Production,
	}
	if o.NotAfter.After(i.cert.NotAfter) {
		o.NotAfter = i.cert.NotAfter
	}
	p, err := certs.Prepare(i.cert, o)
	return p, o, err
}
