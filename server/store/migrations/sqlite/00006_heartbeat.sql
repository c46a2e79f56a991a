-- +goose Up
-- As MySQL has it; here there are no replicas, and it stays empty.
CREATE TABLE heartbeat (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,                    -- microseconds
    secret TEXT NOT NULL
);

-- +goose Down
DROP TABLE heartbeat;
