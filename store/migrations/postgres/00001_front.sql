-- +goose Up
-- Times are microseconds since 1970, UTC; 0 is "never".
CREATE TABLE clients (
    id         TEXT PRIMARY KEY,
    key_sha256 BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE requests (
    id           TEXT PRIMARY KEY,
    client       TEXT NOT NULL,
    state        TEXT NOT NULL,
    version      BIGINT NOT NULL,
    token        TEXT NOT NULL,
    token_sha256 BYTEA NOT NULL UNIQUE, -- looked up by hash, so that timing tells nothing of the token
    level        TEXT NOT NULL,
    language     TEXT NOT NULL,
    reference    TEXT NOT NULL,
    redirect_url TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    next_at      BIGINT NOT NULL,
    progress     TEXT NOT NULL          -- JSON of signer.Progress
);
CREATE INDEX requests_due ON requests (next_at) WHERE next_at > 0;

CREATE TABLE documents (
    id      TEXT PRIMARY KEY,
    request TEXT NOT NULL REFERENCES requests (id),
    n       BIGINT NOT NULL,           -- position, from 0
    name    TEXT NOT NULL,
    label   TEXT NOT NULL,
    size    BIGINT NOT NULL,
    sha256  BYTEA NOT NULL,
    blob    TEXT NOT NULL,
    work    TEXT,                       -- JSON of signer.Work; NULL before state prepared
    UNIQUE (request, n)
);
CREATE INDEX documents_blob ON documents (blob);

CREATE TABLE events (
    id      TEXT PRIMARY KEY,
    request TEXT NOT NULL REFERENCES requests (id),
    version BIGINT NOT NULL,           -- of the request after the event
    at      BIGINT NOT NULL,
    type    TEXT NOT NULL,
    UNIQUE (request, version)
);

CREATE TABLE callbacks (
    state_sha256 BYTEA PRIMARY KEY,
    request      TEXT NOT NULL REFERENCES requests (id),
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used         BIGINT NOT NULL
);
CREATE INDEX callbacks_request ON callbacks (request);

CREATE TABLE signers (
    client     TEXT NOT NULL,
    reference  TEXT NOT NULL,
    credential TEXT NOT NULL,
    PRIMARY KEY (client, reference)
);

-- +goose Down
DROP TABLE signers;
DROP TABLE callbacks;
DROP TABLE events;
DROP TABLE documents;
DROP TABLE requests;
DROP TABLE clients;
