package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// The reply to COMMIT can be lost when the transaction was stored, and when it was not (reliability F25).
// On PostgreSQL every transaction of InTx therefore leaves a mark that belongs to it alone: this
// process's row in tekend_commits gets the transaction's number. After a lost reply a new connection
// takes the writer's lock, which the transaction holds until it has ended, and reads the row.
//
// pg_xact_status would need no table. But a transaction's id is given again after a crash of the server
// that came before anything of the transaction was on the disk, and after a failover, and it then tells
// of somebody else's transaction; see docs/decisions/0008-postgresql.md.

// writerLock is the key of the advisory lock that makes writers of one database follow one another.
const writerLock = 0x74656b656e64 // "tekend"

// markTable is made at Open. Rows of processes that are gone are removed after forgetMarks.
const (
	markTable = `CREATE TABLE IF NOT EXISTS tekend_commits (
	process TEXT PRIMARY KEY,
	n       BIGINT NOT NULL,
	at      TIMESTAMPTZ NOT NULL
)`
	forgetMarks = `DELETE FROM tekend_commits WHERE at < now() - interval '30 days'`
	// One round trip: wait for the turn, and mark.
	markStatement = `WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
INSERT INTO tekend_commits (process, n, at) SELECT $2, $3, now() FROM turn
ON CONFLICT (process) DO UPDATE SET n = excluded.n, at = excluded.at`
)

// askTime bounds the asking for the outcome of one COMMIT. It is longer than the server lets a
// transaction idle whose COMMIT never arrived (settings), so that this case is decided too.
const askTime = 12 * time.Second

func (d *DB) prepareMarks(ctx context.Context) error {
	d.mark = rand.Text()
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, query := range []string{fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", writerLock), markTable, forgetMarks} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	return tx.Commit()
}

// begin waits for the turn to write and marks the transaction. SQLite did it in BEGIN IMMEDIATE.
func (d *DB) begin(ctx context.Context, tx *sql.Tx) error {
	if d.engine != Postgres {
		return nil
	}
	d.count++
	if _, err := tx.ExecContext(ctx, markStatement, int64(writerLock), d.mark, d.count); err != nil {
		return fmt.Errorf("wait for the database: %w", err)
	}
	return nil
}

// outcome finds out what became of a COMMIT that returned cause: nil when it is stored, cause when it is
// not, ErrOutcomeUnknown when that cannot be had. The caller's turn in this process is still held.
func (d *DB) outcome(ctx context.Context, cause error) error {
	if d.engine != Postgres {
		if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, sql.ErrTxDone) {
			return cause // interrupted while it waited, and rolled back
		}
		// The disk failed. What was written of the WAL may count after a crash.
		return errors.Join(ErrOutcomeUnknown, cause)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.ask)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		stored, err := d.stored(ctx)
		switch {
		case err == nil && stored:
			return nil
		case err == nil:
			return cause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(ErrOutcomeUnknown, cause, err)
		}
	}
}

// stored asks on a connection of its own whether this process's last transaction is in the database.
func (d *DB) stored(ctx context.Context) (bool, error) {
	c, err := pgx.ConnectConfig(ctx, d.server.Copy())
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close(ctx) }() // nothing was written
	tx, err := c.Begin(ctx)
	if err != nil {
		return false, err
	}
	// Two statements: the second one's snapshot is taken when the turn has come, so when the
	// transaction in question has ended.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(writerLock)); err != nil {
		return false, err
	}
	var n int64
	err = tx.QueryRow(ctx, "SELECT n FROM tekend_commits WHERE process = $1", d.mark).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return n == d.count, err
}
