-- +goose Up

-- once_…: of a one-time credential (onetime.go), under the MAC of the link. once_ends is when its session ends, 0 for
-- others; once_docs names the documents that its one question is about, once_nonce the confirmation that was given.
ALTER TABLE links ADD COLUMN once_ends  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE links ADD COLUMN once_docs  TEXT NOT NULL DEFAULT '';
ALTER TABLE links ADD COLUMN once_nonce TEXT NOT NULL DEFAULT '';
-- expires is the certificate's notAfter, to find it by; 0: not looked at yet. What counts is the certificate.
ALTER TABLE links ADD COLUMN expires    INTEGER NOT NULL DEFAULT 0;
CREATE INDEX links_expires ON links (expires) WHERE state <> 'destroyed';
CREATE INDEX links_once ON links (once_ends) WHERE once_ends > 0 AND state <> 'destroyed';

-- identified is when itsme identified the person (iat of the ID token), 0 before. Under the MAC.
ALTER TABLE enrolments ADD COLUMN identified INTEGER NOT NULL DEFAULT 0;

-- stamps: the time-stamps with which a one-time credential's key was used: evidence. hash is base64url(SHA-256(token)).
CREATE TABLE stamps (
  nonce TEXT NOT NULL REFERENCES questions (nonce),
  hash  TEXT NOT NULL,
  token BLOB NOT NULL,
  PRIMARY KEY (nonce, hash)
);

-- since is when the row came into its state; 0: by a process that did not write it down.
ALTER TABLE resident_keys ADD COLUMN since INTEGER NOT NULL DEFAULT 0;

-- +goose Down
