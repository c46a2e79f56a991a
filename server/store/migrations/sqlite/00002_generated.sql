-- +goose Up
-- What Bulk has written: one row, or none where nothing was generated.
CREATE TABLE generated (
    id INTEGER PRIMARY KEY,                 -- 1
    recipe TEXT NOT NULL,                   -- what the catalogue is made of
    done INTEGER NOT NULL,                  -- add-ons written, in their order
    finished INTEGER NOT NULL,
    indexes TEXT NOT NULL                   -- JSON: statements that are left for the end
);

-- +goose Down
DROP TABLE generated;
