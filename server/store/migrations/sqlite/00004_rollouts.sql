-- +goose Up
-- Versions that update checks offer to a share of the clients, so far.
CREATE TABLE rollouts (
    version_id INTEGER NOT NULL PRIMARY KEY REFERENCES versions (id),
    held_back INTEGER NOT NULL,             -- percent of the clients
    changed INTEGER NOT NULL
);

-- +goose Down
DROP TABLE rollouts;
