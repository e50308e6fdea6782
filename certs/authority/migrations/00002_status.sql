-- +goose Up

-- issuer: the name of the issuing CA, as in its published addresses. holder:
-- hash of the holder's identity at itsme (authority.holder); NULL in orders from
-- before this column, for which the kept evidence says it.
ALTER TABLE orders ADD COLUMN issuer TEXT NOT NULL DEFAULT 'issuing-ca';
ALTER TABLE orders ADD COLUMN holder TEXT;

-- Revocations, for ever. seq counts from 1 without gaps. One by "crl" was found
-- on a CRL that this role had published and the database had lost; its order may
-- be lost too.
CREATE TABLE revocations (
  seq     INTEGER PRIMARY KEY,
  serial  TEXT NOT NULL UNIQUE,
  issuer  TEXT NOT NULL,
  reason  INTEGER NOT NULL CHECK (reason IN (0, 1, 4, 5, 9)), -- RFC 5280 §5.3.1
  by_whom TEXT NOT NULL CHECK (by_whom IN ('signer', 'sam', 'operators', 'crl')),
  at      INTEGER NOT NULL                -- seconds since 1970
) STRICT;
CREATE INDEX revocations_issuer ON revocations (issuer, seq);

-- What proves later who revoked: the request as it came, and itsme's keys that
-- verified its token. Personal data, so with a retention of its own.
CREATE TABLE revocation_evidence (
  serial TEXT PRIMARY KEY REFERENCES revocations (serial),
  body   BLOB NOT NULL,
  keys   BLOB                             -- JWK set; NULL: not revoked by the signer
) STRICT;

-- Acts of operators that were done, so that their approvals count once.
CREATE TABLE acts (
  id      TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Certificates of the OCSP responder, which the role makes itself. A row
-- without one was intended; what became of it is not known.
CREATE TABLE responders (
  serial      TEXT PRIMARY KEY,
  issuer      TEXT NOT NULL,
  spki_sha256 TEXT NOT NULL,
  not_after   INTEGER NOT NULL,
  certificate BLOB
) STRICT;

-- OCSP answers without nonce. They are made in advance as long as a certificate
-- lives that names our responder (until); others when somebody asks.
CREATE TABLE answers (
  cert_id     BLOB PRIMARY KEY,           -- DER CertID, as asked
  serial      TEXT NOT NULL,
  issuer      TEXT NOT NULL,
  until       INTEGER,                    -- NULL: not made in advance
  renew_at    INTEGER,                    -- when it is made anew; 0: at once; NULL: when asked
  revoked     INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)), -- what der says
  next_update INTEGER NOT NULL DEFAULT 0,
  der         BLOB
) STRICT;
CREATE INDEX answers_due ON answers (renew_at) WHERE renew_at IS NOT NULL;
CREATE INDEX answers_serial ON answers (serial);

-- CRLs are long: they lie in parts, of the newest one of each issuer alone.
-- sha256 is set when the CRL was signed; revoked is the seq up to which its
-- revocations go. The column crl is of the time before the parts.
ALTER TABLE crls ADD COLUMN issuer TEXT NOT NULL DEFAULT 'issuing-ca';
ALTER TABLE crls ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE crls ADD COLUMN sha256 TEXT;
CREATE TABLE crl_parts (
  number INTEGER NOT NULL REFERENCES crls (number),
  part   INTEGER NOT NULL,
  der    BLOB NOT NULL,
  PRIMARY KEY (number, part)
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER revocations_final BEFORE UPDATE ON revocations
BEGIN SELECT RAISE(ABORT, 'a revocation is final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER revocations_keep BEFORE DELETE ON revocations
BEGIN SELECT RAISE(ABORT, 'revocations are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER acts_final BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'acts are final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER acts_keep BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'acts are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER responders_final BEFORE UPDATE ON responders WHEN old.certificate IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a certificate is final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER responders_keep BEFORE DELETE ON responders
BEGIN SELECT RAISE(ABORT, 'certificates are kept'); END;
-- +goose StatementEnd
