-- +goose Up
-- Beside who makes the next revision of a document stands who has made it: the holder, one open request of a client, goes
-- with that request's end; a finished one is the maker from then on, and stays it whatever becomes of those who branch off.
ALTER TABLE holds RENAME COLUMN request TO holder;
ALTER TABLE holds ALTER COLUMN holder DROP NOT NULL;
ALTER TABLE holds ADD COLUMN maker TEXT REFERENCES requests (id);
UPDATE holds SET maker = holder, holder = NULL WHERE made = 1;
ALTER TABLE holds DROP COLUMN made;
ALTER INDEX holds_request RENAME TO holds_holder;

-- +goose Down
ALTER TABLE holds ADD COLUMN made BIGINT NOT NULL DEFAULT 0;
UPDATE holds SET made = 1, holder = maker WHERE holder IS NULL;
ALTER TABLE holds ALTER COLUMN made DROP DEFAULT;
ALTER TABLE holds ALTER COLUMN holder SET NOT NULL;
ALTER TABLE holds DROP COLUMN maker;
ALTER TABLE holds RENAME COLUMN holder TO request;
ALTER INDEX holds_holder RENAME TO holds_request;
