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
	"tekend/certs"
	"tekend/wire"
)

// issue executes an order once. hash is the name of its exact bytes, body.
func (r *Role) issue(ctx context.Context, hash string, body []byte, req ca.IssueRequest) (ca.Issued, error) {
	if out, err := r.outcome(ctx, hash); !unknownOrder(err) {
		return out, err
	}
	if err := r.mayIssue(); err != nil {
		return ca.Issued{}, err
	}
	v, err := verifier{r.cfg, r.keys, r.cfg.Now()}.verify(ctx, req)
	if err != nil {
		return ca.Issued{}, r.refused(ctx, hash, err)
	}
	r.issuance.Lock()
	defer r.issuance.Unlock()
	if out, err := r.stored(ctx, hash); !unknownOrder(err) {
		return out, err // an equal order was executed while this one was verified
	}
	// From here on the caller's going away must not stop us half way.
	ctx = context.WithoutCancel(ctx)
	order, err := r.order(v)
	if err != nil {
		return ca.Issued{}, r.refused(ctx, hash, err)
	}
	prepared, err := certs.Prepare(r.issuing, order)
	if err != nil {
		return ca.Issued{}, r.refused(ctx, hash, prepareRefusal(err))
	}
	if err := r.intend(ctx, hash, body, v, prepared); err != nil {
		return ca.Issued{}, r.refused(ctx, hash, err)
	}
	der, err := r.sign(prepared, v)
	if err != nil {
		return ca.Issued{}, r.failed(ctx, hash, prepared, err)
	}
	if err := r.keep(ctx, hash, prepared, der); err != nil {
		return ca.Issued{}, outcomeUnknown()
	}
	r.issuers[0].outdated(der, r.cfg.Now())
	r.stir()
	return ca.Issued{Chain: [][]byte{der, r.issuing.Raw}}, nil
}

// prepareRefusal: findings name rules and clauses, never values of the subject.
func prepareRefusal(err error) error {
	if e, ok := errors.AsType[*certs.LintError](err); ok {
		return refuse(ca.CodeLint, e.Error())
	}
	return err
}

