-- +goose Up

-- The identity record of each order (authority.Record): who was proofed, how, by
-- whom, from what, when, by which rules. record is JSON; its SHA-256 stands in the
-- audit row of the intent. It names nobody, and is kept as long as the order.
CREATE TABLE identity_records (
  order_hash    TEXT PRIMARY KEY REFERENCES orders (hash),
  serial        TEXT NOT NULL UNIQUE,
  holder        TEXT NOT NULL,            -- as in orders
  registrar     TEXT NOT NULL,            -- issuer of the tokens
  identified_at INTEGER NOT NULL,         -- seconds since 1970
  record        BLOB NOT NULL
) STRICT;
CREATE INDEX identity_records_holder ON identity_records (holder);

-- The quota of audit rows about refusals (package audit, Tally).
CREATE TABLE refusals (
  kind    TEXT NOT NULL,
  call    TEXT NOT NULL,
  subject TEXT NOT NULL,   -- '' for all subjects beyond those that had a row of their own
  why     TEXT NOT NULL,
  since   INTEGER NOT NULL,               -- microseconds since 1970
  last    INTEGER NOT NULL,
  times   INTEGER NOT NULL,
  PRIMARY KEY (kind, call, subject, why)
) STRICT;
CREATE INDEX refusals_since ON refusals (since);

-- +goose StatementBegin
CREATE TRIGGER identity_records_final BEFORE UPDATE ON identity_records
BEGIN SELECT RAISE(ABORT, 'identity records are final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER identity_records_keep BEFORE DELETE ON identity_records
BEGIN SELECT RAISE(ABORT, 'identity records are kept'); END;
-- +goose StatementEnd
