package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tekend/signer"
)

// Insert stores a new request, its documents and its first event in one transaction.
func (s *Store) Insert(ctx context.Context, r *signer.Record) error {
	progress, err := json.Marshal(r.Progress)
	if err != nil {
		return err
	}
	h := sha256.Sum256([]byte(r.Token))
	defer s.changes.Add(1)
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO requests (id, client, state, version, token, token_sha256, level, language,
			reference, redirect_url, created_at, expires_at, next_at, progress) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			r.ID, r.Client, string(r.State), r.Version, r.Token, h[:], r.Level, r.Language,
			r.Reference, r.RedirectURL, micros(r.CreatedAt), micros(r.ExpiresAt), micros(r.NextAt), string(progress)); err != nil {
			return err
		}
		if err := addOnce(ctx, tx, r); err != nil {
			return err
		}
		if err := hold(ctx, tx, r); err != nil {
			return err
		}
		for n, d := range r.Documents {
			if _, err := tx.ExecContext(ctx, `INSERT INTO documents (id, request, n, name, label, size, sha256, blob,
				digest_algorithm, digest, behind, prefix) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`, d.ID, r.ID, n, d.Name, d.Label, d.Size,
				append([]byte{}, d.SHA256...), d.Blob, d.DigestAlgorithm, d.Digest, d.Behind, d.Prefix); err != nil {
				return err
			}
		}
		for _, e := range r.Events {
			if err := addEvent(ctx, tx, r, &e); err != nil {
				return err
			}
		}
		return nil
	})
}

// hold makes r the only open request of its client over the documents of r.Holds, or returns a *signer.HeldError. The
// primary key decides between orders that come at once: the second one waits for the first one's transaction. Of what a
// finished request has made a revision of, another branch may begin unless r goes on with it by name.
func hold(ctx context.Context, tx *sql.Tx, r *signer.Record) error {
	free := "holds.holder IS NULL"
	if r.Continues {
		free += " AND holds.maker IS NULL"
	}
	for _, sum := range r.Holds {
		res, err := tx.ExecContext(ctx, `INSERT INTO holds (client, sha256, holder) VALUES (?,?,?)
			ON CONFLICT (client, sha256) DO UPDATE SET holder = excluded.holder WHERE `+free, r.Client, sum, r.ID)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if n == 1 {
			continue
		}
		return heldBy(ctx, tx, r, sum)
	}
	return nil
}

// heldBy says who has the document that r wanted: for an order to go on with it whoever has made its next revision, since
// no waiting will help.
func heldBy(ctx context.Context, tx *sql.Tx, r *signer.Record, sum []byte) error {
	var holder, maker sql.NullString
	err := tx.QueryRowContext(ctx, `SELECT holder, maker FROM holds WHERE client = ? AND sha256 = ?`, r.Client, sum).Scan(&holder, &maker)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it ended just now, the caller may try again
		return &signer.HeldError{}
	case err != nil:
		return err
	case r.Continues && maker.Valid:
		return &signer.HeldError{Request: maker.String, Made: true}
	}
	return &signer.HeldError{Request: holder.String}
}

// letGo ends what a request holds, with it.
func letGo(ctx context.Context, tx *sql.Tx, r *signer.Record) error {
	if r.State == signer.Finished {
		_, err := tx.ExecContext(ctx, `UPDATE holds SET maker = holder, holder = NULL WHERE holder = ?`, r.ID)
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM holds WHERE holder = ? AND maker IS NULL`, r.ID)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE holds SET holder = NULL WHERE holder = ?`, r.ID)
	}
	return err
}

// addOnce takes the client's key for the request, or returns ErrKeyTaken.
func addOnce(ctx context.Context, tx *sql.Tx, r *signer.Record) error {
	if r.Once == nil {
		return nil
	}
	h := sha256.Sum256([]byte(r.Once.Key))
	res, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (client, key_sha256, digest, request) VALUES (?,?,?,?)
		ON CONFLICT (client, key_sha256) DO NOTHING`, r.Client, h[:], r.Once.Digest, r.ID)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = signer.ErrKeyTaken
	}
	return err
}

func addEvent(ctx context.Context, tx *sql.Tx, r *signer.Record, e *signer.Event) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO events (id, request, version, at, type) VALUES (?,?,?,?,?)`,
		e.ID, r.ID, r.Version, micros(e.At), e.Type)
	return err
}

