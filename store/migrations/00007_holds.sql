-- +goose Up
-- Who makes the next revision of a document: one open request of a client, and who has made it. The holder goes with the
-- request's end; a finished one is the maker from then on, and stays it whatever becomes of those who branch off.
CREATE TABLE holds (
    client TEXT NOT NULL,
    sha256 BLOB NOT NULL,                   -- of the document that the next signature stands on
    holder TEXT REFERENCES requests (id),   -- open
    maker  TEXT REFERENCES requests (id),   -- finished, the newest one
    PRIMARY KEY (client, sha256)
) STRICT;
CREATE INDEX holds_holder ON holds (holder);

-- +goose Down
DROP TABLE holds;
