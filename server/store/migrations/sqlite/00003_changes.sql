-- +goose Up
-- Which add-ons changed, in the order of the commits: for processes that keep answers
-- in memory. The clock's row is locked from its step to the commit, so that who has
-- read up to a number has missed none below it.
CREATE TABLE change_clock (
    id INTEGER PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO change_clock (id, seq) VALUES (1, 0);
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY,
    guid TEXT NOT NULL
);

-- +goose Down
DROP TABLE changes;
DROP TABLE change_clock;
