-- +goose Up

-- evidence_asked: what a question for signatures is about, beside its manifest. Goes with its question.
CREATE TABLE evidence_asked (
  nonce       TEXT PRIMARY KEY REFERENCES questions (nonce) ON DELETE CASCADE,
  attributes  BLOB NOT NULL,    -- DER signed attributes of each document, one after the other
  client_keys TEXT NOT NULL     -- our public key set at that time: hash in evidence_sets
);

-- evidence_judged: what itsme's answer was judged by. Written in the transaction that consumes it.
CREATE TABLE evidence_judged (
  nonce    TEXT PRIMARY KEY REFERENCES questions (nonce),
  keys     TEXT NOT NULL,       -- itsme's key set: hash in evidence_sets
  keys_url TEXT NOT NULL,
  keys_at  TEXT NOT NULL        -- when it was asked for, as in the audit row
);

-- evidence_sets: key sets, ours and itsme's, once each. hash is base64url(SHA-256(body)).
CREATE TABLE evidence_sets (
  hash TEXT PRIMARY KEY,
  body BLOB NOT NULL
);

-- +goose Down
