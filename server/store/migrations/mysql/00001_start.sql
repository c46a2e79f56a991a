-- +goose Up
-- Times are Unix seconds, jobs' are microseconds. JSON columns hold what is only
-- ever read and written as a whole.
CREATE TABLE addons (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    guid VARCHAR(255) NOT NULL UNIQUE,
    slug VARCHAR(255) NOT NULL UNIQUE,
    type VARCHAR(50) NOT NULL,
    status VARCHAR(50) NOT NULL,
    listed TINYINT NOT NULL DEFAULT 0,              -- public and with a version to offer
    apps INT NOT NULL DEFAULT 0,                    -- bits: the applications that the current version runs in
    default_locale VARCHAR(50) NOT NULL,
    target_locale VARCHAR(50) NOT NULL,
    name_sort VARCHAR(255) NOT NULL,                -- lower-case name in the default locale
    contributions_url TEXT NOT NULL,
    icon VARCHAR(255) NOT NULL,
    promoted TEXT NOT NULL,                         -- JSON
    promotion TINYINT NOT NULL DEFAULT 0,           -- 2 recommended, 1 promoted otherwise
    users BIGINT NOT NULL DEFAULT 0,
    downloads BIGINT NOT NULL DEFAULT 0,            -- a week's
    hotness DOUBLE NOT NULL DEFAULT 0,
    rating_average DOUBLE NOT NULL DEFAULT 0,
    rating_bayesian DOUBLE NOT NULL DEFAULT 0,
    rating_count BIGINT NOT NULL DEFAULT 0,
    rating_texts BIGINT NOT NULL DEFAULT 0,
    rating_grouped VARCHAR(500) NOT NULL,           -- JSON
    imported VARCHAR(500) NOT NULL,                 -- JSON: sums that came with an import, beyond our own rows
    experimental TINYINT NOT NULL DEFAULT 0,
    requires_payment TINYINT NOT NULL DEFAULT 0,
    has_eula TINYINT NOT NULL DEFAULT 0,
    has_privacy_policy TINYINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    current_version BIGINT NOT NULL DEFAULT 0,      -- 0: none
    digest VARCHAR(80) NOT NULL                     -- of what was imported
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX addons_total ON addons (listed, type, apps, promotion);
CREATE INDEX addons_created ON addons (listed, type, created, id);
CREATE INDEX addons_updated ON addons (listed, type, updated, id);
CREATE INDEX addons_users ON addons (listed, type, users, id);
CREATE INDEX addons_downloads ON addons (listed, type, downloads, id);
CREATE INDEX addons_ratings ON addons (listed, type, rating_bayesian, id);
CREATE INDEX addons_hotness ON addons (listed, type, hotness, id);
CREATE INDEX addons_recommended ON addons (listed, type, promotion, users, id);
CREATE INDEX addons_name ON addons (listed, type, name_sort, id);

CREATE TABLE addon_texts (
    addon_id BIGINT NOT NULL,
    field VARCHAR(50) NOT NULL,
    locale VARCHAR(50) NOT NULL,
    text MEDIUMTEXT NOT NULL,
    PRIMARY KEY (addon_id, field, locale),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- What a search without the search engine goes through.
CREATE TABLE addon_words (
    addon_id BIGINT NOT NULL PRIMARY KEY,
    words MEDIUMTEXT NOT NULL,                      -- lower-case names, summaries and tags
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE authors (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    username VARCHAR(255) NOT NULL UNIQUE,
    name VARCHAR(255) NOT NULL,
    url TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE addon_authors (
    addon_id BIGINT NOT NULL,
    author_id BIGINT NOT NULL,
    place INT NOT NULL,
    PRIMARY KEY (addon_id, author_id),
    FOREIGN KEY (addon_id) REFERENCES addons (id),
    FOREIGN KEY (author_id) REFERENCES authors (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX addon_authors_author ON addon_authors (author_id, addon_id);

CREATE TABLE addon_categories (
    addon_id BIGINT NOT NULL,
    app VARCHAR(50) NOT NULL,
    slug VARCHAR(255) NOT NULL,
    place INT NOT NULL,
    PRIMARY KEY (addon_id, app, slug),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX addon_categories_slug ON addon_categories (slug, app, addon_id);

CREATE TABLE tags (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL UNIQUE,
    addons BIGINT NOT NULL DEFAULT 0                -- how many listed add-ons carry it
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX tags_addons ON tags (addons, name);

-- No foreign key to tags: its shared lock on the tag and the count's lock would
-- make two imports of one tag a deadlock.
CREATE TABLE addon_tags (
    addon_id BIGINT NOT NULL,
    tag_id BIGINT NOT NULL,
    place INT NOT NULL,
    PRIMARY KEY (addon_id, tag_id),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX addon_tags_tag ON addon_tags (tag_id, addon_id);

CREATE TABLE previews (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    addon_id BIGINT NOT NULL,
    place INT NOT NULL,
    position INT NOT NULL,
    caption TEXT NOT NULL,                          -- JSON
    image VARCHAR(255) NOT NULL,
    width INT NOT NULL,
    height INT NOT NULL,
    UNIQUE (addon_id, place),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE licenses (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    digest VARCHAR(80) NOT NULL UNIQUE,
    slug VARCHAR(255) NOT NULL,
    name TEXT NOT NULL,                             -- JSON
    url TEXT NOT NULL,
    text MEDIUMTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE versions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    addon_id BIGINT NOT NULL,
    number VARCHAR(255) NOT NULL,
    sort_key VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- catalog.VersionKey of number
    channel VARCHAR(50) NOT NULL,
    deleted TINYINT NOT NULL,
    offered TINYINT NOT NULL,                       -- catalog.Version.Offered
    strict TINYINT NOT NULL,
    notes MEDIUMTEXT NOT NULL,                      -- JSON
    license_id BIGINT NOT NULL,
    created BIGINT NOT NULL,
    reviewed BIGINT NOT NULL,                       -- 0: not yet
    digest VARCHAR(80) NOT NULL,
    UNIQUE (addon_id, number),
    FOREIGN KEY (addon_id) REFERENCES addons (id),
    FOREIGN KEY (license_id) REFERENCES licenses (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX versions_offered ON versions (addon_id, offered, sort_key, id);

CREATE TABLE files (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    version_id BIGINT NOT NULL UNIQUE,
    addon_id BIGINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    content VARCHAR(255) NOT NULL,                  -- file.Store key
    url TEXT NOT NULL,
    hash VARCHAR(255) NOT NULL,
    size BIGINT NOT NULL,
    status VARCHAR(50) NOT NULL,
    created BIGINT NOT NULL,
    permissions TEXT NOT NULL,                      -- JSON
    signed TINYINT NOT NULL,
    FOREIGN KEY (version_id) REFERENCES versions (id),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX files_addon ON files (addon_id);

CREATE TABLE compat (
    version_id BIGINT NOT NULL,
    app VARCHAR(50) NOT NULL,
    place INT NOT NULL,
    min_version VARCHAR(255) NOT NULL,
    max_version VARCHAR(255) NOT NULL,
    PRIMARY KEY (version_id, app),
    FOREIGN KEY (version_id) REFERENCES versions (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- What the update check reads: one row by its key, written by Save.
CREATE TABLE offers (
    guid VARCHAR(255) NOT NULL,
    app VARCHAR(50) NOT NULL,
    slug VARCHAR(255) NOT NULL,
    versions MEDIUMTEXT NOT NULL,                   -- JSON
    PRIMARY KEY (guid, app)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE ratings (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    addon_id BIGINT NOT NULL,
    origin VARCHAR(255) NOT NULL,                   -- which rating of the add-on this is, for a second import
    version_number VARCHAR(255) NOT NULL,
    user_name VARCHAR(255) NOT NULL,
    score TINYINT NOT NULL,
    body MEDIUMTEXT NOT NULL,
    has_body TINYINT NOT NULL,
    created BIGINT NOT NULL,
    digest VARCHAR(80) NOT NULL,
    UNIQUE (addon_id, origin),
    FOREIGN KEY (addon_id) REFERENCES addons (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX ratings_newest ON ratings (addon_id, created, id);
CREATE INDEX ratings_sums ON ratings (addon_id, score, has_body);

CREATE TABLE downloads (
    file_id BIGINT NOT NULL,
    day BIGINT NOT NULL,                            -- Unix seconds of its midnight
    downloads BIGINT NOT NULL,
    PRIMARY KEY (file_id, day),
    FOREIGN KEY (file_id) REFERENCES files (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE jobs (
    id VARCHAR(64) NOT NULL PRIMARY KEY,
    kind VARCHAR(100) NOT NULL,
    payload MEDIUMBLOB NOT NULL,
    attempt INT NOT NULL,
    dead TINYINT NOT NULL,
    leased TINYINT NOT NULL,
    due BIGINT NOT NULL,                            -- not before, or the lease's end
    created BIGINT NOT NULL,
    trace VARCHAR(255) NOT NULL,
    reason TEXT NOT NULL                            -- why it failed last
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE INDEX jobs_due ON jobs (dead, due, created, leased);

-- +goose Down
DROP TABLE jobs;
DROP TABLE downloads;
DROP TABLE ratings;
DROP TABLE offers;
DROP TABLE compat;
DROP TABLE files;
DROP TABLE versions;
DROP TABLE licenses;
DROP TABLE previews;
DROP TABLE addon_tags;
DROP TABLE tags;
DROP TABLE addon_categories;
DROP TABLE addon_authors;
DROP TABLE authors;
DROP TABLE addon_words;
DROP TABLE addon_texts;
DROP TABLE addons;
