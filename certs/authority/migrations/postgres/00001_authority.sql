-- +goose Up

-- One row for each order that reached its intent; refused orders are only in
-- the audit. A row without a certificate in state 'intent' or 'failed' is dead:
-- its order is never executed again.
CREATE TABLE orders (
  hash           TEXT PRIMARY KEY,        -- wire.BodyHash of the order
  state          TEXT NOT NULL CHECK (state IN ('intent', 'issued', 'failed')),
  application_id TEXT NOT NULL UNIQUE,
  serial         TEXT NOT NULL UNIQUE,    -- lower-case hexadecimal
  spki_sha256    TEXT NOT NULL UNIQUE,    -- one certificate for a public key
  tbs_sha256     TEXT NOT NULL,           -- what was, or would have been, signed
  terms_version  TEXT NOT NULL,
  terms_sha256   TEXT NOT NULL,
  at             BIGINT NOT NULL,        -- of the intent, seconds since 1970
  certificate    BYTEA,
  CHECK ((state = 'issued') = (certificate IS NOT NULL))
);

-- Every ID token that an order used, for ever.
CREATE TABLE tokens (
  iss        TEXT NOT NULL,
  aud        TEXT NOT NULL,
  nonce      TEXT NOT NULL,
  order_hash TEXT NOT NULL REFERENCES orders (hash),
  PRIMARY KEY (iss, aud, nonce)
);

-- What proves later who applied and to what he agreed (EN 319 461 ISS-8.5.2):
-- the order as it came and itsme's public keys that verified its tokens. The
-- only personal data of this database; it has a table of its own so that it
-- can be deleted at the end of its retention.
CREATE TABLE evidence (
  order_hash TEXT PRIMARY KEY REFERENCES orders (hash),
  body       BYTEA NOT NULL,
  keys       BYTEA NOT NULL                -- JWK set
);

-- The CRLs of the issuing CA. A row without a CRL was intended and not made.
CREATE TABLE crls (
  number      BIGINT PRIMARY KEY,
  this_update BIGINT NOT NULL,           -- seconds since 1970
  next_update BIGINT NOT NULL,
  crl         BYTEA
);

-- +goose StatementBegin
CREATE FUNCTION tekend_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;
-- +goose StatementEnd
CREATE TRIGGER orders_final BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.state <> 'intent')
EXECUTE FUNCTION tekend_refuse('an outcome is final');
CREATE TRIGGER orders_keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION tekend_refuse('orders are kept');
CREATE TRIGGER orders_stay BEFORE TRUNCATE ON orders EXECUTE FUNCTION tekend_refuse('orders are kept');
CREATE TRIGGER tokens_final BEFORE UPDATE OR DELETE ON tokens FOR EACH ROW EXECUTE FUNCTION tekend_refuse('tokens are final and kept');
CREATE TRIGGER tokens_stay BEFORE TRUNCATE ON tokens EXECUTE FUNCTION tekend_refuse('tokens are kept');
