-- +goose Up
-- How many listed add-ons of each type there are, of those that run in an application,
-- in a category of it or with a tag; '' is any: pages of lists say so, and counting takes
-- longer than a page. Who changes an add-on changes these in the same transaction.
-- A run that was cut short has left a part of it: MySQL commits each statement.
DROP TABLE IF EXISTS list_totals;
CREATE TABLE list_totals (
    app VARCHAR(50) NOT NULL,
    category VARCHAR(255) NOT NULL,
    tag VARCHAR(255) NOT NULL,
    type VARCHAR(50) NOT NULL,
    addons BIGINT NOT NULL,
    PRIMARY KEY (app, category, tag, type)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
-- The bits of addons.apps are catalog.Apps in their order: 1 is firefox, 2 android.
INSERT INTO list_totals SELECT '', '', '', type, COUNT(*) FROM addons WHERE listed = 1 GROUP BY type;
INSERT INTO list_totals SELECT 'firefox', '', '', type, COUNT(*) FROM addons WHERE listed = 1 AND apps & 1 <> 0 GROUP BY type;
INSERT INTO list_totals SELECT 'android', '', '', type, COUNT(*) FROM addons WHERE listed = 1 AND apps & 2 <> 0 GROUP BY type;
INSERT INTO list_totals SELECT '', x.slug, '', a.type, COUNT(DISTINCT a.id) FROM addon_categories x JOIN addons a ON a.id = x.addon_id
    WHERE a.listed = 1 GROUP BY x.slug, a.type;
INSERT INTO list_totals SELECT x.app, x.slug, '', a.type, COUNT(*) FROM addon_categories x JOIN addons a ON a.id = x.addon_id
    WHERE a.listed = 1 AND a.apps & CASE x.app WHEN 'firefox' THEN 1 WHEN 'android' THEN 2 ELSE 0 END <> 0 GROUP BY x.app, x.slug, a.type;
INSERT INTO list_totals SELECT '', '', t.name, a.type, COUNT(*) FROM addon_tags x JOIN addons a ON a.id = x.addon_id JOIN tags t ON t.id = x.tag_id
    WHERE a.listed = 1 GROUP BY t.name, a.type;
INSERT INTO list_totals SELECT 'firefox', '', t.name, a.type, COUNT(*) FROM addon_tags x JOIN addons a ON a.id = x.addon_id JOIN tags t ON t.id = x.tag_id
    WHERE a.listed = 1 AND a.apps & 1 <> 0 GROUP BY t.name, a.type;
INSERT INTO list_totals SELECT 'android', '', t.name, a.type, COUNT(*) FROM addon_tags x JOIN addons a ON a.id = x.addon_id JOIN tags t ON t.id = x.tag_id
    WHERE a.listed = 1 AND a.apps & 2 <> 0 GROUP BY t.name, a.type;

-- +goose Down
DROP TABLE list_totals;
