-- +goose Up
-- Which front works on a request, when several share this database. A row whose time is over is nobody's.
CREATE TABLE claims (
    request TEXT PRIMARY KEY REFERENCES requests (id) ON DELETE CASCADE,
    front   TEXT NOT NULL,
    until   INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE claims;
