package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxConns bounds the connections of one process to its database: one writes, the others read.
const maxConns = 8

// oldest is the oldest PostgreSQL that is still maintained, as server_version_num.
const oldest = 140000

// settings of every connection. A wait for a lock and a statement end before a caller's patience does
// (reliability F26: no request takes more than 15 s). A process that stopped in the middle of a
// transaction holds the one writer's lock: the server ends that transaction after 5 s. Times are in
// milliseconds.
var settings = map[string]string{
	"application_name":                    "tekend",
	"lock_timeout":                        "10000",
	"statement_timeout":                   "15000",
	"idle_in_transaction_session_timeout": "5000",
	"default_transaction_isolation":       "read committed",
}

func isURL(source string) bool {
	return strings.HasPrefix(source, "postgres://")
}

// address reads a URL: postgres://user@/database?host=/run/postgresql for a Unix socket,
// postgres://user@db.example/database?sslmode=verify-full&sslrootcert=…&passfile=… for a server.
//
// A password in it is refused, because the URL stands in a configuration that is no secret: passfile
// names a file (mode 0600, https://www.postgresql.org/docs/15/libpq-pgpass.html). So is a server on
// another host without a decision about TLS: what authenticates it (verify-full, verify-ca), or
// sslmode=disable for a network that is trusted as a wire is. The environment's PGPASSWORD, PGPASSFILE
// and ~/.pgpass are not read.
func address(source string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, errors.New("database URL: it cannot be read") // err repeats the URL
	}
	q := u.Query()
	if _, has := u.User.Password(); has || q.Has("password") {
		return nil, errors.New("database URL: no password in it; name a file with passfile=")
	}
	if q.Has("service") || q.Has("servicefile") {
		return nil, errors.New("database URL: service is not known here; write the server out")
	}
	if strings.Trim(u.Path, "/") == "" || u.User.Username() == "" {
		return nil, errors.New("database URL: user and database must be named")
	}
	if err := checkPassfile(q.Get("passfile")); err != nil {
		return nil, err
	}
	q.Set("password", "") // what the URL says counts before the environment
	q.Set("passfile", q.Get("passfile"))
	mode := q.Get("sslmode")
	u.RawQuery = q.Encode()
	cfg, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("database URL: it cannot be read")
	}
	if !local(cfg.Host) && !slices.Contains([]string{"verify-full", "verify-ca", "disable"}, mode) {
		return nil, errors.New("database URL: for a server on another host say sslmode=verify-full, verify-ca or disable")
	}
	for k, v := range settings {
		cfg.RuntimeParams[k] = v
	}
	cfg.ConnectTimeout = 5 * time.Second
	return cfg, nil
}

func checkPassfile(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("passfile: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("passfile %s is open to others (mode %04o); make it 0600", path, info.Mode().Perm())
	}
	return nil
}

// local: a Unix socket or this host.
func local(host string) bool {
	ip := net.ParseIP(host)
	return strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback()
}

func openServer(ctx context.Context, source string) (*DB, error) {
	d, err := serve(source, nil)
	if err != nil {
		return nil, err
	}
	if err := d.prepareMarks(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), d.Close())
	}
	return d, nil
}

func readServer(ctx context.Context, source string) (*DB, error) {
	d, err := serve(source, map[string]string{"default_transaction_read_only": "on"})
	if err != nil {
		return nil, err
	}
	if err := d.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), d.Close())
	}
	return d, nil
}

func serve(source string, more map[string]string) (*DB, error) {
	cfg, err := address(source)
	if err != nil {
		return nil, err
	}
	for k, v := range more {
		cfg.RuntimeParams[k] = v
	}
	return &DB{DB: pool(cfg), engine: Postgres, server: cfg, ask: askTime, writer: make(chan struct{}, 1)}, nil
}

func pool(cfg *pgx.ConnConfig) *sql.DB {
	raw := sql.OpenDB(rebinding{stdlib.GetConnector(*cfg, stdlib.OptionAfterConnect(durable))})
	raw.SetMaxOpenConns(maxConns)
	raw.SetMaxIdleConns(maxConns)
	raw.SetConnMaxIdleTime(5 * time.Minute)
	return raw
}

// patient is a pool without time limits, for migrations: an index over many rows takes its time.
func (d *DB) patient() *sql.DB {
	cfg := d.server.Copy()
	for _, k := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
		cfg.RuntimeParams[k] = "0"
	}
	return pool(cfg)
}

// durable refuses, at every new connection, a server on which a commit may be lost: with
// synchronous_commit at less than "on" the reply comes before the disk, or before the standby that a
// failover would make the server (F31), and a burnt position would be free again.
func durable(ctx context.Context, c *pgx.Conn) error {
	var fsync, pages, commit, encoding string
	var version int
	err := c.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
		current_setting('server_encoding'), current_setting('server_version_num')::int`).Scan(&fsync, &pages, &commit, &encoding, &version)
	if err != nil {
		return fmt.Errorf("ask the server's settings: %w", err)
	}
	switch {
	case version < oldest:
		return fmt.Errorf("PostgreSQL %d is too old: 14 or later", version/10000)
	case fsync != "on" || pages != "on":
		return errors.New("the server runs with fsync or full_page_writes off: it may lose what it has stored")
	case commit != "on" && commit != "remote_apply":
		return fmt.Errorf("synchronous_commit is %s: a commit could be lost; set it to on or remote_apply", commit)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, not UTF8", encoding)
	}
	return nil
}

// rebinding makes connections that take ? for parameters.
type rebinding struct{ driver.Connector }

func (r rebinding) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	pg, ok := c.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connection of type %T", c), c.Close())
	}
	return &conn{pg}, nil
}

// conn is a connection that takes ? for parameters; all else is the driver's.
type conn struct{ *stdlib.Conn }

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) { return c.Conn.Prepare(rebind(query)) }

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, rebind(query))
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.ExecContext(ctx, rebind(query), args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.QueryContext(ctx, rebind(query), args)
}

// BeginTx implements driver.ConnBeginTx. A transaction that only reads sees one snapshot, as it does
// on SQLite; one that writes sees, after it got its turn, all that was stored before.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly && opts.Isolation == driver.IsolationLevel(sql.LevelDefault) {
		opts.Isolation = driver.IsolationLevel(sql.LevelRepeatableRead)
	}
	return c.Conn.BeginTx(ctx, opts)
}
