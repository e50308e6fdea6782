-- +goose Up
-- A doubt about the clock that operators must end (clock.operator_resume): it outlives the process.
CREATE TABLE clock_holds (
    role  TEXT PRIMARY KEY CHECK (role = 'tsa'), -- at most one row
    since BIGINT NOT NULL                        -- microseconds since 1970, UTC
);
-- Acts of operators: their approvals count once.
CREATE TABLE acts (
    id        TEXT PRIMARY KEY,
    hash      TEXT NOT NULL,    -- of the request
    text      TEXT NOT NULL,
    approvals TEXT NOT NULL,    -- JSON
    at        BIGINT NOT NULL   -- microseconds since 1970, UTC
);
