-- +goose Up

-- asked: each question that a person was or may have been asked, for the limits per person. person is a hash of (iss, aud, sub).
CREATE TABLE asked (
  nonce  TEXT PRIMARY KEY, -- of the question; of an enrolment: its id
  person TEXT NOT NULL,
  root   TEXT NOT NULL,    -- of the documents: a question asked anew about the same ones is the same confirmation
  at     BIGINT NOT NULL   -- microseconds since 1970, as everywhere here
);
CREATE INDEX asked_person ON asked (person, at);
CREATE INDEX asked_at ON asked (at);

-- refusals: the quota of audit rows about refusals: what was refused since a row told it.
CREATE TABLE refusals (
  kind    TEXT NOT NULL,
  call    TEXT NOT NULL,
  subject TEXT NOT NULL,   -- '' for all subjects beyond those that had a row of their own
  why     TEXT NOT NULL,
  since   BIGINT NOT NULL, -- time of the row of the audit
  last    BIGINT NOT NULL, -- time of the newest refusal that was only counted
  times   BIGINT NOT NULL, -- how many were only counted
  PRIMARY KEY (kind, call, subject, why)
);
CREATE INDEX refusals_since ON refusals (since);

-- uses: which rows of the audit are about a person's key. An index for the person: the audit is what counts.
CREATE TABLE uses (
  seq        BIGINT PRIMARY KEY, -- row of the audit
  credential TEXT NOT NULL,
  nonce      TEXT NOT NULL,
  kind       TEXT NOT NULL,      -- of the row
  at         BIGINT NOT NULL,
  position   INTEGER NOT NULL,   -- -1: all
  txn        TEXT NOT NULL,
  documents  INTEGER NOT NULL,
  root       TEXT NOT NULL
);
CREATE INDEX uses_credential ON uses (credential, seq);
CREATE INDEX uses_nonce ON uses (nonce, kind);

-- outbox: notices to the person that did not leave yet. Written in the transaction of the act.
CREATE TABLE outbox (
  seq        BIGINT PRIMARY KEY, -- row of the audit that it tells of
  credential TEXT NOT NULL,
  kind       TEXT NOT NULL,      -- created, used, unknown
  at         BIGINT NOT NULL,
  documents  INTEGER NOT NULL,
  txn        TEXT NOT NULL,
  root       TEXT NOT NULL,
  due        BIGINT NOT NULL,
  tries      INTEGER NOT NULL DEFAULT 0,
  state      TEXT NOT NULL DEFAULT 'waiting' -- waiting, dead
);
CREATE INDEX outbox_due ON outbox (state, due);
CREATE INDEX outbox_credential ON outbox (credential, state, seq);

-- contacts: where notices go. Personal data, sealed under a key that the token makes; never anywhere else.
CREATE TABLE contacts (
  credential TEXT PRIMARY KEY,
  sealed     BYTEA NOT NULL,
  created    BIGINT NOT NULL
);

-- +goose Down
