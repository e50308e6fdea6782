package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"tekend/consent"
	"tekend/itsme"
	"tekend/sam"
)

// What a confirmation was made of and judged by is stored before any key use
// (specs/itsme.md §9.4 step 11): manifest, request object and token stand in
// questions; here is the rest. It is put together on request; a row of the
// audit holds the hash of each part.

// keepAsked stores the signed attributes of each document and our public key
// set, in the transaction of the preparation.
func (r *Role) keepAsked(ctx context.Context, tx *sql.Tx, q *question, docs []sam.Document) error {
	if err := r.keepSet(ctx, tx, r.confirm.keySet); err != nil {
		return err
	}
	var all []byte
	for _, d := range docs {
		all = append(all, d.SignedAttrs...)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO evidence_asked (nonce, attributes, client_keys) VALUES (?,?,?)",
		q.Nonce, all, digest(r.confirm.keySet))
	if err != nil {
		return fmt.Errorf("store evidence: %w", err)
	}
	return nil
}

// keepJudged stores the key set that the token was verified with, in the
// transaction that consumes the confirmation.
func (r *Role) keepJudged(ctx context.Context, tx *sql.Tx, nonce string, keys itsme.Snapshot) error {
	if err := r.keepSet(ctx, tx, keys.Body); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO evidence_judged (nonce, keys, keys_url, keys_at) VALUES (?,?,?,?)",
		nonce, digest(keys.Body), keys.URL, timeOfKeys(keys.At))
	if err != nil {
		return fmt.Errorf("store evidence: %w", err)
	}
	return nil
}

func timeOfKeys(t time.Time) string { return t.UTC().Format(consent.TimeOfKeys) }

// sets remembers which key sets are in the database: one write for each set
// and process instead of one for each confirmation.
type sets struct{ known sync.Map }

// stored is called when the transaction that wrote the set is durable.
func (s *sets) stored(hash string) { s.known.Store(hash, true) }

func (r *Role) keepSet(ctx context.Context, tx *sql.Tx, body []byte) error {
	hash := digest(body)
	if _, known := r.sets.known.Load(hash); known {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO evidence_sets (hash, body) VALUES (?,?) ON CONFLICT DO NOTHING", hash, body); err != nil {
		return fmt.Errorf("store key set: %w", err)
	}
	return nil
}

// evidence puts the bundle of a confirmation together, once all its positions
// are signed. It only reads. The token, its keys and the session may be of an
// earlier process: what is told here was proven then, and is proven by the
// bundle itself now.
func (r *Role) evidence(ctx context.Context, nonce string) (*sam.Evidence, error) {
	q, err := r.loadQuestion(ctx, kindSign, "nonce", nonce)
	if err != nil {
		return nil, err
	}
	if q == nil {
		return nil, refuse(sam.CodeNotAuthorized, "there is no such confirmation")
	}
	m, err := q.manifest()
	if err != nil || m.Cred == nil || m.Template == nil {
		return nil, refuse(sam.CodeNotAuthorized, "the stored question was changed")
	}
	b := &consent.Bundle{
		V: consent.BundleVersion, Manifest: q.Manifest, Text: m.Template.Text, Request: q.Request, Token: q.Token,
	}
	if err := r.addPositionsTo(ctx, b, q, m); err != nil {
		return nil, err
	}
	if err := r.addSets(ctx, b, nonce); err != nil {
		return nil, err
	}
	if err := r.addOrderTo(ctx, b, nonce); err != nil {
		return nil, err
	}
	if err := r.addCertificates(ctx, b, m); err != nil {
		return nil, err
	}
	if err := r.addRows(ctx, b, nonce); err != nil {
		return nil, err
	}
	out, err := b.Encode()
	if err != nil {
		return nil, err
	}
	return &sam.Evidence{Bundle: out}, nil
}

// addPositionsTo adds label, digest, attributes and value of each document.
func (r *Role) addPositionsTo(ctx context.Context, b *consent.Bundle, q *question, m consent.Manifest) error {
	if q.Status != sam.StateAuthorized {
		return refuse(sam.CodeNotSigned, "nothing was signed with this confirmation")
	}
	s, err := r.session(ctx, q.Nonce)
	if err != nil {
		return err
	}
	all, err := r.positions(ctx, q.Nonce)
	if err != nil {
		return err
	}
	var attributes []byte
	err = r.db.QueryRowContext(ctx, "SELECT attributes FROM evidence_asked WHERE nonce = ?", q.Nonce).Scan(&attributes)
	if errors.Is(err, sql.ErrNoRows) {
		return refuse(sam.CodeNotSigned, "this confirmation is from before evidence was kept")
	}
	if err != nil {
		return fmt.Errorf("read evidence: %w", err)
	}
	rest := cryptobyte.String(attributes)
	for i, p := range all {
		var one cryptobyte.String
		if i >= len(m.Docs) || !rest.ReadASN1Element(&one, casn1.SET) || dtbsOf(m.Docs[i].Alg, one) != m.Docs[i].DTBS {
			return errors.New("the stored signed attributes are not those that were confirmed")
		}
		if p.open() {
			return refuse(sam.CodeNotSigned, "not every document is signed")
		}
		doc, err := b64.DecodeString(m.Docs[i].Doc)
		if err != nil {
			return fmt.Errorf("digest in the manifest: %w", err)
		}
		b.Positions = append(b.Positions, consent.Position{
			Label: m.Docs[i].Label, Digest: doc, Attributes: one, Algorithm: s.Algorithm, Value: p.value,
		})
	}
	if len(all) != len(m.Docs) || !rest.Empty() {
		return errors.New("positions and signed attributes do not fit together")
	}
	return nil
}

// addSets adds the two key sets.
func (r *Role) addSets(ctx context.Context, b *consent.Bundle, nonce string) error {
	var ours, theirs string
	err := r.db.QueryRowContext(ctx, `SELECT a.client_keys, o.body, j.keys, t.body, j.keys_url, j.keys_at FROM evidence_asked a
		JOIN evidence_judged j ON j.nonce = a.nonce JOIN evidence_sets o ON o.hash = a.client_keys JOIN evidence_sets t ON t.hash = j.keys
		WHERE a.nonce = ?`, nonce).Scan(&ours, &b.ClientKeys, &theirs, &b.IssuerKeys.Body, &b.IssuerKeys.URL, &b.IssuerKeys.At)
	if err != nil {
		return fmt.Errorf("read key sets: %w", err)
	}
	if digest(b.ClientKeys) != ours || digest(b.IssuerKeys.Body) != theirs {
		return errors.New("a stored key set was changed")
	}
	return nil
}

// addCertificates adds the person's certificate and its issuers, without a root.
func (r *Role) addCertificates(ctx context.Context, b *consent.Bundle, m consent.Manifest) error {
	l, err := r.credential(ctx, m.Cred.ID)
	if err != nil {
		return err
	}
	if digest(l.leaf.Raw) != m.Cred.CertSHA256 {
		return errors.New("the credential has another certificate now than was confirmed")
	}
	for _, c := range l.chain {
		if c == l.leaf || c.CheckSignatureFrom(c) != nil {
			b.Certificates = append(b.Certificates, c.Raw)
		}
	}
	return nil
}

// addOrderTo adds what the provider signed, if it signed its order.
func (r *Role) addOrderTo(ctx context.Context, b *consent.Bundle, nonce string) error {
	var o consent.SignedOrder
	err := r.db.QueryRowContext(ctx, "SELECT provider, jws, key_set FROM orders WHERE nonce = ?", nonce).Scan(&o.Provider, &o.JWS, &o.KeySet)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	b.Order = &o
	return nil
}
