package activation

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"

	"tekend/audit"
	"tekend/hsm"
)

// Where users' keys live (Config.Keys).
const (
	KeysWrapped  = "wrapped"  // outside the token, wrapped by its KEK; the link record holds the blob
	KeysResident = "resident" // inside the token; the link record holds the key's CKA_ID
)

// States of a row of resident_keys. The rows are there so that no key is in the
// token that nobody knows of, and none is missed in silence: generation is the
// one act whose outcome can be lost without a trace on our side.
const (
	keyIntended  = "intended"  // written before C_GenerateKeyPair
	keyMade      = "made"      // in an enrolment, later in a link record
	keyAbsent    = "absent"    // was never made
	keyOrphan    = "orphan"    // in the token, and not known what for, or not a whole pair
	keyMissing   = "missing"   // was made, and is not in the token
	keyUnused    = "unused"    // made for an enrolment that did not end
	keyDestroyed = "destroyed" // by us: nothing will be signed with it
)

// intendKey records, before there is a key, that one will be made. It gives the
// CKA_ID of a resident key, nil for a wrapped one.
func (r *Role) intendKey(ctx context.Context, e *enrolment) ([]byte, error) {
	detail := map[string]string{"kind": string(r.cfg.KeyType)}
	var id []byte
	if r.cfg.Keys == KeysResident {
		var err error
		if id, err = hsm.NewResidentID(); err != nil {
			return nil, fmt.Errorf("name a key: %w", err)
		}
		detail["key"] = b64.EncodeToString(id)
	}
	return id, r.inTx(ctx, func(tx *sql.Tx) error {
		if id != nil {
			_, err := tx.ExecContext(ctx, "INSERT INTO resident_keys (key_id, state, enrolment, boot, created) VALUES (?,?,?,?,?)",
				id, keyIntended, e.ID, r.boot, r.cfg.Now().UnixMicro())
			if err != nil {
				return fmt.Errorf("store intent: %w", err)
			}
		}
		return r.audit(ctx, tx, "key.generate", e.ID, detail)
	})
}

// generate makes the key where the deployment keeps keys; id is intendKey's.
func (r *Role) generate(ctx context.Context, id []byte, use func(crypto.Signer) error) (hsm.Wrapped, error) {
	if id != nil {
		r.making.RLock()
		defer r.making.RUnlock()
		return r.token.GenerateResident(ctx, id, r.cfg.KeyType, use)
	}
	return r.token.GenerateWrapped(ctx, r.cfg.KEK, r.cfg.KeyType, use)
}

// keyIsMade ends the intent, in the transaction that stores the enrolment.
func (r *Role) keyIsMade(ctx context.Context, tx *sql.Tx, e *enrolment) error {
	if !e.Key.Resident() {
		return nil
	}
	return changed(ctx, tx, "UPDATE resident_keys SET state = ? WHERE key_id = ? AND state = ?", keyMade, e.Key.Blob, keyIntended)
}

// residentKey is a row of resident_keys with what else the database says.
type residentKey struct {
	id    []byte
	state string
	used  bool // a link record or an open enrolment has it
}

// listResidents looks into the token, before the transaction of the start. nil:
// this deployment has no resident keys.
func (r *Role) listResidents(ctx context.Context) ([]hsm.ResidentKey, error) {
	var rows int
	if err := r.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM resident_keys").Scan(&rows); err != nil {
		return nil, fmt.Errorf("count resident keys: %w", err)
	}
	if r.cfg.Keys != KeysResident && rows == 0 {
		return nil, nil
	}
	r.making.Lock()
	found, err := r.token.ResidentKeys(ctx)
	r.making.Unlock()
	if err != nil {
		return nil, tokenTrouble(fmt.Errorf("list resident keys: %w", err))
	}
	if found == nil {
		found = []hsm.ResidentKey{}
	}
	return found, nil
}

