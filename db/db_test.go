package db_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"tekend/db"
	"tekend/db/dbtest"
)

var counter = &fstest.MapFile{Data: []byte(
	"-- +goose Up\nCREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);\nINSERT INTO counter VALUES (1, 0);\n")}

var schema = fstest.MapFS{"migrations/00001_counter.sql": counter, "migrations/postgres/00001_counter.sql": counter}

var readOnly = &sql.TxOptions{ReadOnly: true}

func TestCommittedSurvivesReopenAndFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?.db")
	d := open(t, path)
	if err := d.InTx(t.Context(), add(1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, open(t, path)); got != 1 {
		t.Errorf("after reopening the counter is %d", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

func TestFailedTransactionChangesNothing(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "x.db"))
	boom := errors.New("boom")
	err := d.InTx(t.Context(), func(tx *sql.Tx) error {
		if err := add(5)(tx); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || read(t, d) != 0 {
		t.Errorf("%v, counter %d", err, read(t, d))
	}
}

func TestParallelWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	first, second := open(t, path), open(t, path) // two processes' worth of connections
	var wg sync.WaitGroup
	for i := range 40 {
		d := first
		if i%2 == 1 {
			d = second
		}
		wg.Go(func() {
			if err := d.InTx(context.Background(), add(1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := read(t, first); got != 40 {
		t.Errorf("counter is %d, want 40", got)
	}
}

func TestDurabilityPragmas(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "x.db"))
	var mode string
	var sync int
	if err := errors.Join(d.QueryRow("PRAGMA journal_mode").Scan(&mode), d.QueryRow("PRAGMA synchronous").Scan(&sync)); err != nil {
		t.Fatal(err)
	}
	if mode != "wal" || sync != 2 {
		t.Errorf("journal_mode %s, synchronous %d; want wal, 2 (FULL)", mode, sync)
	}
}

func open(t *testing.T, path string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), dbtest.Source(t, path), schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func fails(err error) func(*sql.Tx) error { return func(*sql.Tx) error { return err } }

func add(n int) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE counter SET n = n + ? WHERE id = 1", n)
		return err
	}
}

func read(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	if err := d.QueryRow("SELECT n FROM counter WHERE id = 1").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
