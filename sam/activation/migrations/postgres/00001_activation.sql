-- +goose Up

-- links: who may use which key. mac is made in the token over every other column.
CREATE TABLE links (
  id          TEXT PRIMARY KEY,
  state       TEXT NOT NULL,    -- active, blocked
  generation  BIGINT NOT NULL, -- counts the changes of the row
  iss         TEXT NOT NULL,
  ident_aud   TEXT NOT NULL,    -- the person's sub differs for each client
  ident_sub   TEXT NOT NULL,
  confirm_aud TEXT NOT NULL,
  confirm_sub TEXT NOT NULL,
  spki        BYTEA NOT NULL,    -- DER SubjectPublicKeyInfo
  chain       BYTEA NOT NULL,    -- DER certificates one after the other, leaf first
  kind        TEXT NOT NULL,
  kek         TEXT NOT NULL,
  mechanism   TEXT NOT NULL,
  module      TEXT NOT NULL,
  blob        BYTEA NOT NULL,    -- the wrapped private key
  created     BIGINT NOT NULL, -- microseconds since 1970, as everywhere here
  mac         BYTEA NOT NULL
);
CREATE INDEX links_person ON links (iss, ident_aud, ident_sub);

-- enrolments: mac as in links. person and the tokens are cleared when it ends.
CREATE TABLE enrolments (
  id            TEXT PRIMARY KEY, -- hash of the request
  step          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  application   BYTEA NOT NULL,
  csr           BYTEA NOT NULL,
  spki          BYTEA NOT NULL,
  kind          TEXT NOT NULL,
  kek           TEXT NOT NULL,
  mechanism     TEXT NOT NULL,
  module        TEXT NOT NULL,
  blob          BYTEA NOT NULL,
  language      TEXT NOT NULL,
  ident_nonce   TEXT NOT NULL,
  consent_nonce TEXT NOT NULL,
  ident_sub     TEXT NOT NULL,
  confirm_sub   TEXT NOT NULL,
  person        BYTEA NOT NULL,    -- claims of the identification, JSON
  credential    TEXT NOT NULL,
  chain_hash    TEXT NOT NULL,    -- body hash of the certificate call
  created       BIGINT NOT NULL,
  mac           BYTEA NOT NULL
);

-- questions: what was asked of a person at itsme, one row for each nonce.
CREATE TABLE questions (
  nonce    TEXT PRIMARY KEY,
  kind     TEXT NOT NULL,          -- identification, consent, sign
  subject  TEXT NOT NULL,          -- enrolment id, or hash of the preparation's request
  boot     TEXT NOT NULL,          -- the process that asked
  manifest BYTEA NOT NULL,
  verifier TEXT NOT NULL,          -- PKCE
  state    TEXT NOT NULL,
  url      TEXT NOT NULL,
  request  TEXT NOT NULL,          -- our signed request object: evidence
  expires  BIGINT NOT NULL,
  seal     BYTEA NOT NULL,          -- HMAC of the columns above, key of the process
  status   TEXT NOT NULL DEFAULT 'prepared', -- prepared exchanging authorized declined failed expired
  answer   TEXT NOT NULL DEFAULT '', -- body hash of the answer that was taken
  reason   TEXT NOT NULL DEFAULT '', -- refusal code
  detail   TEXT NOT NULL DEFAULT '',
  token    TEXT NOT NULL DEFAULT '', -- inner ID token: evidence
  UNIQUE (kind, subject)
);

-- consumed: (iss, aud, nonce) is good once, for ever.
CREATE TABLE consumed (
  iss   TEXT NOT NULL,
  aud   TEXT NOT NULL,
  nonce TEXT NOT NULL,
  at    BIGINT NOT NULL,
  PRIMARY KEY (iss, aud, nonce)
);

-- sessions: a consumed confirmation that permits signing.
CREATE TABLE sessions (
  nonce      TEXT PRIMARY KEY REFERENCES questions (nonce),
  id         TEXT NOT NULL UNIQUE,
  credential TEXT NOT NULL REFERENCES links (id),
  generation BIGINT NOT NULL,  -- of the link
  algorithm  TEXT NOT NULL,     -- of the values
  positions  BIGINT NOT NULL,
  expires    BIGINT NOT NULL,
  seal       BYTEA NOT NULL      -- as in questions
);

CREATE TABLE positions (
  nonce    TEXT NOT NULL REFERENCES sessions (nonce),
  position BIGINT NOT NULL,
  state    TEXT NOT NULL DEFAULT 'free',
  value    BYTEA,
  PRIMARY KEY (nonce, position)
);

-- Honest code cannot do these by mistake.
-- +goose StatementBegin
CREATE FUNCTION tekend_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0]; END $$;
-- +goose StatementEnd
CREATE TRIGGER consumed_final BEFORE UPDATE OR DELETE ON consumed
FOR EACH ROW EXECUTE FUNCTION tekend_refuse('consumed is final');
CREATE TRIGGER consumed_stays BEFORE TRUNCATE ON consumed EXECUTE FUNCTION tekend_refuse('consumed is final');
CREATE TRIGGER positions_order BEFORE UPDATE ON positions FOR EACH ROW
WHEN (NOT (OLD.state = 'free' AND NEW.state = 'burnt' OR OLD.state = 'burnt' AND NEW.state IN ('signed', 'unknown', 'free')))
EXECUTE FUNCTION tekend_refuse('a position does not go this way');
CREATE TRIGGER positions_final BEFORE DELETE ON positions
FOR EACH ROW EXECUTE FUNCTION tekend_refuse('positions are final');
CREATE TRIGGER positions_stay BEFORE TRUNCATE ON positions EXECUTE FUNCTION tekend_refuse('positions are final');

-- +goose Down