// Advance is the only write to a request: a compare-and-swap on its state and version, in one
// transaction with everything that belongs to the change.
func (s *Store) Advance(ctx context.Context, c signer.Change) error {
	progress, err := json.Marshal(c.Now.Progress)
	if err != nil {
		return err
	}
	seen := c.Now.Version
	now := *c.Now
	now.Version++
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE requests SET state = ?, version = ?, language = ?, next_at = ?, progress = ?
			WHERE id = ? AND state = ? AND version = ?`,
			string(now.State), now.Version, now.Language, micros(now.NextAt), string(progress), now.ID, string(c.Was), seen)
		if err != nil {
			return err
		}
		if err := one(res); err != nil {
			return err
		}
		return addAll(ctx, tx, c, &now)
	})
	if err != nil {
		return err
	}
	c.Now.Version = now.Version
	s.changes.Add(1)
	return nil
}

// one turns "no row was as expected" into ErrConflict.
func one(res sql.Result) error {
	n, err := res.RowsAffected()
	if err == nil && n != 1 {
		err = signer.ErrConflict
	}
	return err
}

func addAll(ctx context.Context, tx *sql.Tx, c signer.Change, now *signer.Record) error {
	if c.Works {
		for n := range now.Documents {
			if err := setWork(ctx, tx, now, n); err != nil {
				return err
			}
		}
	}
	if c.Digests {
		if err := setDigests(ctx, tx, now); err != nil {
			return err
		}
	}
	if now.State.End() {
		if err := letGo(ctx, tx, now); err != nil {
			return err
		}
	}
	if c.Abandon {
		// 1 is long ago, and not "never": no clock that is put back makes the question count again.
		if _, err := tx.ExecContext(ctx, `UPDATE callbacks SET expires_at = 1 WHERE request = ? AND used = 0`, now.ID); err != nil {
			return err
		}
	}
	if c.Use != "" {
		h := sha256.Sum256([]byte(c.Use))
		res, err := tx.ExecContext(ctx, `UPDATE callbacks SET used = 1 WHERE state_sha256 = ? AND request = ? AND used = 0`, h[:], now.ID)
		if err != nil {
			return err
		}
		if err := one(res); err != nil {
			return err
		}
	}
	if e := c.Expect; e != nil {
		h := sha256.Sum256([]byte(e.State))
		// An equal call of the SAM returns an equal state: it may be known already, never for something else.
		res, err := tx.ExecContext(ctx, `INSERT INTO callbacks (state_sha256, request, kind, subject, expires_at, used) VALUES (?,?,?,?,?,0)
			ON CONFLICT (state_sha256) DO UPDATE SET expires_at = excluded.expires_at
			WHERE callbacks.request = excluded.request AND callbacks.kind = excluded.kind AND callbacks.subject = excluded.subject`,
			h[:], now.ID, e.Kind, e.Subject, micros(e.ExpiresAt))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errors.New("the state parameter belongs to another question"))
		}
	}
	if c.Bind {
		if err := bind(ctx, tx, now); err != nil {
			return err
		}
	}
	if c.Event != nil {
		return addEvent(ctx, tx, now, c.Event)
	}
	return nil
}

func setWork(ctx context.Context, tx *sql.Tx, r *signer.Record, n int) error {
	d := &r.Documents[n]
	work, err := json.Marshal(d.Work)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE documents SET work = ?, level = ? WHERE request = ? AND n = ?`, string(work), d.Level, r.ID, n)
	return err
}

// setDigests writes what a request waited for, and holds their next revision for it if it wants that.
func setDigests(ctx context.Context, tx *sql.Tx, r *signer.Record) error {
	if err := hold(ctx, tx, r); err != nil {
		return err
	}
	for n, d := range r.Documents {
		if _, err := tx.ExecContext(ctx, `UPDATE documents SET digest = ? WHERE request = ? AND n = ?`, d.Digest, r.ID, n); err != nil {
			return err
		}
	}
	return nil
}

