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

var _ signer.Revocations = (*Store)(nil)

// InsertRevocation stores a new one.
func (s *Store) InsertRevocation(ctx context.Context, r *signer.Revocation) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	token, state := sha256.Sum256([]byte(r.Token)), sha256.Sum256([]byte(r.State))
	defer s.changes.Add(1)
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO revocations (id, token_sha256, state_sha256, version, answered, used, expires_at, data)
			VALUES (?,?,?,?,?,?,?,?)`, r.ID, token[:], state[:], r.Version, flag(r.Answer != nil), flag(r.Used), micros(r.ExpiresAt), string(data))
		return err
	})
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// LoadRevocation returns one, or signer.ErrNotFound.
func (s *Store) LoadRevocation(ctx context.Context, l signer.RevocationLookup) (*signer.Revocation, error) {
	where, arg := "id = ?", any(l.ID)
	for column, secret := range map[string]string{"token_sha256": l.Token, "state_sha256": l.State} {
		if secret != "" {
			h := sha256.Sum256([]byte(secret))
			where, arg = column+" = ?", h[:]
		}
	}
	var r signer.Revocation
	var data string
	var version int64
	err := s.db.QueryRowContext(ctx, `SELECT version, data FROM revocations WHERE `+where, arg).Scan(&version, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, signer.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(data), &r); err != nil {
		return nil, fmt.Errorf("data of a revocation: %w", err)
	}
	if l.Token != "" && subtle.ConstantTimeCompare([]byte(l.Token), []byte(r.Token)) != 1 {
		return nil, signer.ErrNotFound
	}
	r.Version = version
	return &r, nil
}

// AdvanceRevocation is the only write to one: a compare-and-swap on its version.
func (s *Store) AdvanceRevocation(ctx context.Context, r *signer.Revocation) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE revocations SET version = version + 1, answered = ?, used = ?, data = ? WHERE id = ? AND version = ?`,
			flag(r.Answer != nil), flag(r.Used), string(data), r.ID, r.Version)
		if err != nil {
			return err
		}
		return one(res)
	})
	if err != nil {
		return err
	}
	r.Version++
	s.changes.Add(1)
	return nil
}

// AnsweredRevocations are those whose answer the sam has not taken.
func (s *Store) AnsweredRevocations(ctx context.Context, limit int) (ids []string, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM revocations WHERE answered = 1 ORDER BY expires_at LIMIT ?`, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// DropRevocations forgets what is old. An answer that the sam has not taken is never forgotten.
func (s *Store) DropRevocations(ctx context.Context, unanswered, all time.Time) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM revocations WHERE answered = 0 AND (expires_at < ? OR used = 0 AND expires_at < ?)`, micros(all), micros(unanswered))
		return err
	})
}
