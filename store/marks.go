package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"tekend/sam"
)

// keptMarks is how many marks are kept: a sam that was put back, too, asks for an earlier one.
const keptMarks = 100_000

// NewestMark says how far this database has come; number 0 when it is new.
func (s *Store) NewestMark(ctx context.Context) (m sam.Mark, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT number, link FROM marks ORDER BY number DESC LIMIT 1`).Scan(&m.Number, &m.Link)
	if errors.Is(err, sql.ErrNoRows) {
		return sam.Mark{}, nil
	}
	if err != nil {
		return m, fmt.Errorf("read the newest mark: %w", err)
	}
	return m, nil
}

// HasMark says whether this database has been at m.
func (s *Store) HasMark(ctx context.Context, m sam.Mark) (bool, error) {
	var link []byte
	err := s.db.QueryRowContext(ctx, `SELECT link FROM marks WHERE number = ?`, m.Number).Scan(&link)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read a mark: %w", err)
	}
	return bytes.Equal(link, m.Link), nil
}

// RaiseMark adds the next mark: from now on a copy taken before is another history.
func (s *Store) RaiseMark(ctx context.Context) (sam.Mark, error) {
	m := sam.Mark{Link: make([]byte, 16)}
	if _, err := rand.Read(m.Link); err != nil {
		return m, fmt.Errorf("make a mark: %w", err)
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) + 1 FROM marks`).Scan(&m.Number); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO marks (number, link) VALUES (?, ?)`, m.Number, m.Link); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM marks WHERE number <= ?`, m.Number-keptMarks)
		return err
	})
	if err != nil {
		return sam.Mark{}, fmt.Errorf("add a mark: %w", err)
	}
	return m, nil
}

// Changes counts what this process has written about requests: when it grew there is something that a new mark would cover.
func (s *Store) Changes() int64 { return s.changes.Load() }
