package store

import (
	"context"
	"database/sql"
	"time"

	"tekend/db"
)

// Claim implements signer.Claims. An SQLite file belongs to one front, which has all its requests; on
// PostgreSQL the claim is a compare-and-swap on the row, and its time goes by the server's clock, which
// is the same one for all fronts.
func (s *Store) Claim(ctx context.Context, request string, d time.Duration) (ok bool, err error) {
	if s.db.Engine() == db.SQLite {
		return true, nil
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO claims (request, front, until) VALUES (?, ?, `+serverNow+` + ?)
			ON CONFLICT (request) DO UPDATE SET front = excluded.front, until = excluded.until
			WHERE claims.front = excluded.front OR claims.until <= `+serverNow, request, s.front, d.Microseconds())
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ok = n == 1
		return err
	})
	return ok && err == nil, err
}

// Release implements signer.Claims.
func (s *Store) Release(ctx context.Context, request string) error {
	if s.db.Engine() == db.SQLite {
		return nil
	}
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM claims WHERE request = ? AND front = ?`, request, s.front)
		return err
	})
}

// serverNow is PostgreSQL's clock in microseconds since 1970.
const serverNow = `CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)`

// unclaimed leaves out, of a query on requests, what another front works on now.
func (s *Store) unclaimed() (condition string, args []any) {
	if s.db.Engine() == db.SQLite {
		return "", nil
	}
	return ` AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.request = requests.id AND front <> ? AND until > ` + serverNow + `)`, []any{s.front}
}
