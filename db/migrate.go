package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrate applies what is new in fsys. On PostgreSQL several processes may start together: the first
// one migrates, the others wait.
func (d *DB) migrate(ctx context.Context, fsys fs.FS) (err error) {
	dir, dialect, raw, options := "migrations", goose.DialectSQLite3, d.DB, []goose.ProviderOption{}
	if d.engine == Postgres {
		dir, dialect, raw = "migrations/postgres", goose.DialectPostgres, d.patient()
		defer func() { err = errors.Join(err, raw.Close()) }()
		// Asked for once a second, for five minutes.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return fmt.Errorf("migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, raw, sub, options...)
	if err != nil {
		return fmt.Errorf("migrations of %s: %w", d.engine, err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	return nil
}
