-- +goose Up

-- What start, enrol and prepare look for. Without these they read every row
-- that ever was, and hold the database meanwhile.
CREATE INDEX questions_exchanging ON questions (nonce) WHERE status = 'exchanging';
CREATE INDEX questions_ended ON questions (expires) WHERE status IN ('prepared', 'declined', 'failed', 'expired');
CREATE INDEX questions_tokens ON questions (expires) WHERE token <> '' AND kind <> 'sign';
CREATE INDEX enrolments_open ON enrolments (created) WHERE step NOT IN ('done', 'existing');
CREATE INDEX positions_burnt ON positions (nonce, position) WHERE state = 'burnt';

-- +goose Down
