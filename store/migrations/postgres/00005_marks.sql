-- +goose Up
-- How far this database has come: a row is added at each start and now and then, and the newest one is told
-- to the sam. A database that was put back lacks the row that was told last.
CREATE TABLE marks (
    number BIGINT PRIMARY KEY,
    link   BYTEA NOT NULL
);

-- +goose Down
DROP TABLE marks;
