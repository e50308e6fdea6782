package db_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tekend/db"
	"tekend/db/dbtest"
)

var programs = []string{"tekend_front", "tekend_sam", "tekend_ca", "tekend_tsa"}

// setUp runs the file that operators run.
func setUp(t *testing.T, s *dbtest.Server) {
	t.Helper()
	out, err := exec.Command(filepath.Join(dbtest.Bin, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", s.URL(s.User, "postgres"),
		"-f", "../deploy/postgres/setup.sql").CombinedOutput()
	if err != nil {
		t.Fatalf("setup.sql: %v: %s", err, out)
	}
}

// Each program has its database and no right on another one (the front's on the roles' above all): not
// to connect, not to read or write over its own, not to make or become anything.
func TestUsersHaveTheirOwnDatabaseAndNothingElse(t *testing.T) {
	s := dbtest.Shared(t)
	// What an operator may have had before: the front may connect to, and be, the sam.
	s.Exec(t, "postgres", "CREATE ROLE tekend_sam", "CREATE ROLE tekend_front SUPERUSER", "GRANT tekend_sam TO tekend_front")
	setUp(t, s)
	setUp(t, s) // again, over what is there
	t.Cleanup(func() {
		for _, p := range programs {
			s.Exec(t, "postgres", "DROP DATABASE "+p+" WITH (FORCE)", "DROP ROLE "+p)
		}
		s.Exec(t, "postgres", "GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC", "GRANT CONNECT ON DATABASE template1 TO PUBLIC")
	})
	for _, p := range programs {
		d, err := db.Open(t.Context(), s.URL(p, p), schema)
		if err != nil {
			t.Fatalf("%s in its own database: %v", p, err)
		}
		t.Cleanup(func() { _ = d.Close() })
		if err := d.InTx(t.Context(), add(1)); err != nil || read(t, d) != 1 {
			t.Errorf("%s cannot use its own database: %v", p, err)
		}
	}
	refused := 0
	for _, p := range programs {
		for _, other := range append([]string{"postgres", "template1"}, programs...) {
			if other != p {
				cannotConnect(t, s, p, other)
				refused++
			}
		}
		refused += cannotDo(t, s, p)
	}
	t.Logf("%d attempts of %d users to get at another database: succeeded 0", refused, len(programs))
	for _, p := range programs[1:] {
		d, err := db.OpenReader(t.Context(), s.URL(s.User, p))
		if err != nil {
			t.Fatal(err)
		}
		if n := read(t, d); n != 1 {
			t.Errorf("%s: the counter is %d", p, n)
		}
		_ = d.Close()
	}
}

func cannotConnect(t *testing.T, s *dbtest.Server, user, database string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL(user, database))
	if err == nil {
		_ = c.Close(context.Background())
		t.Errorf("%s connects to %s", user, database)
	} else if !strings.Contains(err.Error(), "42501") { // insufficient_privilege
		t.Errorf("%s, %s: %v", user, database, err)
	}
}

// cannotDo tries from the user's own database what would lead out of it, and gives the number of attempts.
func cannotDo(t *testing.T, s *dbtest.Server, user string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.URL(user, user))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	other := "tekend_sam"
	if user == other {
		other = "tekend_front"
	}
	for _, q := range []string{
		"SET ROLE " + other, "SET SESSION AUTHORIZATION " + other, "GRANT " + other + " TO " + user, "ALTER ROLE " + other + " PASSWORD 'x'",
		"ALTER ROLE " + user + " SUPERUSER", "CREATE ROLE more LOGIN", "CREATE DATABASE more", "ALTER DATABASE " + other + " OWNER TO " + user,
		"GRANT CONNECT ON DATABASE " + other + " TO " + user, "DROP DATABASE " + other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + s.User + "' AND pid <> pg_backend_pid()",
		"CREATE EXTENSION dblink", "CREATE EXTENSION postgres_fdw", "CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw",
		"CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid'", "COPY (SELECT 1) TO PROGRAM 'id'", "COPY counter FROM '/etc/passwd'",
		"SELECT pg_read_file('postgresql.conf')", "SELECT lo_import('/etc/passwd')", "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()",
		"SELECT rolpassword FROM pg_authid", "SELECT * FROM pg_catalog.pg_largeobject LIMIT 1",
	} {
		n++
		tag, err := c.Exec(t.Context(), q)
		if err == nil && (tag.RowsAffected() > 0 || !tag.Select()) {
			t.Errorf("%s may: %s", user, q)
		}
	}
	return n
}
