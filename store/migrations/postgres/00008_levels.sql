-- +goose Up
ALTER TABLE documents ADD COLUMN digest_algorithm TEXT NOT NULL DEFAULT ''; -- of a bare digest; sha256 is empty then
ALTER TABLE documents ADD COLUMN digest BYTEA;
ALTER TABLE documents ADD COLUMN behind BYTEA;   -- updates of earlier requests, behind the blob
ALTER TABLE documents ADD COLUMN prefix BYTEA;   -- signer's, about the blob; opaque here
ALTER TABLE documents ADD COLUMN level TEXT NOT NULL DEFAULT ''; -- reached

-- +goose Down
ALTER TABLE documents DROP COLUMN level;
ALTER TABLE documents DROP COLUMN prefix;
ALTER TABLE documents DROP COLUMN behind;
ALTER TABLE documents DROP COLUMN digest;
ALTER TABLE documents DROP COLUMN digest_algorithm;
