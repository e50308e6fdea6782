package authority

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/ca"
	"tekend/certs"
	"tekend/wire"
)

// reasons are those that are taken (RFC 5280 §5.3.1). certificateHold is not
// among them: a revocation has no way back (EN 319 411-1 REV-6.3.9-01).
var reasons = []int{ca.ReasonUnspecified, ca.ReasonKeyCompromise, ca.ReasonSuperseded, ca.ReasonCessationOfOperation, ca.ReasonPrivilegeWithdrawn}

// target is what shall be revoked.
type target struct {
	serial string
	issuer *issuer
	state  string            // of its order: intent, issued, failed
	cert   *x509.Certificate // nil: the order gave none, as far as is known
	hash   string            // of its order
	holder sql.NullString
	at     time.Time // of its order
}

// proof is why the revocation is done.
type proof struct {
	detail map[string]string // for the audit
	keys   []byte            // itsme's keys that verified the token; nil: there is none
	act    string            // id of the operators' act
}

// revoke executes a request once: a certificate that is revoked already keeps
// its first outcome, whoever asks. by are those who may ask on this socket.
func (r *Role) revoke(ctx context.Context, body []byte, req ca.RevokeRequest, by ...string) (ca.Revocation, error) {
	if err := r.shut(); err != nil {
		return ca.Revocation{}, err
	}
	if err := wellFormed(req, by); err != nil {
		return ca.Revocation{}, r.revokeRefused(ctx, "", req.By, err)
	}
	if out, err := r.revocation(ctx, req.Serial); err != nil || out.Seq > 0 {
		return out, err
	}
	t, err := r.target(ctx, req.Serial)
	if err != nil {
		return ca.Revocation{}, r.revokeRefused(ctx, req.Serial, req.By, err)
	}
	p, err := r.prove(ctx, req, t)
	if err != nil {
		return ca.Revocation{}, r.revokeRefused(ctx, req.Serial, req.By, err)
	}
	p.detail["by"], p.detail["reason"], p.detail["request"] = req.By, strconv.Itoa(req.Reason), wire.BodyHash(body)
	if t.cert != nil && certs.IsOneTime(t.cert) {
		return ca.Revocation{}, r.problem(ctx, req.Serial, p)
	}
	// An order in the middle of its execution comes to its end first.
	r.issuance.Lock()
	defer r.issuance.Unlock()
	out, err := r.record(context.WithoutCancel(ctx), body, req, t, p)
	if err != nil {
		return ca.Revocation{}, r.revokeRefused(ctx, req.Serial, req.By, err)
	}
	return out, nil
}

// wellFormed refuses what is not of the contract.
func wellFormed(req ca.RevokeRequest, by []string) error {
	switch {
	case req.V != ca.RevocationVersion:
		return refuse(ca.CodeBadOrder, "v must be 1")
	case !serialHex.MatchString(req.Serial):
		return refuse(ca.CodeBadOrder, "a serial number is 1 to 20 octets in lower-case hexadecimal")
	case !slices.Contains(reasons, req.Reason):
		return refuse(ca.CodeBadOrder, "the reason must be 0, 1, 4, 5 or 9")
	case !slices.Contains(by, req.By):
		return refuse(ca.CodeBadOrder, "this socket takes revocations by others")
	case (req.By == ca.BySigner) != (len(req.Manifest) > 0 && req.Token != ""):
		return refuse(ca.CodeBadOrder, "manifest and token belong to a revocation by the signer, and to no other one")
	case (req.By == ca.ByOperators) != (req.Text != "" && len(req.Approvals) > 0):
		return refuse(ca.CodeBadOrder, "text and approvals belong to a revocation by operators, and to no other one")
	}
	return nil
}

