package activation

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"tekend/audit"
	"tekend/certs"
	"tekend/consent"
	"tekend/itsme/token"
	"tekend/sam"
)

// Revocation (issue 5 items 4 and 5). Whoever says so (the signer by itsme or by
// his code, two operators, or the ca), the order is the same: the key is blocked
// here, in one transaction with the confirmation, the audit and the work that is
// left; then the ca is told until it has it; then the key is destroyed
// (reconcile.go). docs/decisions/0016-revocation.md.

// Who said so.
const (
	bySigner    = "signer"    // a confirmation at itsme
	byCode      = "code"      // the emergency channel
	byOperators = "operators" // two of them
	byCA        = "ca"        // the ca's list
)

// cut is one credential that is being revoked: its record before and after, and why.
type cut struct {
	was, next  *link
	by         string
	reason     int    // RFC 5280 §5.3.1
	nonce, act string // of the confirmation; of the act of operators
	serial     string // of the certificate of which the ca said so, with its number in the list
	seq        int64
}

// newCut makes the record that says revoked. It takes the token, so it comes
// before the transaction.
func (r *Role) newCut(ctx context.Context, l *link, c cut) (cut, error) {
	var err error
	c.was = l
	c.next, err = r.turned(ctx, l, sam.CredentialRevoked)
	return c, err
}

