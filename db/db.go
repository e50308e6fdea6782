// Package db opens the databases of the front and of the roles, SQLite or PostgreSQL, with the
// settings that make a commit durable, and migrates them. Callers write one SQL for both, with ? for
// parameters, and run it in *sql.Tx.
package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
)

// Engine is what holds a database.
type Engine int

// The engines.
const (
	SQLite   Engine = iota // one file, one host
	Postgres               // a server, which several processes and hosts may share
)

// String names the engine as goose and our documents do.
func (e Engine) String() string {
	if e == Postgres {
		return "postgres"
	}
	return "sqlite"
}

// ErrOutcomeUnknown is returned by InTx when COMMIT was sent, its reply did not come, and the database
// could not be asked in time. The transaction may be done or not: whoever gets this must not act on
// either, and must read again before it does anything else (reliability F25).
var ErrOutcomeUnknown = errors.New("the database did not say whether it stored the transaction")

// DB is one database. Writers of this process are queued here, so that they
// do not poll SQLite's lock, or hold a connection to PostgreSQL, against each other.
type DB struct {
	*sql.DB
	writer chan struct{}
	engine Engine
	fatal  func(error) // OnFatal

	// PostgreSQL only: how to make a connection outside the pool, and what this process marks its
	// transactions with (commit.go). count is guarded by writer.
	server *pgx.ConnConfig
	mark   string
	count  int64
	ask    time.Duration // how long the outcome of one COMMIT is asked for
}

// Open opens the database that source names and applies its migrations, forward only.
//
// source is the path of an SQLite file (created with mode 0600), or a URL postgres://user@host/database
// (address tells what it may hold). The migrations are goose files in fsys: migrations/*.sql for
// SQLite, migrations/postgres/*.sql for PostgreSQL, with the same numbers and names.
func Open(ctx context.Context, source string, fsys fs.FS) (*DB, error) {
	open := openFile
	if isURL(source) {
		open = openServer
	}
	d, err := open(ctx, source)
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, fsys); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenReader opens a database that exists for reading only, beside the process that owns it. Nothing is
// created and nothing migrated.
func OpenReader(ctx context.Context, source string) (*DB, error) {
	if isURL(source) {
		return readServer(ctx, source)
	}
	return readFile(source)
}

// Engine says what holds d.
func (d *DB) Engine() Engine { return d.engine }

// InTx runs fn in one transaction, the only one that writes to this database at that time. When InTx
// returns nil the changes are on the disk. When it returns an error nothing was changed, but for
// ErrOutcomeUnknown, when that is not known. It runs fn once: whether to try again, also after a
// deadlock or a serialization failure of PostgreSQL, is the caller's knowledge.
func (d *DB) InTx(ctx context.Context, fn func(tx *sql.Tx) error) error {
	select {
	case d.writer <- struct{}{}:
		defer func() { <-d.writer }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the database: %w", ctx.Err())
	}
	tx, err := d.BeginTx(d.calm(ctx), nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := d.begin(ctx, tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := ctx.Err(); err != nil { // nobody waits for it: nothing is done
		return errors.Join(fmt.Errorf("before commit: %w", err), ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return d.outcome(ctx, d.tell(fmt.Errorf("commit: %w", err)))
	}
	return nil
}

// calm is the context of a transaction itself; its statements have the caller's. On SQLite nothing in it
// waits but BEGIN, for another process's writer and not longer than busy_timeout, and a COMMIT that has
// begun is better ended than interrupted; to watch a context costs three goroutines a transaction.
func (d *DB) calm(ctx context.Context) context.Context {
	if d.engine == SQLite {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// ignoreDone: a transaction whose context ended, or whose connection is gone, is rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