// revocation gives the outcome for a serial number; Seq is 0 when there is none.
func (r *Role) revocation(ctx context.Context, serial string) (ca.Revocation, error) {
	out := ca.Revocation{Serial: serial}
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT seq, reason, at FROM revocations WHERE serial = ?", serial).Scan(&out.Seq, &out.Reason, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return ca.Revocation{}, nil
	}
	if err != nil {
		return ca.Revocation{}, fmt.Errorf("look up revocation: %w", err)
	}
	out.At = time.Unix(at, 0).UTC()
	return out, nil
}

// revocations gives those behind a number, in order.
func (r *Role) revocations(ctx context.Context, after int64) (ca.Revocations, error) {
	list := ca.Revocations{Entries: []ca.Revocation{}}
	rows, err := r.db.QueryContext(ctx, "SELECT seq, serial, reason, at FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?", after, ca.MaxRevocations)
	if err != nil {
		return list, fmt.Errorf("read revocations: %w", err)
	}
	for rows.Next() && err == nil {
		var e ca.Revocation
		var at int64
		if err = rows.Scan(&e.Seq, &e.Serial, &e.Reason, &at); err == nil {
			e.At = time.Unix(at, 0).UTC()
			list.Entries = append(list.Entries, e)
		}
	}
	return list, errors.Join(err, rows.Err(), rows.Close())
}

// target finds the order of a serial number. An order that gave no certificate
// as far as is known can be revoked too: the token may have signed before it
// failed.
func (r *Role) target(ctx context.Context, serial string) (target, error) {
	t := target{serial: serial}
	var name string
	var der []byte
	var at int64
	err := r.db.QueryRowContext(ctx, "SELECT hash, state, issuer, certificate, holder, at FROM orders WHERE serial = ?", serial).
		Scan(&t.hash, &t.state, &name, &der, &t.holder, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return t, wire.Refuse(http.StatusNotFound, ca.CodeSerialUnknown, "this CA was never about to issue a certificate with this serial number")
	}
	if err != nil {
		return t, fmt.Errorf("look up certificate: %w", err)
	}
	t.at = time.Unix(at, 0)
	if t.issuer = r.issuer(name); t.issuer == nil {
		return t, fmt.Errorf("the issuing CA %s of this certificate is not configured", name)
	}
	if der != nil {
		if t.cert, err = x509.ParseCertificate(der); err != nil {
			return t, fmt.Errorf("read the certificate: %w", err)
		}
	}
	return t, nil
}

// record makes the revocation durable, with its evidence, its audit row and the
// end of the answers that said otherwise; then it is made visible.
func (r *Role) record(ctx context.Context, body []byte, req ca.RevokeRequest, t target, p proof) (ca.Revocation, error) {
	now := r.cfg.Now()
	out := ca.Revocation{Serial: req.Serial, Reason: req.Reason, At: now.UTC().Truncate(time.Second)}
	err := r.db.InTx(ctx, func(tx *sql.Tx) error {
		var at int64
		err := tx.QueryRowContext(ctx, "SELECT seq, reason, at FROM revocations WHERE serial = ?", req.Serial).Scan(&out.Seq, &out.Reason, &at)
		if err == nil {
			out.At = time.Unix(at, 0).UTC() // another request was first
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("look up revocation: %w", err)
		}
		if err := r.notRetired(ctx, tx, t.issuer.name); err != nil {
			return err
		}
		if err := useAct(ctx, tx, p.act, req.Serial, now); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) + 1 FROM revocations").Scan(&out.Seq); err != nil {
			return fmt.Errorf("record revocation: %w", err)
		}
		for _, s := range []struct {
			query string
			args  []any
		}{
			{"INSERT INTO revocations (seq, serial, issuer, reason, by_whom, at) VALUES (?, ?, ?, ?, ?, ?)",
				[]any{out.Seq, req.Serial, t.issuer.name, req.Reason, req.By, out.At.Unix()}},
			{"INSERT INTO revocation_evidence (serial, body, keys) VALUES (?, ?, ?)", []any{req.Serial, body, p.keys}},
		} {
			if _, err := tx.ExecContext(ctx, s.query, s.args...); err != nil {
				return fmt.Errorf("record revocation: %w", err)
			}
		}
		if err := withdrawAnswers(ctx, tx, req.Serial); err != nil {
			return err
		}
		detail := maps.Clone(p.detail)
		detail["seq"], detail["order"], detail["issuer"] = strconv.FormatInt(out.Seq, 10), t.hash, t.issuer.name
		return audit.Append(ctx, tx, audit.Event{At: now, Kind: "certificate.revoked", Subject: req.Serial, Detail: detail})
	})
	if err != nil {
		return ca.Revocation{}, err
	}
	return out, r.seen(ctx, t.issuer, out)
}

