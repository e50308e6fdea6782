-- +goose Up

-- orders: what a provider signed, by the confirmation that it led to: evidence.
CREATE TABLE orders (
  nonce    TEXT PRIMARY KEY REFERENCES questions (nonce) ON DELETE CASCADE,
  provider TEXT NOT NULL,
  jws      TEXT NOT NULL,
  key_set  BLOB NOT NULL -- the provider's registered keys at that moment, JWK set
);

-- +goose Down
