-- +goose Up
-- Keys of the header Idempotency-Key. A row lives as long as its request.
CREATE TABLE idempotency_keys (
    client     TEXT NOT NULL,
    key_sha256 BLOB NOT NULL, -- the key is the client's own text; we need to know it again only
    digest     BLOB NOT NULL, -- signer.Once.Digest
    request    TEXT NOT NULL UNIQUE REFERENCES requests (id),
    PRIMARY KEY (client, key_sha256)
) STRICT;

-- +goose Down
DROP TABLE idempotency_keys;
