-- +goose Up

-- The identity record of each order (authority.Record): who was proofed, how, by
-- whom, from what, when, by which rules. record is JSON; its SHA-256 stands in the
-- audit row of the intent. It names nobody, and is kept as long as the order.
CREATE TABLE identity_records (
  order_hash    TEXT PRIMARY KEY REFERENCES orders (hash),
  serial        TEXT NOT NULL UNIQUE,
  holder        TEXT NOT NULL,            -- as in orders
  registrar     TEXT NOT NULL,            -- issuer of the tokens
  identified_at BIGINT NOT NULL,         -- seconds since 1970
  record        BYTEA NOT NULL
);
CREATE INDEX identity_records_holder ON identity_records (holder);

-- The quota of audit rows about refusals (package audit, Tally).
CREATE TABLE refusals (
  kind    TEXT NOT NULL,
  call    TEXT NOT NULL,
  subject TEXT NOT NULL,   -- '' for all subjects beyond those that had a row of their own
  why     TEXT NOT NULL,
  since   BIGINT NOT NULL,               -- microseconds since 1970
  last    BIGINT NOT NULL,
  times   BIGINT NOT NULL,
  PRIMARY KEY (kind, call, subject, why)
);
CREATE INDEX refusals_since ON refusals (since);

CREATE TRIGGER identity_records_final BEFORE UPDATE OR DELETE ON identity_records FOR EACH ROW EXECUTE FUNCTION tekend_refuse('identity records are final and kept');
CREATE TRIGGER identity_records_stay BEFORE TRUNCATE ON identity_records EXECUTE FUNCTION tekend_refuse('identity records are kept');
