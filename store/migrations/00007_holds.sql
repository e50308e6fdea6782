-- +goose Up
-- Who makes the next revision of a document: one open request of a client. The row goes with the request's end, unless it
-- was finished: then it tells who has made it.
CREATE TABLE holds (
    client  TEXT NOT NULL,
    sha256  BLOB NOT NULL,              -- of the document that the next signature stands on
    request TEXT NOT NULL REFERENCES requests (id),
    made    INTEGER NOT NULL,           -- 1: request is finished
    PRIMARY KEY (client, sha256)
) STRICT;
CREATE INDEX holds_request ON holds (request);

-- +goose Down
DROP TABLE holds;
