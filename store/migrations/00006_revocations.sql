-- +goose Up
-- Questions with which people revoke. The row holds what the page shows, and an answer until the sam has taken it.
CREATE TABLE revocations (
    id           TEXT PRIMARY KEY,
    token_sha256 BLOB NOT NULL UNIQUE,
    state_sha256 BLOB NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    answered     INTEGER NOT NULL,      -- 1: there is an answer that the sam has not taken
    used         INTEGER NOT NULL,      -- 1: somebody answered
    expires_at   INTEGER NOT NULL,      -- of the question
    data         TEXT NOT NULL          -- JSON of signer.Revocation
) STRICT;
CREATE INDEX revocations_answered ON revocations (expires_at) WHERE answered = 1;
CREATE INDEX revocations_old ON revocations (expires_at);

-- +goose Down
DROP TABLE revocations;
