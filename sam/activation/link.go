package activation

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"tekend/ca"
	"tekend/certs"
	"tekend/hsm"
	"tekend/sam"
)

// link is the record that ties a person to a key and a certificate (EN 419
// 241-1, TS 119 431-1 LNK-6.2.2). All of it is under a MAC made in the token.
type link struct {
	ID, State              string
	Generation             int64
	Iss                    string
	IdentAud, IdentSub     string
	ConfirmAud, ConfirmSub string
	SPKI, Chain            []byte // Chain: DER, one after the other, leaf first
	Key                    hsm.Wrapped
	Created                int64
	MAC                    []byte
	Once                   once // of a one-time credential

	renew bool // the next order should enrol anew
	leaf  *x509.Certificate
	chain []*x509.Certificate // with the leaf
	read  *chain              // what is known of a stored Chain
}

// fields are what the MAC covers: every column, in order.
func (l *link) fields() [][]byte {
	all := [][]byte{
		[]byte("tekend-link/1"), []byte(l.ID), []byte(l.State), number(l.Generation), []byte(l.Iss),
		[]byte(l.IdentAud), []byte(l.IdentSub), []byte(l.ConfirmAud), []byte(l.ConfirmSub), l.SPKI, l.Chain,
		[]byte(l.Key.Kind), []byte(l.Key.KEK), []byte(l.Key.Mechanism), []byte(l.Key.Module), l.Key.Blob, number(l.Created),
	}
	if l.Once != (once{}) { // the others have the MAC that they always had
		all = append(all, []byte("once"), number(l.Once.Ends), []byte(l.Once.Docs), []byte(l.Once.Nonce))
	}
	return all
}

// mac authenticates a row by the token. The digest goes in, not the row: the
// key never sees what it authenticates, and 32 bytes are quick.
func (r *Role) mac(ctx context.Context, fields [][]byte) ([]byte, error) {
	sum := sha256.Sum256(joined(fields))
	m, err := r.token.MAC(ctx, r.cfg.MAC, sum[:])
	if err != nil {
		return nil, tokenTrouble(fmt.Errorf("MAC: %w", err))
	}
	return m, nil
}

func insertLink(ctx context.Context, tx *sql.Tx, l *link) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO links (id, state, generation, iss, ident_aud, ident_sub, confirm_aud, confirm_sub, spki, chain,
		kind, kek, mechanism, module, blob, created, mac, once_ends, once_docs, once_nonce, expires) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		l.ID, l.State, l.Generation, l.Iss, l.IdentAud, l.IdentSub, l.ConfirmAud, l.ConfirmSub, l.SPKI, l.Chain,
		l.Key.Kind, l.Key.KEK, l.Key.Mechanism, l.Key.Module, l.Key.Blob, l.Created, l.MAC,
		l.Once.Ends, l.Once.Docs, l.Once.Nonce, l.leaf.NotAfter.UnixMicro())
	if err != nil {
		return fmt.Errorf("store link: %w", err)
	}
	return storeSerial(ctx, tx, certs.SerialHex(l.leaf.SerialNumber), l.ID)
}

// readLink reads a row as it is; nil when there is none.
func (r *Role) readLink(ctx context.Context, id string) (*link, error) {
	l := &link{ID: id}
	err := r.db.QueryRowContext(ctx, `SELECT state, generation, iss, ident_aud, ident_sub, confirm_aud, confirm_sub, spki, chain,
		kind, kek, mechanism, module, blob, created, mac, once_ends, once_docs, once_nonce FROM links WHERE id = ?`, id).Scan(
		&l.State, &l.Generation, &l.Iss, &l.IdentAud, &l.IdentSub, &l.ConfirmAud, &l.ConfirmSub, &l.SPKI, &l.Chain,
		&l.Key.Kind, &l.Key.KEK, &l.Key.Mechanism, &l.Key.Module, &l.Key.Blob, &l.Created, &l.MAC,
		&l.Once.Ends, &l.Once.Docs, &l.Once.Nonce)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	return l, nil
}

// credential loads a link record and proves that nobody changed it.
func (r *Role) credential(ctx context.Context, id string) (*link, error) {
	l, err := r.readLink(ctx, id)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, refuse(sam.CodeCredentialUnknown, "there is no such credential")
	}
	mac, err := r.mac(ctx, l.fields())
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, l.MAC) {
		return nil, refuse(sam.CodeCredentialUnknown, "the record of the credential was changed")
	}
	if l.read, err = r.chains.read(l.Chain); err != nil || len(l.read.certs) == 0 {
		return nil, refuse(sam.CodeCertificateNotGood, "the stored certificate cannot be read")
	}
	l.chain = l.read.certs
	l.leaf = l.chain[0]
	l.renew = r.renewDue(l)
	return l, nil
}

// message is the credential as the front may see it.
func (l *link) message() *sam.Credential {
	c := &sam.Credential{ID: l.ID, State: l.State, KeyType: string(l.Key.Kind), Algorithm: string(l.algorithm()), SessionEnds: l.Once.ends(), Renew: l.renew}
	for _, one := range l.chain {
		c.Chain = append(c.Chain, one.Raw)
	}
	return c
}

// usableNow says whether the key may be used at this moment: the record is
// active, the certificate is of this key, on a path to our root through the
// one issuing CA, valid, of the profile of qualified certificates, and good at
// the ca (LNK-05). It asks the ca; without its answer the answer is no.
func (r *Role) usableNow(ctx context.Context, l *link) error {
	if l.State != sam.CredentialActive {
		return refuse(sam.CodeCertificateNotGood, "the credential is not active")
	}
	if now := r.cfg.Now(); !l.read.holds(l.SPKI, now) {
		path, err := r.checkCertificate(l.chain, l.SPKI, now)
		if err != nil {
			return err
		}
		l.read.path.Store(&path)
	}
	if err := counts(l.Key.Kind, l.leaf.PublicKey, r.cfg.Now()); err != nil {
		return refuse(sam.CodeCertificateNotGood, "the key's algorithm no longer counts")
	}
	serial := certs.SerialHex(l.leaf.SerialNumber)
	s, err := r.status.Status(ctx, serial)
	if err != nil {
		return later(sam.CodeCertificateNotGood, "the ca does not say the certificate's status")
	}
	if s.State == ca.Revoked {
		r.work.heard(l.ID)
	}
	if s.State != ca.Good || s.Serial != serial {
		return refuse(sam.CodeCertificateNotGood, "the ca does not call the certificate good")
	}
	return nil
}

// checkCertificate is the part of usableNow that needs no network. It gives
// the path to our root.
func (r *Role) checkCertificate(chain []*x509.Certificate, spkiDER []byte, now time.Time) ([]*x509.Certificate, error) {
	leaf := chain[0]
	if !bytes.Equal(leaf.RawSubjectPublicKeyInfo, spkiDER) {
		return nil, refuse(sam.CodeCertificateNotGood, "the certificate is of another key")
	}
	path, err := certs.BuildPath(leaf, chain[1:], r.roots, now, certs.Signing)
	if err != nil || len(path) < 2 {
		return nil, refuse(sam.CodeCertificateNotGood, "the certificate has no valid path to our root")
	}
	if !slices.ContainsFunc(r.issuers, path[1].Equal) {
		return nil, refuse(sam.CodeCertificateNotGood, "another CA issued the certificate")
	}
	if err := certs.IsQualifiedNaturalPerson(leaf); err != nil {
		return nil, refuse(sam.CodeCertificateNotGood, "the certificate is not a qualified one of a natural person")
	}
	return path, nil
}
