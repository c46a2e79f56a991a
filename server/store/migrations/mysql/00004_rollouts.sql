-- +goose Up
-- Versions that update checks offer to a share of the clients, so far.
CREATE TABLE rollouts (
    version_id BIGINT NOT NULL PRIMARY KEY,
    held_back SMALLINT NOT NULL,                    -- percent of the clients
    changed BIGINT NOT NULL,
    FOREIGN KEY (version_id) REFERENCES versions (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- +goose Down
DROP TABLE rollouts;
