-- +goose Up
-- What Bulk has written: one row, or none where nothing was generated.
CREATE TABLE generated (
    id BIGINT NOT NULL PRIMARY KEY,                 -- 1
    recipe VARCHAR(255) NOT NULL,                   -- what the catalogue is made of
    done BIGINT NOT NULL,                           -- add-ons written, in their order
    finished TINYINT NOT NULL,
    indexes TEXT NOT NULL                           -- JSON: statements that are left for the end
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- +goose Down
DROP TABLE generated;