func bind(ctx context.Context, tx *sql.Tx, r *signer.Record) (err error) {
	if r.Progress.Credential == "" {
		_, err = tx.ExecContext(ctx, `DELETE FROM signers WHERE client = ? AND reference = ?`, r.Client, r.Reference)
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO signers (client, reference, credential) VALUES (?,?,?)
		ON CONFLICT (client, reference) DO UPDATE SET credential = excluded.credential`, r.Client, r.Reference, r.Progress.Credential)
	return err
}

// Load returns a request by id, by the token of its page or by its idempotency key, or signer.ErrNotFound.
func (s *Store) Load(ctx context.Context, l signer.Lookup) (*signer.Record, error) {
	// One snapshot, so that state, works and events belong together.
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	var once *signer.Once
	if l.Key != "" {
		once = &signer.Once{Key: l.Key}
		if l.ID, once.Digest, err = loadOnce(ctx, tx, l); err != nil {
			return nil, err
		}
	}
	r, err := loadRow(ctx, tx, l)
	if err != nil {
		return nil, err
	}
	r.Once = once
	if l.Token != "" && subtle.ConstantTimeCompare([]byte(l.Token), []byte(r.Token)) != 1 {
		return nil, signer.ErrNotFound
	}
	if err := loadDocuments(ctx, tx, r, l); err != nil {
		return nil, err
	}
	return r, loadEvents(ctx, tx, r)
}

func loadOnce(ctx context.Context, tx *sql.Tx, l signer.Lookup) (id string, digest []byte, err error) {
	h := sha256.Sum256([]byte(l.Key))
	err = tx.QueryRowContext(ctx, `SELECT request, digest FROM idempotency_keys WHERE client = ? AND key_sha256 = ?`, l.Client, h[:]).Scan(&id, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		err = signer.ErrNotFound
	}
	return id, digest, err
}

func loadRow(ctx context.Context, tx *sql.Tx, l signer.Lookup) (*signer.Record, error) {
	where, arg := "id = ?", any(l.ID)
	if l.Token != "" {
		h := sha256.Sum256([]byte(l.Token))
		where, arg = "token_sha256 = ?", h[:]
	}
	var r signer.Record
	var created, expires, next int64
	var progress string
	err := tx.QueryRowContext(ctx, `SELECT id, client, state, version, token, level, language, reference, redirect_url,
		created_at, expires_at, next_at, progress FROM requests WHERE `+where, arg).
		Scan(&r.ID, &r.Client, &r.State, &r.Version, &r.Token, &r.Level, &r.Language, &r.Reference, &r.RedirectURL,
			&created, &expires, &next, &progress)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, signer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	r.CreatedAt, r.ExpiresAt, r.NextAt = fromMicros(created), fromMicros(expires), fromMicros(next)
	if err := json.Unmarshal([]byte(progress), &r.Progress); err != nil {
		return nil, fmt.Errorf("progress of a request: %w", err)
	}
	return &r, nil
}

func loadDocuments(ctx context.Context, tx *sql.Tx, r *signer.Record, l signer.Lookup) error {
	columns, args := "NULL, NULL, NULL", []any{r.ID}
	switch {
	case l.Works:
		columns = "work, behind, prefix"
	case l.Work > 0:
		n := l.Work - 1
		columns, args = "CASE WHEN n = ? THEN work END, CASE WHEN n = ? THEN behind END, CASE WHEN n = ? THEN prefix END", []any{n, n, n, r.ID}
	}
	rows, err := tx.QueryContext(ctx, `SELECT id, name, label, size, sha256, blob, digest_algorithm, digest, level, `+columns+
		` FROM documents WHERE request = ? ORDER BY n`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var d signer.Document
		var work sql.NullString
		if err := rows.Scan(&d.ID, &d.Name, &d.Label, &d.Size, &d.SHA256, &d.Blob, &d.DigestAlgorithm, &d.Digest, &d.Level,
			&work, &d.Behind, &d.Prefix); err != nil {
			return err
		}
		if work.Valid {
			d.Work = new(signer.Work)
			if err := json.Unmarshal([]byte(work.String), d.Work); err != nil {
				return fmt.Errorf("work on a document: %w", err)
			}
		}
		r.Documents = append(r.Documents, d)
	}
	return rows.Err()
}

func loadEvents(ctx context.Context, tx *sql.Tx, r *signer.Record) error {
	rows, err := tx.QueryContext(ctx, `SELECT id, at, type FROM events WHERE request = ? ORDER BY version`, r.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e signer.Event
		var at int64
		if err := rows.Scan(&e.ID, &at, &e.Type); err != nil {
			return err
		}
		e.At = fromMicros(at)
		r.Events = append(r.Events, e)
	}
	return rows.Err()
}

// Due returns requests whose time to be looked at has come and that no other front works on, and when the next one's comes.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) (ids []string, next time.Time, err error) {
	condition, args := s.unclaimed()
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM requests WHERE next_at > 0 AND next_at <= ?`+condition+` ORDER BY next_at LIMIT ?`,
		append(append([]any{micros(now)}, args...), limit)...)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, time.Time{}, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, time.Time{}, err
	}
	var n sql.NullInt64
	err = s.db.QueryRowContext(ctx, `SELECT MIN(next_at) FROM requests WHERE next_at > ?`, micros(now)).Scan(&n)
	return ids, fromMicros(n.Int64), err
}
