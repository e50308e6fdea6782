-- +goose Up

-- fronts: how far each front's database had come when it last told (package sam, Mark). lock is the text
-- that two operators must approve before an older database goes on; '' for none.
CREATE TABLE fronts (
  name   TEXT PRIMARY KEY,
  number INTEGER NOT NULL,
  link   BLOB NOT NULL,
  lock   TEXT NOT NULL
) STRICT;

-- +goose Down
