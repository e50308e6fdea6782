package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tekend/audit"
	"tekend/certs"
	"tekend/sam"
)

// The states of a link record (package sam). All that changes one goes through
// here: the new record is made with its MAC before the transaction, because that
// takes the token, and takes the place of exactly the record that was read.
//
//	active ⇄ suspended     operators; the certificate's status is not touched
//	active, suspended → revoked → destroyed     for ever: a trigger of the database
//	active → destroyed     no certificate is revoked: its validity or its session is over

// over tells that nothing will be signed with the credential ever again.
func (l *link) over() bool {
	return l.State == sam.CredentialRevoked || l.State == sam.CredentialDestroyed
}

// turned is the link in another state.
func (r *Role) turned(ctx context.Context, l *link, state string) (*link, error) {
	next := *l
	next.State = state
	next.Generation++ // what was confirmed before is void
	if state == sam.CredentialDestroyed && !l.Key.Resident() {
		next.Key.Blob = make([]byte, len(l.Key.Blob))
	}
	var err error
	next.MAC, err = r.mac(ctx, next.fields())
	return &next, err
}

// storeTurn stores next, in which only state, generation and key differ from the
// record that was read.
func storeTurn(ctx context.Context, tx *sql.Tx, was, next *link) error {
	err := changed(ctx, tx, "UPDATE links SET state = ?, generation = ?, blob = ?, mac = ? WHERE id = ? AND mac = ?",
		next.State, next.Generation, next.Key.Blob, next.MAC, was.ID, was.MAC)
	if errors.Is(err, errNotOne) {
		return busyElsewhere()
	}
	if err != nil {
		return fmt.Errorf("change the state of a credential: %w", err)
	}
	return nil
}

// stillThere refuses when the credential is not in the state in which it was
// read, in the transaction that burns: after a revocation nothing begins, however
// long ago the record was looked at.
func stillThere(ctx context.Context, tx *sql.Tx, l *link) error {
	var one int
	err := tx.QueryRowContext(ctx, "SELECT 1 FROM links WHERE id = ? AND state = ? AND generation = ?", l.ID, l.State, l.Generation).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return refuse(sam.CodeCertificateNotGood, "the credential changed since it was confirmed")
	}
	if err != nil {
		return fmt.Errorf("look at the credential again: %w", err)
	}
	return nil
}

// notSuspended refuses a new credential to a person while operators look into one
// of his: a suspension is of the person's signing, not of one key. It is looked
// at when he is identified, and in the transaction that makes the credential: in
// between his application may have waited for a day.
func notSuspended(ctx context.Context, from rowReader, iss, identAud, identSub string) error {
	var n int
	err := from.QueryRowContext(ctx, "SELECT COUNT(*) FROM links WHERE iss = ? AND ident_aud = ? AND ident_sub = ? AND state = 'suspended'",
		iss, identAud, identSub).Scan(&n)
	if err != nil {
		return fmt.Errorf("look for suspended credentials: %w", err)
	}
	if n > 0 {
		return refuse(sam.CodeSuspended, "operators have suspended a credential of this person")
	}
	return nil
}

// destroyKey destroys the key of a credential of which nothing will be signed
// any more, in every copy (TS 119 431-1 DEL-6.3.2): the pair in the token, or
// the blob in the record, which is overwritten. It may be called again after a
// stop anywhere in it. A blob that was copied before is useless without the KEK
// in the token and is not used by this role: docs/decisions/0016-revocation.md.
func (r *Role) destroyKey(ctx context.Context, l *link, why string) error {
	next, err := r.turned(ctx, l, sam.CredentialDestroyed)
	if err != nil {
		return err
	}
	if l.Key.Resident() {
		if err := r.token.DestroyResident(ctx, l.Key.Blob); err != nil {
			return tokenTrouble(fmt.Errorf("destroy key: %w", err))
		}
	}
	return r.inTx(ctx, func(tx *sql.Tx) error {
		if err := storeTurn(ctx, tx, l, next); err != nil {
			return err
		}
		if l.Key.Resident() {
			if _, err := tx.ExecContext(ctx, "UPDATE resident_keys SET state = ? WHERE key_id = ?", keyDestroyed, l.Key.Blob); err != nil {
				return fmt.Errorf("destroy key: %w", err)
			}
		}
		_, err := r.auditListed(ctx, tx, concern{credential: l.ID, position: allPositions}, audit.Event{
			At: r.cfg.Now(), Kind: "key.destroyed", Subject: l.ID, Detail: map[string]string{"why": why, "spki": digest(l.SPKI)},
		})
		return err
	})
}

// nameSerials writes whose certificate each serial number is, for records from
// before that table.
func (r *Role) nameSerials(ctx context.Context) error {
	rows, err := r.db.QueryContext(ctx, "SELECT id, chain FROM links l WHERE NOT EXISTS (SELECT 1 FROM serials s WHERE s.credential = l.id)")
	if err != nil {
		return fmt.Errorf("look for serial numbers: %w", err)
	}
	defer func() { _ = rows.Close() }()
	serials := map[string]string{}
	for rows.Next() {
		var id string
		var der []byte
		if err := rows.Scan(&id, &der); err != nil {
			return fmt.Errorf("look for serial numbers: %w", err)
		}
		if c, err := r.chains.read(der); err == nil && len(c.certs) > 0 { // a record that was changed is refused when it is used
			serials[certs.SerialHex(c.certs[0].SerialNumber)] = id
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(serials) == 0 {
		return err
	}
	return r.db.InTx(ctx, func(tx *sql.Tx) error {
		for serial, id := range serials {
			if err := storeSerial(ctx, tx, serial, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// storeSerial writes whose certificate a serial number is. A credential that
// gets another certificate has both.
func storeSerial(ctx context.Context, tx *sql.Tx, serial, credential string) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO serials (serial, credential) VALUES (?,?) ON CONFLICT (serial) DO NOTHING", serial, credential); err != nil {
		return fmt.Errorf("store serial number: %w", err)
	}
	return nil
}
