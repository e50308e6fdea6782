-- +goose Up

-- boots: the newest process of each instance of the role. A process whose row was taken over by a newer
-- one does nothing any more. seen tells instances that are gone from those that are at work.
CREATE TABLE boots (
  instance TEXT PRIMARY KEY,
  boot     TEXT NOT NULL UNIQUE,
  started  BIGINT NOT NULL,
  seen     BIGINT NOT NULL   -- when it last did something
);

-- +goose Down
