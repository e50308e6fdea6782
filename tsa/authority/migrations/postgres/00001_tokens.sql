-- +goose Up
-- Every token that this unit has made or was about to make, for ever: serial
-- numbers are never used twice, and time never goes back.
CREATE TABLE tokens (
    serial   TEXT PRIMARY KEY,  -- hexadecimal
    gen_time BIGINT NOT NULL,  -- microseconds since 1970, UTC
    policy   TEXT NOT NULL,
    hash     TEXT NOT NULL,     -- of the imprint, e.g. SHA-256
    imprint  BYTEA NOT NULL
);
CREATE INDEX tokens_by_time ON tokens (gen_time);
