-- +goose Up

-- links: who may use which key. mac is made in the token over every other column.
CREATE TABLE links (
  id          TEXT PRIMARY KEY,
  state       TEXT NOT NULL,    -- active, blocked
  generation  INTEGER NOT NULL, -- counts the changes of the row
  iss         TEXT NOT NULL,
  ident_aud   TEXT NOT NULL,    -- the person's sub differs for each client
  ident_sub   TEXT NOT NULL,
  confirm_aud TEXT NOT NULL,
  confirm_sub TEXT NOT NULL,
  spki        BLOB NOT NULL,    -- DER SubjectPublicKeyInfo
  chain       BLOB NOT NULL,    -- DER certificates one after the other, leaf first
  kind        TEXT NOT NULL,
  kek         TEXT NOT NULL,
  mechanism   TEXT NOT NULL,
  module      TEXT NOT NULL,
  blob        BLOB NOT NULL,    -- the wrapped private key
  created     INTEGER NOT NULL, -- microseconds since 1970, as everywhere here
  mac         BLOB NOT NULL
);
CREATE INDEX links_person ON links (iss, ident_aud, ident_sub);

-- enrolments: mac as in links. person and the tokens are cleared when it ends.
CREATE TABLE enrolments (
  id            TEXT PRIMARY KEY, -- hash of the request
  step          TEXT NOT NULL,
  reason        TEXT NOT NULL,
  application   BLOB NOT NULL,
  csr           BLOB NOT NULL,
  spki          BLOB NOT NULL,
  kind          TEXT NOT NULL,
  kek           TEXT NOT NULL,
  mechanism     TEXT NOT NULL,
  module        TEXT NOT NULL,
  blob          BLOB NOT NULL,
  language      TEXT NOT NULL,
  ident_nonce   TEXT NOT NULL,
  consent_nonce TEXT NOT NULL,
  ident_sub     TEXT NOT NULL,
  confirm_sub   TEXT NOT NULL,
  person        BLOB NOT NULL,    -- claims of the identification, JSON
  credential    TEXT NOT NULL,
  chain_hash    TEXT NOT NULL,    -- body hash of the certificate call
  created       INTEGER NOT NULL,
  mac           BLOB NOT NULL
);

-- questions: what was asked of a person at itsme, one row for each nonce.
CREATE TABLE questions (
  nonce    TEXT PRIMARY KEY,
  kind     TEXT NOT NULL,          -- identification, consent, sign
  subject  TEXT NOT NULL,          -- enrolment id, or hash of the preparation's request
  boot     TEXT NOT NULL,          -- the process that asked
  manifest BLOB NOT NULL,
  verifier TEXT NOT NULL,          -- PKCE
  state    TEXT NOT NULL,
  url      TEXT NOT NULL,
  request  TEXT NOT NULL,          -- our signed request object: evidence
  expires  INTEGER NOT NULL,
  seal     BLOB NOT NULL,          -- HMAC of the columns above, key of the process
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
  at    INTEGER NOT NULL,
  PRIMARY KEY (iss, aud, nonce)
) WITHOUT ROWID;

-- sessions: a consumed confirmation that permits signing.
CREATE TABLE sessions (
  nonce      TEXT PRIMARY KEY REFERENCES questions (nonce),
  id         TEXT NOT NULL UNIQUE,
  credential TEXT NOT NULL REFERENCES links (id),
  generation INTEGER NOT NULL,  -- of the link
  algorithm  TEXT NOT NULL,     -- of the values
  positions  INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  seal       BLOB NOT NULL      -- as in questions
);

CREATE TABLE positions (
  nonce    TEXT NOT NULL REFERENCES sessions (nonce),
  position INTEGER NOT NULL,
  state    TEXT NOT NULL DEFAULT 'free',
  value    BLOB,
  PRIMARY KEY (nonce, position)
) WITHOUT ROWID;

-- Honest code cannot do these by mistake.
-- +goose StatementBegin
CREATE TRIGGER consumed_final_update BEFORE UPDATE ON consumed BEGIN SELECT RAISE(ABORT, 'consumed is final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER consumed_final_delete BEFORE DELETE ON consumed BEGIN SELECT RAISE(ABORT, 'consumed is final'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER positions_order BEFORE UPDATE ON positions
WHEN NOT (OLD.state = 'free' AND NEW.state = 'burnt' OR OLD.state = 'burnt' AND NEW.state IN ('signed', 'unknown', 'free'))
BEGIN SELECT RAISE(ABORT, 'a position does not go this way'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER positions_final BEFORE DELETE ON positions BEGIN SELECT RAISE(ABORT, 'positions are final'); END;
-- +goose StatementEnd

-- +goose Down
