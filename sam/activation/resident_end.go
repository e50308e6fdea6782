package activation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"tekend/audit"
	"tekend/hsm"
)

// A role that has run for a while has no key in the token that no record is
// about, and no record whose key is not there. Both happen: a process is killed
// between the token and the database, an enrolment is given up, a token is put
// back. What is found is destroyed, but not at once and not always. A key
// without a row may belong to rows that were lost with a database that was put
// back, and somebody may be about to put the right one in place: so nothing is
// destroyed while the fence or a witness says that this history is not the whole
// one, or while no witness has said that it is, and never before residentGrace
// has passed since the key was found. After that the gate has been open all the
// time (or two operators have decided that this database is the one that goes
// on), and what has no record can never sign again: it is only a risk.

const (
	// residentGrace is how long a key without a use stays after it was found.
	residentGrace = 24 * time.Hour
	// residentEvery is how often the token is searched: it reads every key there.
	residentEvery = time.Hour
)

// sweepResidents searches the token every residentEvery and ends what is over.
func (r *Role) sweepResidents(ctx context.Context, search bool) error {
	now := r.cfg.Now()
	if since := now.Sub(r.searched); !search && since >= 0 && since < residentEvery {
		return nil
	}
	found, err := r.listResidents(ctx)
	if err != nil || found == nil {
		return err
	}
	if err := r.inTx(ctx, func(tx *sql.Tx) error { return r.settleResidents(ctx, tx, found) }); err != nil {
		return err
	}
	r.searched = now
	return r.endResidents(ctx)
}

// endResidents destroys what was found without a use long enough ago. Its caller
// has asked gate and witnesses (sweep).
func (r *Role) endResidents(ctx context.Context) error {
	before := r.cfg.Now().Add(-residentGrace).UnixMicro()
	keys, err := r.unusedResidents(ctx, before)
	if err != nil {
		return err
	}
	for _, id := range keys {
		if err := r.endResident(ctx, id); err != nil {
			return err
		}
	}
	missing, err := column(ctx, r.db, `SELECT l.id FROM links l JOIN resident_keys k ON k.key_id = l.blob WHERE l.mechanism = ?
		AND l.state <> 'destroyed' AND l.state <> 'revoked' AND k.state = 'missing' AND k.since > 0 AND k.since <= ?`, hsm.MechanismResident, before)
	if err != nil {
		return fmt.Errorf("look for credentials without a key: %w", err)
	}
	return r.each(ctx, missing, func(ctx context.Context, id string) error { // the record stops saying that there is a key
		l, err := r.credential(ctx, id)
		if err != nil {
			return err
		}
		return r.destroyKey(ctx, l, "its key is not in the token")
	})
}

// unusedResidents are the CKA_IDs of keys that have had no use since before.
func (r *Role) unusedResidents(ctx context.Context, before int64) (all [][]byte, err error) {
	rows, err := r.db.QueryContext(ctx, "SELECT key_id FROM resident_keys WHERE state IN ('orphan', 'unused') AND since > 0 AND since <= ?", before)
	if err != nil {
		return nil, fmt.Errorf("read resident keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read resident keys: %w", err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}

// endResident destroys one key that has no use. The intent is in the audit
// before; a stop in between leaves a row that the next search settles.
func (r *Role) endResident(ctx context.Context, id []byte) error {
	name := b64.EncodeToString(id)
	err := r.inTx(ctx, func(tx *sql.Tx) error {
		rows, err := r.residentRows(ctx, tx)
		if err != nil {
			return err
		}
		if rows[string(id)].used {
			return errInUse
		}
		return r.audit(ctx, tx, "key.destroy", name, map[string]string{"why": "it has no use"})
	})
	if errors.Is(err, errInUse) {
		return nil
	}
	if err != nil {
		return err
	}
	r.making.Lock()
	err = r.token.DestroyResident(ctx, id)
	r.making.Unlock()
	if err != nil {
		return tokenTrouble(fmt.Errorf("destroy key: %w", err))
	}
	return r.inTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE resident_keys SET state = ?, since = ? WHERE key_id = ?", keyDestroyed, r.cfg.Now().UnixMicro(), id)
		if err != nil {
			return fmt.Errorf("settle resident key: %w", err)
		}
		return audit.Append(ctx, tx, audit.Event{At: r.cfg.Now(), Kind: "key.destroyed", Subject: name, Detail: map[string]string{"why": "it has no use"}})
	})
}

// errInUse: a record is about the key after all.
var errInUse = errors.New("the key is in use")
