-- +goose Up
-- Beside who makes the next revision of a document stands who has made it: the holder, one open request of a client, goes
-- with that request's end; a finished one is the maker from then on, and stays it whatever becomes of those who branch off.
CREATE TABLE held (
    client TEXT NOT NULL,
    sha256 BLOB NOT NULL,                   -- of the document that the next signature stands on
    holder TEXT REFERENCES requests (id),   -- open
    maker  TEXT REFERENCES requests (id),   -- finished, the newest one
    PRIMARY KEY (client, sha256)
) STRICT;
INSERT INTO held SELECT client, sha256, CASE made WHEN 0 THEN request END, CASE made WHEN 1 THEN request END FROM holds;
DROP TABLE holds;
ALTER TABLE held RENAME TO holds;
CREATE INDEX holds_holder ON holds (holder);

-- +goose Down
CREATE TABLE held (
    client  TEXT NOT NULL,
    sha256  BLOB NOT NULL,
    request TEXT NOT NULL REFERENCES requests (id),
    made    INTEGER NOT NULL,
    PRIMARY KEY (client, sha256)
) STRICT;
INSERT INTO held SELECT client, sha256, coalesce(holder, maker), holder IS NULL FROM holds;
DROP TABLE holds;
ALTER TABLE held RENAME TO holds;
CREATE INDEX holds_request ON holds (request);
