-- +goose Up
-- Keys of the header Idempotency-Key. A row lives as long as its request.
CREATE TABLE idempotency_keys (
    client     TEXT NOT NULL,
    key_sha256 BYTEA NOT NULL, -- the key is the client's own text; we need to know it again only
    digest     BYTEA NOT NULL, -- signer.Once.Digest
    request    TEXT NOT NULL UNIQUE REFERENCES requests (id),
    PRIMARY KEY (client, key_sha256)
);

-- +goose Down
DROP TABLE idempotency_keys;
