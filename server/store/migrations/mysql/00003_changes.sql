-- +goose Up
-- Which add-ons changed, in the order of the commits: for processes that keep answers
-- in memory. The clock's row is locked from its step to the commit, so that who has
-- read up to a number has missed none below it.
CREATE TABLE change_clock (
    id TINYINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT INTO change_clock (id, seq) VALUES (1, 0);
CREATE TABLE changes (
    seq BIGINT NOT NULL PRIMARY KEY,
    guid VARCHAR(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- +goose Down
DROP TABLE changes;
DROP TABLE change_clock;
