package db

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // without cgo
)

// pragmas: WAL so that readers never wait; synchronous FULL so that a commit
// has reached the disk when it returns (a burnt position must survive a power
// cut); BEGIN IMMEDIATE so that a transaction that will write never fails half
// way for want of the lock; trusted_schema off because the file may be foreign;
// secure_delete so that what is overwritten or deleted (a destroyed key, a
// person's data) is not left in pages that are free now.
const pragmas = "_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)" +
	"&_pragma=foreign_keys(1)&_pragma=trusted_schema(0)&_pragma=secure_delete(1)&_txlock=immediate"

const readPragmas = "mode=ro&_pragma=busy_timeout(10000)&_pragma=trusted_schema(0)"

func openFile(_ context.Context, path string) (*DB, error) {
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
	return file(abs, pragmas)
}

func readFile(path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database path: %w", err)
	}
	return file(abs, readPragmas)
}

func file(abs, settings string) (*DB, error) {
	to, err := sqlite.NewConnector("file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + settings)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	raw := sql.OpenDB(keeping{to})
	raw.SetMaxOpenConns(maxConns)
	raw.SetMaxIdleConns(maxConns)
	return &DB{DB: raw, engine: SQLite, writer: make(chan struct{}, 1)}, nil
}
