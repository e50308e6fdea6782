// Package db opens the embedded SQLite databases of the front and of the
// roles, with the settings that make a commit durable, and migrates them.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// DB is one database. Writers of this process are queued here, so that they
// do not poll SQLite's lock against each other.
type DB struct {
	*sql.DB
	writer chan struct{}
}

// pragmas: WAL so that readers never wait; synchronous FULL so that a commit
// has reached the disk when it returns (a burnt position must survive a power
// cut); BEGIN IMMEDIATE so that a transaction that will write never fails half
// way for want of the lock; trusted_schema off because the file may be foreign.
const pragmas = "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)" +
	"&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)&_txlock=immediate"

// Open opens the SQLite database at path (created with mode 0600) and applies
// the goose migrations that lie as migrations/*.sql in fsys, forward only.
func Open(ctx context.Context, path string, fsys fs.FS) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database path: %w", err)
	}
	// SQLite would create the file by the process's umask; its WAL files take
	// the mode of the database file.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	raw, err := sql.Open("sqlite", "file:"+(&url.URL{Path: abs}).EscapedPath()+"?"+pragmas)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	raw.SetMaxOpenConns(8)
	d := &DB{DB: raw, writer: make(chan struct{}, 1)}
	if err := d.migrate(ctx, fsys); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return d, nil
}

func (d *DB) migrate(ctx context.Context, fsys fs.FS) error {
	sub, err := fs.Sub(fsys, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, d.DB, sub)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}

// InTx runs fn in one transaction. When InTx returns nil the changes are on
// the disk. When it returns an error from fn nothing was changed. It runs fn
// once: whether to try again is the caller's knowledge.
func (d *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	select {
	case d.writer <- struct{}{}:
		defer func() { <-d.writer }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the database: %w", ctx.Err())
	}
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone: a transaction whose context ended is already rolled back.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