// intend records, durably and before the key is used, what will be signed and
// which tokens were used for it.
func (r *Role) intend(ctx context.Context, hash string, body []byte, v *verified, p *certs.Prepared) error {
	spki, err := certs.SPKISHA256(v.key)
	if err != nil {
		return err
	}
	now, serial := r.cfg.Now(), certs.SerialHex(p.Serial)
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := free(ctx, tx, v, spki); err != nil {
			return err
		}
		consent := v.tokens[1]
		if _, err := tx.ExecContext(ctx, `INSERT INTO orders (hash, state, application_id, serial, spki_sha256, tbs_sha256, terms_version, terms_sha256, at, issuer, holder)
			VALUES (?, 'intent', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			hash, v.application.ID, serial, spki, p.TBSSHA256(), v.application.TermsVersion, v.application.TermsSHA256, now.Unix(),
			r.issuers[0].name, holder(consent.Issuer, consent.Audience, consent.Subject)); err != nil {
			return fmt.Errorf("record intent: %w", err)
		}
		for _, t := range v.tokens {
			if _, err := tx.ExecContext(ctx, "INSERT INTO tokens (iss, aud, nonce, order_hash) VALUES (?, ?, ?, ?)", t.Issuer, t.Audience, t.Nonce, hash); err != nil {
				return fmt.Errorf("record token: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO evidence (order_hash, body, keys) VALUES (?, ?, ?)", hash, body, v.keys); err != nil {
			return fmt.Errorf("record evidence: %w", err)
		}
		record, err := r.keepRecord(ctx, tx, v, hash, serial)
		if err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{At: now, Kind: "certificate.intent", Subject: serial, Detail: map[string]string{
			"order": hash, "application": v.application.ID, "spki_sha256": spki, "tbs_sha256": p.TBSSHA256(), "record": record,
			"terms": v.application.TermsVersion, "ident_key": v.tokens[0].KeyID, "consent_key": v.tokens[1].KeyID,
		}})
	})
}

// free refuses tokens, keys and applications that an order has used.
func free(ctx context.Context, tx *sql.Tx, v *verified, spki string) error {
	count := func(query string, args ...any) (n int, err error) {
		err = tx.QueryRowContext(ctx, query, args...).Scan(&n)
		return n, err
	}
	for _, t := range v.tokens {
		if n, err := count("SELECT count(*) FROM tokens WHERE iss = ? AND aud = ? AND nonce = ?", t.Issuer, t.Audience, t.Nonce); err != nil || n > 0 {
			return errors.Join(err, onlyIf(n > 0, wire.Refuse(http.StatusConflict, ca.CodeReplayed, "a token was used for another order")))
		}
	}
	n, err := count("SELECT count(*) FROM orders WHERE spki_sha256 = ? OR application_id = ?", spki, v.application.ID)
	return errors.Join(err, onlyIf(n > 0, wire.Refuse(http.StatusConflict, ca.CodeKeyUsed, "this public key or application has an order already")))
}

func onlyIf(cond bool, e *wire.Error) error {
	if cond {
		return e
	}
	return nil
}

// sign uses the CA key, once, and judges the certificate before it leaves.
func (r *Role) sign(p *certs.Prepared, v *verified) ([]byte, error) {
	der, err := p.Sign(r.signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if !certs.SameKey(cert.PublicKey, v.key) {
		return nil, errors.New("the certificate is for another key")
	}
	if err := certs.CheckPath(cert, []*x509.Certificate{r.issuing}, r.roots, r.cfg.Now(), certs.Signing); err != nil {
		return nil, err
	}
	return der, certs.IsQualifiedNaturalPerson(cert)
}

// keep stores the certificate and tells the audit, in one transaction; from then
// on it is good.
func (r *Role) keep(ctx context.Context, hash string, p *certs.Prepared, der []byte) error {
	sum := sha256.Sum256(der)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE orders SET state = 'issued', certificate = ? WHERE hash = ?", der, hash); err != nil {
			return fmt.Errorf("store certificate: %w", err)
		}
		if len(cert.OCSPServer) > 0 {
			if err := r.expectAnswer(ctx, tx, r.issuers[0], cert); err != nil {
				return err
			}
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "certificate.issued", Subject: certs.SerialHex(p.Serial),
			Detail: map[string]string{"order": hash, "certificate_sha256": hex.EncodeToString(sum[:])}})
	})
}

// failed records that the key gave no certificate. The order is dead even so:
// a token that reports an error may have signed.
func (r *Role) failed(ctx context.Context, hash string, p *certs.Prepared, cause error) error {
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE orders SET state = 'failed' WHERE hash = ?", hash); err != nil {
			return fmt.Errorf("record failure: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "certificate.failed", Subject: certs.SerialHex(p.Serial),
			Detail: map[string]string{"order": hash, "reason": cause.Error()}})
	})
	return errors.Join(outcomeUnknown(), err)
}

func outcomeUnknown() error {
	return wire.Refuse(http.StatusConflict, ca.CodeOutcomeUnknown, "the intent is recorded and no certificate is; start a new application")
}

// refused audits a refusal and gives what the caller is told.
func (r *Role) refused(ctx context.Context, hash string, cause error) error {
	if errors.Is(cause, audit.ErrClockBack) {
		return clockBack()
	}
	detail := map[string]string{"code": "internal"}
	if e, ok := errors.AsType[*wire.Error](cause); ok {
		detail = map[string]string{"code": e.Code, "detail": e.Detail}
	}
	return r.auditRefusal(ctx, hash, detail, cause)
}

// auditRefusal writes the row about cause, and gives cause.
func (r *Role) auditRefusal(ctx context.Context, hash string, detail map[string]string, cause error) error {
	return r.note(ctx, audit.Event{Kind: "certificate.refused", Subject: hash, Detail: detail}, cause)
}

// outcome is stored, not seen in the middle of an execution.
func (r *Role) outcome(ctx context.Context, hash string) (ca.Issued, error) {
	r.issuance.Lock()
	defer r.issuance.Unlock()
	return r.stored(ctx, hash)
}

func unknownOrder(err error) bool {
	e, ok := errors.AsType[*wire.Error](err)
	return ok && e.Code == ca.CodeNotFound
}

// stored gives the outcome of an order; the caller holds the issuance lock.
func (r *Role) stored(ctx context.Context, hash string) (ca.Issued, error) {
	var state, name string
	var der []byte
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT state, certificate, at, issuer FROM orders WHERE hash = ?", hash).Scan(&state, &der, &at, &name)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ca.Issued{}, wire.Refuse(http.StatusNotFound, ca.CodeNotFound, "no such order was executed")
	case err != nil:
		return ca.Issued{}, fmt.Errorf("look up order: %w", err)
	case state != "issued":
		return ca.Issued{}, outcomeUnknown()
	}
	// Whoever asks again must not have a new CRL signed each time: the one from
	// after the order is enough.
	i := r.issuer(name)
	if i == nil {
		return ca.Issued{}, fmt.Errorf("the issuing CA %s of this order is not configured", name)
	}
	i.outdated(der, time.Unix(at, 0))
	return ca.Issued{Chain: [][]byte{der, i.cert.Raw}}, nil
}
