-- +goose Up
-- The writer's clock, put down about once a second by processes that read from replicas:
-- a replica lags by what its copy of the row is behind. The secret is the database's own:
-- whose row has another is no replica of it, and what a visitor brings back is signed by it.
CREATE TABLE heartbeat (
    id TINYINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,                     -- microseconds
    secret VARCHAR(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- +goose Down
DROP TABLE heartbeat;