// settleResidents makes the rows agree with the token, at start and now and
// then. What it finds is logged and has its row in the audit. It destroys
// nothing: a key without a row may be one whose row was lost with a database
// that was put back. endResidents does, later.
func (r *Role) settleResidents(ctx context.Context, tx *sql.Tx, found []hsm.ResidentKey) error {
	if found == nil {
		return nil
	}
	rows, err := r.residentRows(ctx, tx)
	if err != nil {
		return err
	}
	for _, k := range found {
		row, known := rows[string(k.ID)]
		delete(rows, string(k.ID))
		switch {
		case !known:
			now := r.cfg.Now().UnixMicro()
			_, err = tx.ExecContext(ctx, `INSERT INTO resident_keys (key_id, state, enrolment, boot, created, since) VALUES (?,?,'',?,?,?)
				ON CONFLICT (key_id) DO NOTHING`, k.ID, keyOrphan, r.boot, now, now)
			if err == nil {
				err = r.toldOfKey(ctx, tx, k.ID, keyOrphan, "it has no row")
			}
		case row.state == "": // another instance is at it
		case !k.Whole():
			err = r.settleKey(ctx, tx, row, keyOrphan, "it is not one whole pair")
		case row.state == keyIntended || row.state == keyAbsent:
			err = r.settleKey(ctx, tx, row, keyOrphan, "it was made, and nobody heard of it")
		case row.state == keyDestroyed:
			err = r.settleKey(ctx, tx, row, keyOrphan, "it was destroyed, and is back")
		case row.state == keyMissing && row.used:
			err = r.settleKey(ctx, tx, row, keyMade, "it is back")
		case (row.state == keyMade || row.state == keyMissing) && !row.used:
			err = r.settleKey(ctx, tx, row, keyUnused, "its enrolment did not end")
		}
		if err != nil {
			return err
		}
	}
	for _, row := range rows { // not in the token
		switch row.state {
		case keyIntended:
			err = r.settleKey(ctx, tx, row, keyAbsent, "it was not made")
		case keyMade:
			err = r.settleKey(ctx, tx, row, keyMissing, "it is not in the token")
		case keyOrphan, keyUnused:
			err = r.settleKey(ctx, tx, row, keyAbsent, "it was taken out of the token")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// residentRows are the rows by CKA_ID. Those that a process, this one or another
// instance, may be working on have no state: those made a moment ago, and those of
// revoked credentials, whose keys are destroyed in the token first (destroyKey).
func (r *Role) residentRows(ctx context.Context, tx *sql.Tx) (map[string]residentKey, error) {
	before := r.cfg.Now().Add(-gone).UnixMicro()
	rows, err := tx.QueryContext(ctx, `SELECT k.key_id, k.state,
		EXISTS (SELECT 1 FROM links l WHERE l.mechanism = ? AND l.blob = k.key_id AND l.state <> 'destroyed')
			OR EXISTS (SELECT 1 FROM enrolments e WHERE e.id = k.enrolment AND e.blob = k.key_id AND e.step NOT IN ('done', 'existing')),
		k.created > ? AND EXISTS (SELECT 1 FROM boots b WHERE b.boot = k.boot AND b.seen > ?)
			OR EXISTS (SELECT 1 FROM links l WHERE l.mechanism = ? AND l.blob = k.key_id AND l.state = 'revoked')
		FROM resident_keys k`, hsm.MechanismResident, before, before, hsm.MechanismResident)
	if err != nil {
		return nil, fmt.Errorf("read resident keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]residentKey{}
	for rows.Next() {
		var k residentKey
		var elsewhere bool
		if err := rows.Scan(&k.id, &k.state, &k.used, &elsewhere); err != nil {
			return nil, fmt.Errorf("read resident keys: %w", err)
		}
		if elsewhere {
			k.state = ""
		}
		all[string(k.id)] = k
	}
	return all, rows.Err()
}

// settleKey writes what became of a key, once.
func (r *Role) settleKey(ctx context.Context, tx *sql.Tx, row residentKey, state, why string) error {
	if row.state == state {
		return nil
	}
	err := changed(ctx, tx, "UPDATE resident_keys SET state = ?, since = ? WHERE key_id = ? AND state = ?", state, r.cfg.Now().UnixMicro(), row.id, row.state)
	if errors.Is(err, errNotOne) {
		return nil // another instance's start was first
	}
	if err != nil {
		return fmt.Errorf("settle resident key: %w", err)
	}
	return r.toldOfKey(ctx, tx, row.id, state, why)
}

// toldOfKey writes log and audit of a key's new state.
func (r *Role) toldOfKey(ctx context.Context, tx *sql.Tx, id []byte, state, why string) error {
	e := audit.Event{At: r.cfg.Now(), Subject: b64.EncodeToString(id), Detail: map[string]string{"why": why}}
	switch state {
	case keyMade:
		e.Kind = "key.found"
	case keyAbsent:
		e.Kind = "key.absent"
	case keyMissing:
		e.Kind = "key.missing"
	case keyUnused:
		e.Kind = "key.unused"
	default:
		e.Kind = "key.orphan"
	}
	r.cfg.Log.Warn("a resident key", "key", e.Subject, "audit", e.Kind, "why", why)
	return audit.Append(ctx, tx, e)
}
