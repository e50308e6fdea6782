// Package dbtest gives tests a PostgreSQL server: one per test process, from Debian's package
// postgresql-15, in a directory of its own on a memory file system where there is one, on a Unix socket
// only. A missing PostgreSQL is a failure, never a skip.
package dbtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"tekend/db"
)

// Bin is where Debian's postgresql-15 puts the server's programs.
const Bin = "/usr/lib/postgresql/15/bin"

// Under is the name of a test below which Source gives PostgreSQL.
const Under = "TestOnPostgres"

// Server is a running PostgreSQL.
type Server struct {
	Dir  string // of the Unix socket
	User string // superuser
	conf string
	life io.Closer // the keeper's standard input: open as long as this process lives
}

var (
	once   sync.Once
	shared *Server
	failed error
	count  atomic.Int64
)

// Postgres returns the URL of a new, empty database of the process's server. It is dropped at the end
// of the test.
func Postgres(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := "t" + strconv.FormatInt(count.Add(1), 10) + "_" + strings.ToLower(rand.Text()[:8])
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { s.Exec(t, "postgres", "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.URL(s.User, name)
}

// Source lets one test run on both engines: it returns path, but below the test named Under the URL of a
// database that belongs to path, the same one for the same path and test.
//
//	func TestOnPostgres(t *testing.T) {
//		t.Run("TestLife", TestLife)
//	}
func Source(t testing.TB, path string) string {
	t.Helper()
	root, _, _ := strings.Cut(t.Name(), "/")
	if root != Under {
		return path
	}
	known.Lock()
	defer known.Unlock()
	if u, ok := known.url[path]; ok {
		return u
	}
	u := Postgres(t)
	known.url[path] = u
	t.Cleanup(func() {
		known.Lock()
		defer known.Unlock()
		delete(known.url, path)
	})
	return u
}

// Raw opens a database behind the back of its owner, so that tests can play somebody who tampers. It
// takes ? for parameters on both engines.
func Raw(t testing.TB, source string) *sql.DB {
	t.Helper()
	var d *sql.DB
	var err error
	if strings.HasPrefix(source, "postgres://") {
		var opened *db.DB
		if opened, err = db.Open(context.Background(), source, nothingNew); err == nil {
			d = opened.DB
		}
	} else {
		d, err = sql.Open("sqlite", "file:"+(&url.URL{Path: source}).EscapedPath()+"?_pragma=busy_timeout(10000)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// nothingNew is a migration that every database has had.
var nothingNew = fstest.MapFS{"migrations/postgres/00001_had.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}

// Dump is the whole database behind a PostgreSQL URL, as it is in one moment; Restore puts it back, in
// place of what is there. Nobody may have the database open meanwhile.
func Dump(t testing.TB, source string) []byte {
	t.Helper()
	out, err := exec.Command(filepath.Join(Bin, "pg_dump"), "--clean", "--if-exists", "-d", source).Output()
	if err != nil {
		t.Fatalf("dbtest: pg_dump: %v", err)
	}
	return out
}

// Restore is told at Dump.
func Restore(t testing.TB, source string, dump []byte) {
	t.Helper()
	cmd := exec.Command(filepath.Join(Bin, "psql"), "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", source)
	cmd.Stdin = bytes.NewReader(dump)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dbtest: psql: %v: %s", err, out)
	}
}

// Files are the files in which what Source gives for path lies: for PostgreSQL all of the server's, its log
// among them.
func Files(t testing.TB, path string) []string {
	t.Helper()
	if Source(t, path) == path {
		return []string{path, path + "-wal"}
	}
	s := Shared(t)
	s.Exec(t, "postgres", "CHECKPOINT")
	var all []string
	err := filepath.WalkDir(s.Dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, p)
		}
		return nil // a file that went meanwhile
	})
	if err != nil || len(all) < 100 {
		t.Fatalf("dbtest: %d files of the server: %v", len(all), err)
	}
	return all
}

var known = struct {
	sync.Mutex
	url map[string]string
}{url: map[string]string{}}

// Shared is the server of this test process, started at the first call.
func Shared(t testing.TB) *Server {
	t.Helper()
	once.Do(func() { shared, failed = start() })
	if failed != nil {
		t.Fatalf("dbtest: PostgreSQL does not start (apt-get install postgresql-15): %v", failed)
	}
	return shared
}

// URL names a database of the server as a user of it.
func (s *Server) URL(as, database string) string {
	return "postgres://" + url.PathEscape(as) + "@/" + url.PathEscape(database) + "?host=" + url.QueryEscape(s.Dir)
}

// Exec runs statements as superuser, outside any transaction of ours.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL(s.User, database))
	if err != nil {
		t.Fatalf("dbtest: %v", err)
	}
	defer func() { _ = c.Close(ctx) }()
	for _, q := range statements {
		if _, err := c.Exec(ctx, q); err != nil {
			t.Fatalf("dbtest: %s: %v", q, err)
		}
	}
}

// keeper starts the server, waits until its standard input closes, which the kernel does when the test
// process ends in whatever way, and cleans up.
const keeper = `"$BIN/postgres" -D "$DIR/data" >"$DIR/log" 2>&1 </dev/null &
read -r _
kill -INT $!
wait $!
rm -rf "$DIR"`

func start() (*Server, error) {
	parent := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "dbtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, User: "postgres", conf: filepath.Join(dir, "data", "postgresql.conf")}
	who, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	if out, err := command(who, filepath.Join(Bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", s.User,
		"-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// fsync stays on, as package db demands; on a memory file system it costs nothing.
	conf := fmt.Sprintf("listen_addresses = ''\nunix_socket_directories = '%s'\nmax_connections = 400\nshared_buffers = 64MB\n"+
		"log_min_messages = warning\nautovacuum_naptime = 1min\n", dir)
	f, err := os.OpenFile(s.conf, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(conf)
		err = join(err, f.Close())
	}
	if err != nil {
		return nil, err
	}
	cmd := command(who, "/bin/sh", "-c", keeper)
	cmd.Env = append(cmd.Env, "BIN="+Bin, "DIR="+dir)
	cmd.SysProcAttr.Setpgid = true // a ^C to the tests is not one to the server
	if s.life, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.wait()
}

func join(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// unprivileged gives dir to a user whom initdb accepts: it refuses root. nil is ourselves.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres") // made by Debian's package
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	// Other users of this host, such as the roles' of a sandbox, connect to the socket.
	if err := join(os.Chown(dir, int(uid), int(gid)), os.Chmod(dir, 0o755)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func command(who *syscall.Credential, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return cmd
}

func (s *Server) wait() error {
	var err error
	for range 300 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		var c *pgx.Conn
		c, err = pgx.Connect(ctx, s.URL(s.User, "postgres"))
		if err == nil {
			err = c.Close(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, readErr := os.ReadFile(filepath.Join(s.Dir, "log"))
	return fmt.Errorf("%w: %s", join(err, readErr), bytes.TrimSpace(log))
}
