package db_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/fstest"

	"tekend/db"
)

func numbers(t *testing.T) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "n.db"), fstest.MapFS{"migrations/00001_n.sql": {Data: []byte(
		"-- +goose Up\nCREATE TABLE n (id INTEGER PRIMARY KEY, v TEXT NOT NULL);\nINSERT INTO n VALUES (1,'one'),(2,'two'),(3,'three');\n-- +goose Down\n")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// TestStatementInsideItself: a text that is used while the rows of the same
// text are being read gets a statement of its own.
func TestStatementInsideItself(t *testing.T) {
	d := numbers(t)
	const query = "SELECT id, v FROM n WHERE id >= ? ORDER BY id"
	seen := 0
	err := d.InTx(t.Context(), func(tx *sql.Tx) error {
		outer, err := tx.QueryContext(t.Context(), query, 1)
		if err != nil {
			return err
		}
		defer func() { _ = outer.Close() }()
		for outer.Next() {
			var id, inner int
			var v string
			if err := outer.Scan(&id, &v); err != nil {
				return err
			}
			if err := tx.QueryRowContext(t.Context(), query, id).Scan(&inner, &v); err != nil {
				return err
			}
			if inner != id {
				return fmt.Errorf("%d inside %d", inner, id)
			}
			seen++
		}
		return outer.Err()
	})
	if err != nil || seen != 3 {
		t.Errorf("%d rows, %v", seen, err)
	}
}

// TestStatementOutlivesTheTable: a kept statement follows changes of the tables
// and errors; more texts than are kept work too; an ended context is honoured.
func TestStatementOutlivesTheTable(t *testing.T) {
	d := numbers(t)
	d.SetMaxOpenConns(1) // one set of statements
	one := func(want string) {
		t.Helper()
		var v string
		if err := d.QueryRowContext(t.Context(), "SELECT v FROM n WHERE id = ?", 1).Scan(&v); err != nil || v != want {
			t.Errorf("%q %v, want %q", v, err, want)
		}
	}
	add := func() error {
		_, err := d.ExecContext(t.Context(), "INSERT INTO n (id, v) VALUES (?, ?)", 1, "x")
		return err
	}
	one("one")
	if add() == nil || add() == nil {
		t.Error("a key twice")
	}
	for _, script := range []string{"ALTER TABLE n ADD COLUMN more TEXT", "DROP TABLE n; CREATE TABLE n (v TEXT, id INTEGER PRIMARY KEY)"} {
		if _, err := d.ExecContext(t.Context(), script); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(); err != nil {
		t.Error(err)
	}
	one("x")
	for i := range 600 {
		var got int
		if err := d.QueryRowContext(t.Context(), fmt.Sprintf("SELECT %d FROM n WHERE id = ?", i), 1).Scan(&got); err != nil || got != i {
			t.Fatalf("%d %v", got, err)
		}
	}
	one("x")
	ctx, cancel := context.WithCancel(t.Context())
	err := d.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE n SET v = ? WHERE id = ?", "y", 1); err != nil {
			return err
		}
		cancel()
		if _, err := tx.ExecContext(ctx, "UPDATE n SET v = ? WHERE id = ?", "z", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("a statement after the end: %v", err)
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("committed after the end of its context: %v", err)
	}
	one("x")
}
