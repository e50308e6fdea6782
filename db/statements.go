package db

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// SQLite compiles a statement each time it is given as text, which costs more than running it: a third of
// the CPU of a signature went there. So each connection keeps the statements that it has seen, as pgx does
// for PostgreSQL. Callers go on giving text.
//
// A kept statement that has begun is not interrupted when its context ends: the driver would start a
// goroutine for each to watch for that, which costs as much as the statement. In WAL mode readers wait for
// nobody, and a writer has its turn before its first statement, so there is no wait to be ended; database/sql
// still ends the reading of rows.

// keepStatements bounds the statements of one connection. Ours are constants, fewer than these.
const keepStatements = 256

// keeping makes connections to SQLite that keep their statements.
type keeping struct{ driver.Connector }

// sqliteConn is what a connection of the driver can do, as database/sql asks for it.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// sqliteStatement is what a prepared statement of the driver can do.
type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// Connect implements driver.Connector.
func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	raw, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connection of type %T", c), c.Close())
	}
	return &keeper{sqliteConn: raw, kept: map[string]*kept{}}, nil
}

// keeper is a connection with its statements. database/sql lets one goroutine in at a time.
type keeper struct {
	sqliteConn
	kept map[string]*kept
}

// kept is a prepared statement. running: its rows are being read, so that it
// cannot be run a second time now.
type kept struct {
	sqliteStatement
	running bool
}

// Unwrap gives the driver's connection.
func (k *keeper) Unwrap() driver.Conn { return k.sqliteConn }

// Close implements driver.Conn. A connection that has statements would stay open below.
func (k *keeper) Close() error { return errors.Join(k.drop(), k.sqliteConn.Close()) }

// drop forgets the statements that are not running.
func (k *keeper) drop() (err error) {
	for query, s := range k.kept {
		if !s.running {
			err = errors.Join(err, s.Close())
			delete(k.kept, query)
		}
	}
	return err
}

// keepable: what is not one statement on rows (scripts, definitions, PRAGMA, which acts when it is
// compiled) goes to the driver as it is. A text with parameters is one statement.
func keepable(query string, args []driver.NamedValue) bool {
	verb, _, _ := strings.Cut(query, " ")
	switch verb {
	case "SELECT", "INSERT", "UPDATE", "DELETE":
		return len(args) > 0 || !strings.Contains(query, ";")
	}
	return false
}

// statement finds or makes the statement of a text; nil when it cannot be kept, or is running.
func (k *keeper) statement(ctx context.Context, query string, args []driver.NamedValue) (*kept, error) {
	if s := k.kept[query]; s != nil {
		if s.running {
			return nil, nil
		}
		return s, nil
	}
	if !keepable(query, args) {
		return nil, nil
	}
	if len(k.kept) >= keepStatements {
		if err := k.drop(); err != nil {
			return nil, err
		}
	}
	p, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	raw, ok := p.(sqliteStatement)
	if !ok {
		return nil, errors.Join(fmt.Errorf("statement of type %T", p), p.Close())
	}
	s := &kept{sqliteStatement: raw}
	k.kept[query] = s
	return s, nil
}

// ExecContext implements driver.ExecerContext.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.sqliteConn.ExecContext(ctx, query, args)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.ExecContext(context.WithoutCancel(ctx), args)
}

// QueryContext implements driver.QueryerContext.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.sqliteConn.QueryContext(ctx, query, args)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(context.WithoutCancel(ctx), args)
	if err != nil {
		return nil, err
	}
	s.running = true
	return &keptRows{rows, s}, nil
}

// keptRows give their statement back when they are closed.
type keptRows struct {
	driver.Rows
	of *kept
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	r.of.running = false
	return r.Rows.Close()
}
