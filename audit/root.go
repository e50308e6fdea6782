package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"tekend/db"
)

// Size is the number of rows, also those that no checkpoint covers yet.
func Size(ctx context.Context, d *db.DB) (int64, error) {
	var n sql.NullInt64
	if err := d.QueryRowContext(ctx, "SELECT MAX(seq) FROM audit").Scan(&n); err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return n.Int64, nil
}

// RootAt gives the root hash (32 bytes) of the tree over the first size rows.
// What the sequencer has stored of the tree is read; only the rows behind it
// are hashed, so that a start does not read the whole record ([Inspect] does).
func RootAt(ctx context.Context, d *db.DB, size int64) ([]byte, error) {
	var stored int64
	err := d.QueryRowContext(ctx, "SELECT size FROM audit_head").Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	stored = min(stored, size)
	tree, err := readTree(ctx, d, uint64(stored))
	if err != nil {
		return nil, err
	}
	for stored < size {
		rows, err := readRows(ctx, d, stored, size)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r.seq != stored+1 {
				return nil, fmt.Errorf("audit: row %d is missing", stored+1)
			}
			if err := tree.Append(r.leaf(), nil); err != nil {
				return nil, fmt.Errorf("audit: tree: %w", err)
			}
			stored++
		}
		if len(rows) == 0 {
			return nil, fmt.Errorf("audit: row %d is missing", stored+1)
		}
	}
	return rootOf(tree)
}

// Verifier is the log's public key under its name, read from the key file.
func (c LogConfig) Verifier() (note.Verifier, error) {
	_, v, err := readKey(c.Origin, c.KeyFile)
	return v, err
}
