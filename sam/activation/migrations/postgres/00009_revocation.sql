-- +goose Up

-- serials: whose certificate has which serial number. The ca's list of revocations names certificates by it.
CREATE TABLE serials (
  serial     TEXT PRIMARY KEY, -- lower-case hex, two digits for each octet
  credential TEXT NOT NULL REFERENCES links (id)
);
CREATE INDEX serials_credential ON serials (credential);

-- revocations: what was revoked, and how far that has come. A row is written in the transaction that blocks the key.
CREATE TABLE revocations (
  serial     TEXT PRIMARY KEY,
  credential TEXT NOT NULL REFERENCES links (id),
  source     TEXT NOT NULL,    -- signer, code, operators, ca: who said so
  reason     BIGINT NOT NULL, -- RFC 5280 §5.3.1
  nonce      TEXT NOT NULL,    -- of the signer's confirmation, else ''
  act        TEXT NOT NULL,    -- id of the operators' act, else ''
  at         BIGINT NOT NULL, -- when the key was blocked, microseconds since 1970, as everywhere here
  published  BIGINT NOT NULL DEFAULT 0, -- when the ca was known to have it; 0: not yet
  seq        BIGINT NOT NULL DEFAULT 0  -- in the ca's list
);
CREATE INDEX revocations_credential ON revocations (credential);
CREATE INDEX revocations_nonce ON revocations (nonce) WHERE nonce <> '';
CREATE INDEX revocations_open ON revocations (at) WHERE published = 0;

-- ca_list: how far the ca's list of revocations was read. serial is that of the entry, so that a list that was put back is noticed.
CREATE TABLE ca_list (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  seq    BIGINT NOT NULL,
  serial TEXT NOT NULL
);

-- codes: SHA-256 of the code with which a person revokes past front and itsme.
CREATE TABLE codes (
  credential TEXT PRIMARY KEY REFERENCES links (id),
  hash       BYTEA NOT NULL UNIQUE,
  created    BIGINT NOT NULL
);

-- acts: what operators decided, each once.
CREATE TABLE acts (
  id         TEXT PRIMARY KEY, -- of the act
  hash       TEXT NOT NULL UNIQUE, -- of the request's body
  act        TEXT NOT NULL,    -- revoke suspend resume destroy
  text       TEXT NOT NULL,    -- what was approved
  approvals  TEXT NOT NULL,    -- JSON array of the two texts
  credential TEXT NOT NULL,
  at         BIGINT NOT NULL
);
CREATE INDEX acts_credential ON acts (credential);

CREATE INDEX links_confirm ON links (iss, confirm_aud, confirm_sub);
CREATE INDEX links_revoked ON links (id) WHERE state = 'revoked';

-- There is no way back from a revocation (Regulation (EU) 910/2014, Article 28(4)).
CREATE TRIGGER links_irreversible BEFORE UPDATE ON links FOR EACH ROW
WHEN (OLD.state = 'revoked' AND NEW.state NOT IN ('revoked', 'destroyed') OR OLD.state = 'destroyed' AND (NEW.state <> 'destroyed' OR NEW.blob <> OLD.blob))
EXECUTE FUNCTION tekend_refuse('a revocation is irreversible');
CREATE TRIGGER links_stay BEFORE DELETE ON links FOR EACH ROW EXECUTE FUNCTION tekend_refuse('links stay');
CREATE TRIGGER links_stay_all BEFORE TRUNCATE ON links EXECUTE FUNCTION tekend_refuse('links stay');
CREATE TRIGGER revocations_final BEFORE UPDATE ON revocations FOR EACH ROW
WHEN (NEW.serial <> OLD.serial OR NEW.credential <> OLD.credential OR NEW.at <> OLD.at OR NEW.reason <> OLD.reason OR NEW.source <> OLD.source OR OLD.published <> 0)
EXECUTE FUNCTION tekend_refuse('a revocation is final');
CREATE TRIGGER revocations_stay BEFORE DELETE ON revocations FOR EACH ROW EXECUTE FUNCTION tekend_refuse('a revocation is final');
CREATE TRIGGER revocations_stay_all BEFORE TRUNCATE ON revocations EXECUTE FUNCTION tekend_refuse('a revocation is final');
CREATE TRIGGER acts_final BEFORE UPDATE OR DELETE ON acts FOR EACH ROW EXECUTE FUNCTION tekend_refuse('acts are final');
CREATE TRIGGER acts_stay BEFORE TRUNCATE ON acts EXECUTE FUNCTION tekend_refuse('acts are final');

-- +goose Down
