package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"tekend/db"
)

// The tables of a record, for both engines; BYTES is the type of byte strings.
//
//	audit              the rows
//	audit_nodes        hash of every full subtree, in the order of [position]
//	audit_head         one row: the newest checkpoint, changed by compare-and-swap
//	audit_checkpoints  each checkpoint as the log signed it (a C2SP signed note)
//	audit_cosignatures what witnesses added to it: one line of the note each
//	audit_anchors      RFC 3161 tokens over the SHA-256 of a checkpoint's note
const tables = `
CREATE TABLE IF NOT EXISTS audit (
  seq     BIGINT PRIMARY KEY,
  at      BIGINT NOT NULL, -- microseconds since 1970, UTC
  high    BIGINT NOT NULL,
  kind    TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail  TEXT NOT NULL,
  salt    BYTES NOT NULL,
  prev    BYTES NOT NULL,
  hash    BYTES NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_subject ON audit (subject);
CREATE TABLE IF NOT EXISTS audit_nodes (
  pos  BIGINT PRIMARY KEY,
  hash BYTES NOT NULL
);
CREATE TABLE IF NOT EXISTS audit_head (
  id        BIGINT PRIMARY KEY CHECK (id = 1),
  size      BIGINT NOT NULL,
  root      BYTES NOT NULL,
  witnessed BIGINT NOT NULL -- size of the newest checkpoint with enough cosignatures
);
CREATE TABLE IF NOT EXISTS audit_checkpoints (
  size BIGINT PRIMARY KEY,
  note TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS audit_cosignatures (
  size    BIGINT NOT NULL REFERENCES audit_checkpoints (size),
  witness TEXT NOT NULL,
  line    TEXT NOT NULL,
  PRIMARY KEY (size, witness)
);
CREATE TABLE IF NOT EXISTS audit_anchors (
  size  BIGINT PRIMARY KEY REFERENCES audit_checkpoints (size),
  at    BIGINT NOT NULL, -- microseconds since 1970, UTC, as the token says
  token BYTES NOT NULL
);
`

// final are the tables whose rows are never changed nor removed. Triggers keep
// honest code from it; chain, tree and witnesses show what dishonest code did.
var final = []string{"audit", "audit_nodes", "audit_checkpoints", "audit_cosignatures", "audit_anchors"}

// schema gives the statements for an engine.
func schema(postgres bool) string {
	var b strings.Builder
	if postgres {
		b.WriteString(strings.ReplaceAll(tables, "BYTES", "BYTEA"))
		b.WriteString("CREATE OR REPLACE FUNCTION audit_is_final() RETURNS trigger LANGUAGE plpgsql AS " +
			"$$ BEGIN RAISE EXCEPTION 'audit rows are final'; END $$;\n")
		for _, t := range final {
			fmt.Fprintf(&b, "CREATE OR REPLACE TRIGGER %s_final BEFORE UPDATE OR DELETE OR TRUNCATE ON %s EXECUTE FUNCTION audit_is_final();\n", t, t)
		}
		return b.String()
	}
	// INTEGER PRIMARY KEY is SQLite's own row number: rows lie in order.
	b.WriteString(strings.NewReplacer("BYTES", "BLOB", "BIGINT", "INTEGER").Replace(tables))
	for _, t := range final {
		for _, act := range []string{"UPDATE", "DELETE"} {
			fmt.Fprintf(&b, "CREATE TRIGGER IF NOT EXISTS %s_no_%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'audit rows are final'); END;\n",
				t, strings.ToLower(act), act, t)
		}
	}
	return b.String()
}

// ErrOldFormat: the database has a record of a version before the tree. It is
// not continued: rows without salt cannot be shown alone.
var ErrOldFormat = errors.New("the audit record is of an earlier format (rows without salt) and cannot be continued; keep the file and begin with a new database")

// Ensure makes the tables of the record in d if they are not there.
func Ensure(ctx context.Context, d *db.DB) error {
	// In a transaction of the single writer: PostgreSQL's IF NOT EXISTS is not
	// proof against two processes that start together.
	err := d.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema(d.Engine() == db.Postgres))
		return err
	})
	if err != nil {
		return fmt.Errorf("make audit tables: %w", err)
	}
	if _, err := d.ExecContext(ctx, "SELECT salt FROM audit WHERE seq = 0"); err != nil {
		return fmt.Errorf("%w (%w)", ErrOldFormat, err)
	}
	return nil
}
