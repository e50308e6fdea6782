-- +goose Up

-- resident_keys: every key that this role ever had made inside the token, written before it is made, and what was
-- found of it at the starts. States: intended made absent orphan missing unused (resident.go).
CREATE TABLE resident_keys (
  key_id    BYTEA PRIMARY KEY,     -- CKA_ID, 16 bytes
  state     TEXT NOT NULL,
  enrolment TEXT NOT NULL,        -- for which it was meant; '' when not known
  boot      TEXT NOT NULL,        -- the process that wrote the row
  created   BIGINT NOT NULL       -- microseconds since 1970
);

-- +goose Down
