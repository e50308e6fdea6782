-- +goose Up
-- What kind of tokens each key makes: a unit issues one kind only (EN 319 421 TIS-8.2-01).
CREATE TABLE units (
    key_sha256 TEXT PRIMARY KEY, -- of the SubjectPublicKeyInfo, hexadecimal
    qualified  INTEGER NOT NULL  -- 1: tokens say that they are qualified
) STRICT;