// revokeIn blocks the key for ever: record, work for the reconciler, audit and
// notice, in the caller's transaction.
func (r *Role) revokeIn(ctx context.Context, tx *sql.Tx, c cut) error {
	if err := storeTurn(ctx, tx, c.was, c.next); err != nil {
		return err
	}
	now := r.cfg.Now()
	if err := storeSerial(ctx, tx, certs.SerialHex(c.was.leaf.SerialNumber), c.was.ID); err != nil {
		return err
	}
	serials, err := column(ctx, tx, "SELECT serial FROM serials WHERE credential = ? ORDER BY serial", c.was.ID)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	for _, serial := range serials {
		var published, seq int64
		if serial == c.serial {
			published, seq = now.UnixMicro(), c.seq
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO revocations (serial, credential, source, reason, nonce, act, at, published, seq) VALUES (?,?,?,?,?,?,?,?,?)`,
			serial, c.was.ID, c.by, c.reason, c.nonce, c.act, now.UnixMicro(), published, seq)
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
	}
	n := notice{kind: noticeRevoked, concern: concern{credential: c.was.ID, nonce: c.nonce, position: allPositions}, at: now}
	detail := map[string]string{"by": c.by, "reason": strconv.Itoa(c.reason), "certificate": digest(c.was.leaf.Raw)}
	if c.nonce != "" {
		detail["nonce"] = c.nonce
	}
	if c.act != "" {
		detail["act"] = c.act
	}
	if n.seq, err = r.auditListed(ctx, tx, n.concern, audit.Event{At: now, Kind: "credential.revoked", Subject: c.was.ID, Detail: detail}); err != nil {
		return err
	}
	return r.post(ctx, tx, n)
}

// blocked tells those who act on revocations that there is one.
func (r *Role) blocked() {
	r.out.signal()
	r.work.signal()
}

// prepareRevocation makes the question with which a person revokes.
func (r *Role) prepareRevocation(ctx context.Context, req sam.RevokeRequest, hash string) (*sam.Prepared, error) {
	q, err := r.loadQuestion(ctx, kindRevoke, "subject", hash)
	if err != nil {
		return nil, err
	}
	if q != nil {
		return preparedRevocation(q)
	}
	if req.Reason == "" {
		req.Reason = consent.DefaultReason
	}
	if _, err := consent.ReasonCode(req.Reason); err != nil || req.V != sam.Version || !plainID(req.Txn) || !language(req.Language) {
		return nil, refuse(sam.CodeBadRequest, "v, txn, language or reason is not of the contract")
	}
	if req.Credential == "" {
		if err := r.anybody(); err != nil {
			return nil, err
		}
	}
	m, owner, err := r.revokeManifest(ctx, req)
	if err != nil {
		return nil, err
	}
	q, err = r.ask(ctx, form{kind: kindRevoke, subject: hash, party: r.confirm, manifest: m, language: req.Language, claims: token.RiskClaims()})
	if err != nil {
		return nil, err
	}
	err = r.inTx(ctx, func(tx *sql.Tx) error {
		if owner != "" {
			if err := r.allowed(ctx, tx, owner, q.Nonce, "revoke "+m.Cred.ID); err != nil {
				return err
			}
		}
		if err := errors.Join(r.forget(ctx, tx), insertQuestion(ctx, tx, q)); err != nil {
			return err
		}
		detail := map[string]string{"reason": req.Reason, "request": digest([]byte(q.Request))}
		if m.Cred == nil {
			return r.audit(ctx, tx, "revocation.prepared", q.Nonce, detail)
		}
		detail["credential"] = m.Cred.ID
		return r.auditConcern(ctx, tx, concernOf(q.Nonce, m), "revocation.prepared", detail)
	})
	if err != nil {
		return nil, err
	}
	return preparedRevocation(q)
}

// revokeManifest is the part of the manifest that tells what will be revoked,
// and the name under which the owner's questions are counted: apart from those
// for signatures, so that a front that asks for many signatures keeps nobody
// from revoking. Who answers a question without a credential is not known; he
// began it himself, and nobody is counted.
func (r *Role) revokeManifest(ctx context.Context, req sam.RevokeRequest) (m consent.Manifest, owner string, err error) {
	what := consent.Revocation{Reason: req.Reason}
	m = consent.Manifest{Op: consent.OpRevoke, Txn: req.Txn, Reason: req.Reason}
	if req.Credential != "" {
		l, err := r.credential(ctx, req.Credential)
		if err != nil {
			return m, "", err
		}
		if l.over() {
			return m, "", refuse(sam.CodeActRefused, "the credential is revoked, or its key destroyed, already")
		}
		cert := sha256.Sum256(l.leaf.Raw)
		m.Sub, m.Cred = l.ConfirmSub, &consent.Cred{ID: l.ID, CertSHA256: b64.EncodeToString(cert[:])}
		what.Serial, what.NotAfter = certs.SerialHex(l.leaf.SerialNumber), l.leaf.NotAfter
		owner = personName(l.Iss, l.ConfirmAud, "revoke "+l.ConfirmSub)
	}
	text, err := consent.RevokeText(req.Language, what)
	m.Template = &consent.Template{Name: token.TemplateFreeText, Text: text}
	return m, owner, err
}

// preparedRevocation is the stored outcome of prepareRevocation.
func preparedRevocation(q *question) (*sam.Prepared, error) {
	m, err := q.manifest()
	if err != nil || m.Template == nil || m.Op != consent.OpRevoke {
		return nil, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	return &sam.Prepared{
		Nonce: q.Nonce, Manifest: q.Manifest, Text: m.Template.Text, AuthorizationURL: q.URL, State: q.State, ExpiresAt: q.Expires,
	}, nil
}

// answerRevocation takes itsme's answer. It is verified exactly as one for a
// signature; consumption, block and audit are one transaction.
func (r *Role) answerRevocation(ctx context.Context, nonce string, a sam.Answer, hash string) (*sam.Revocation, error) {
	q, err := r.loadQuestion(ctx, kindRevoke, "nonce", nonce)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such revocation")
	}
	var cuts []cut
	err = r.take(ctx, q, a, hash, taker{
		party: r.confirm,
		check: func(ctx context.Context, acc *accepted) (err error) {
			cuts, err = r.cutsOf(ctx, acc)
			return err
		},
		store: func(ctx context.Context, tx *sql.Tx, acc *accepted) error {
			err := r.audit(ctx, tx, "revocation.authorized", nonce, map[string]string{
				"credentials": strconv.Itoa(len(cuts)), "token": digest([]byte(acc.inner)), "kid": digest([]byte(acc.KeyID)), "keys": digest(acc.keys.Body),
			})
			for _, c := range cuts {
				err = errors.Join(err, r.revokeIn(ctx, tx, c))
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	r.blocked()
	return r.revocation(ctx, nonce)
}

// cutsOf are the credentials that an answer revokes: the one that was named, of
// which who answered must be the owner, or all of his.
func (r *Role) cutsOf(ctx context.Context, acc *accepted) ([]cut, error) {
	reason, err := consent.ReasonCode(acc.m.Reason)
	if err != nil {
		return nil, err
	}
	var ids []string
	if acc.m.Cred != nil {
		ids = []string{acc.m.Cred.ID}
	} else if ids, err = column(ctx, r.db, "SELECT id FROM links WHERE iss = ? AND confirm_aud = ? AND confirm_sub = ? AND state NOT IN ('revoked', 'destroyed') ORDER BY id",
		acc.Issuer, acc.Audience, acc.Subject); err != nil {
		return nil, fmt.Errorf("look for credentials: %w", err)
	}
	var cuts []cut
	for _, id := range ids {
		l, err := r.credential(ctx, id)
		if err != nil {
			return nil, err
		}
		if l.Iss != acc.Issuer || l.ConfirmAud != acc.Audience || l.ConfirmSub != acc.Subject {
			return nil, refuse(sam.CodeWrongPerson, "another person answered than the owner of the credential")
		}
		if l.over() {
			return nil, refuse(sam.CodeActRefused, "the credential was revoked meanwhile")
		}
		c, err := r.newCut(ctx, l, cut{by: bySigner, reason: reason, nonce: acc.Nonce})
		if err != nil {
			return nil, err
		}
		cuts = append(cuts, c)
	}
	if len(cuts) == 0 {
		return nil, refuse(sam.CodeCredentialUnknown, "who answered has no credential that could be revoked")
	}
	return cuts, nil
}

// revocation tells where a revocation is. It only reads.
func (r *Role) revocation(ctx context.Context, nonce string) (*sam.Revocation, error) {
	q, err := r.loadQuestion(ctx, kindRevoke, "nonce", nonce)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such revocation")
	}
	out := &sam.Revocation{Nonce: nonce, Credentials: []string{}}
	if q.Status != sam.StateAuthorized {
		out.State, out.Reason, err = r.unanswered(ctx, q)
		return out, err
	}
	rows, err := r.db.QueryContext(ctx, "SELECT credential, MIN(at), MIN(published) FROM revocations WHERE nonce = ? GROUP BY credential ORDER BY credential", nonce)
	if err != nil {
		return nil, fmt.Errorf("read revocation: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out.State = sam.RevocationPublished
	for rows.Next() {
		var id string
		var at, published int64
		if err := rows.Scan(&id, &at, &published); err != nil {
			return nil, fmt.Errorf("read revocation: %w", err)
		}
		out.Credentials, out.At = append(out.Credentials, id), time.UnixMicro(at).UTC()
		if published == 0 {
			out.State = sam.RevocationBlocked
		}
	}
	return out, rows.Err()
}