// useAct makes the id of an operators' act unusable for anything else: its
// approvals count once.
func useAct(ctx context.Context, tx *sql.Tx, id, subject string, now time.Time) error {
	if id == "" {
		return nil
	}
	var used string
	err := tx.QueryRowContext(ctx, "SELECT subject FROM acts WHERE id = ?", id).Scan(&used)
	switch {
	case err == nil && used == subject:
		return nil
	case err == nil:
		return wire.Refuse(http.StatusConflict, ca.CodeActUsed, "this act was done before")
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("look up act: %w", err)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO acts (id, subject, at) VALUES (?, ?, ?)", id, subject, now.Unix()); err != nil {
		return fmt.Errorf("record act: %w", err)
	}
	return nil
}

// seen makes a recorded revocation visible: no kept answer speaks of the
// certificate any more, and the CRL is due.
func (r *Role) seen(ctx context.Context, i *issuer, out ca.Revocation) error {
	raise(&i.revoked, out.Seq)
	ids, err := r.answerIDs(ctx, out.Serial)
	if err != nil {
		ids = nil // all answers go: it is done, whatever the database says now
	}
	r.answers.drop(ids)
	r.stir()
	return nil
}

// answerIDs are the ids under which answers about a certificate may be kept.
func (r *Role) answerIDs(ctx context.Context, serial string) ([][]byte, error) {
	rows, err := r.db.QueryContext(ctx, "SELECT cert_id FROM answers WHERE serial = ?", serial)
	if err != nil {
		return nil, err
	}
	ids := [][]byte{}
	for rows.Next() && err == nil {
		var id []byte
		err = rows.Scan(&id)
		ids = append(ids, id)
	}
	return ids, errors.Join(err, rows.Err(), rows.Close())
}

// revokeRefused audits a refusal and gives what the caller is told.
func (r *Role) revokeRefused(ctx context.Context, serial, by string, cause error) error {
	if errors.Is(cause, audit.ErrClockBack) {
		return clockBack()
	}
	detail := map[string]string{"code": "internal"}
	if e, ok := errors.AsType[*wire.Error](cause); ok {
		detail = map[string]string{"code": e.Code, "detail": e.Detail}
	}
	if slices.Contains([]string{ca.BySigner, ca.BySAM, ca.ByOperators}, by) {
		detail["by"] = by
	}
	return r.note(ctx, audit.Event{Kind: "certificate.revoke_refused", Subject: serial, Detail: detail}, cause)
}

// problem keeps the report about a certificate that cannot be revoked: one that
// lives for hours and says so (EN 319 411-1 REV-6.3.9-19, each notified problem
// goes into the log).
func (r *Role) problem(ctx context.Context, serial string, p proof) error {
	refusal := refuse(ca.CodeNotRevocable, "the certificate lives for hours and has no revocation; the report is kept")
	return r.note(ctx, audit.Event{Kind: "certificate.problem", Subject: serial, Detail: p.detail}, refusal)
}

func clockBack() error {
	return &wire.Error{Status: http.StatusServiceUnavailable, Code: ca.CodeClock, Detail: "the clock is before recorded history", Retryable: true}
}
