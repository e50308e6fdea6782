package db_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tekend/db"
	"tekend/db/dbtest"
)

func TestOnPostgres(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"TestFailedTransactionChangesNothing": TestFailedTransactionChangesNothing,
		"TestParallelWritersLoseNothing":      TestParallelWritersLoseNothing,
		"TestOneConnectionReadsOneSnapshot":   TestOneConnectionReadsOneSnapshot,
	} {
		t.Run(name, test)
	}
}

func TestOneConnectionReadsOneSnapshot(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "x.db"))
	tx, err := d.BeginTx(t.Context(), readOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var before, after int
	if err := tx.QueryRow("SELECT n FROM counter WHERE id = ?", 1).Scan(&before); err != nil {
		t.Fatal(err)
	}
	if err := d.InTx(t.Context(), add(7)); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT n FROM counter WHERE id = ?", 1).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Errorf("one transaction saw %d and then %d", before, after)
	}
}

func TestEngineAndReader(t *testing.T) {
	for _, source := range []string{filepath.Join(t.TempDir(), "x.db"), dbtest.Postgres(t)} {
		d := open(t, source)
		want := db.SQLite
		if strings.HasPrefix(source, "postgres://") {
			want = db.Postgres
		}
		if d.Engine() != want {
			t.Errorf("%s: engine %v", source, d.Engine())
		}
		if err := d.InTx(t.Context(), add(3)); err != nil {
			t.Fatal(err)
		}
		r, err := db.OpenReader(t.Context(), source)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.Close() })
		if read(t, r) != 3 || r.Engine() != want {
			t.Errorf("%v: the reader sees %d", want, read(t, r))
		}
		if _, err := r.Exec("UPDATE counter SET n = 9"); err == nil {
			t.Errorf("%v: the reader could write", want)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	open := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(open, []byte("*:*:*:*:secret-canary\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"password":           "postgres://u:secret-canary@/d?host=/run/postgresql",
		"password parameter": "postgres://u@/d?host=/run/postgresql&password=secret-canary",
		"unreadable":         "postgres://u:secret-canary@[/d",
		"bad port":           "postgres://u@h:secret-canary/d?sslmode=disable",
		"service":            "postgres://u@/d?service=secret-canary",
		"no user":            "postgres:///d?host=/run/postgresql",
		"no database":        "postgres://u@/?host=/run/postgresql",
		"no word on TLS":     "postgres://u@db.example/d",
		"TLS to anybody":     "postgres://u@db.example/d?sslmode=require",
		"TLS perhaps":        "postgres://u@db.example/d?sslmode=prefer",
		"open passfile":      "postgres://u@/d?host=/run/postgresql&passfile=" + open,
		"absent passfile":    "postgres://u@/d?host=/run/postgresql&passfile=/nonexistent",
		"nobody there":       "postgres://u@/d?host=/nonexistent",
		"nobody there (TCP)": "postgres://u@127.0.0.1:1/d?sslmode=disable",
	} {
		_, err := db.Open(t.Context(), source, schema)
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "secret-canary") {
			t.Errorf("%s: the error repeats what could be a password: %v", name, err)
		}
	}
}

func TestPasswordOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Setenv("PGPASSWORD", "not-this-one")
	t.Setenv("PGPASSFILE", "/nonexistent")
	source := dbtest.Postgres(t)
	pass := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(pass, []byte("*:*:*:*:this one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := db.PasswordOf(source + "&passfile=" + pass)
	if err != nil || got != "this one" {
		t.Errorf("password %q, %v", got, err)
	}
	if got, err := db.PasswordOf(source); err != nil || got != "" {
		t.Errorf("without passfile the password is %q, %v", got, err)
	}
}

// A server that may lose a commit is refused, at the first connection and at every later one.
func TestForgetfulServerIsRefused(t *testing.T) {
	for name, setting := range map[string]string{
		"off": "synchronous_commit", "local": "synchronous_commit", "remote_write": "synchronous_commit",
	} {
		source := dbtest.Postgres(t)
		database := source[strings.LastIndex(source, "@/")+2 : strings.Index(source, "?")]
		dbtest.Shared(t).Exec(t, "postgres", "ALTER DATABASE "+database+" SET "+setting+" = "+name)
		if _, err := db.Open(t.Context(), source, schema); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s %s: %v", setting, name, err)
		}
	}
	source := dbtest.Postgres(t)
	open(t, source)
	s := dbtest.Shared(t)
	s.Exec(t, "postgres", "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
	t.Cleanup(func() {
		s.Exec(t, "postgres", "ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)")
	})
	s.Exec(t, "postgres", "SELECT pg_sleep(0.2)")
	if _, err := db.Open(t.Context(), source, schema); err == nil || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("fsync off: %v", err)
	}
}

func TestFunctionsErrorIsReturnedAsItIs(t *testing.T) {
	d := open(t, dbtest.Postgres(t))
	boom := errors.New("boom")
	if err := d.InTx(t.Context(), fails(boom)); !errors.Is(err, boom) || errors.Is(err, db.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
}
