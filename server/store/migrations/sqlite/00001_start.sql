-- +goose Up
-- Times are Unix seconds, jobs' are microseconds. JSON columns hold what is only
-- ever read and written as a whole.
CREATE TABLE addons (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    guid TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    listed INTEGER NOT NULL DEFAULT 0,      -- public and with a version to offer
    apps INTEGER NOT NULL DEFAULT 0,        -- bits: the applications that the current version runs in
    default_locale TEXT NOT NULL,
    target_locale TEXT NOT NULL,
    name_sort TEXT NOT NULL,                -- lower-case name in the default locale
    contributions_url TEXT NOT NULL,
    icon TEXT NOT NULL,
    promoted TEXT NOT NULL,                 -- JSON
    promotion INTEGER NOT NULL DEFAULT 0,   -- 2 recommended, 1 promoted otherwise
    users INTEGER NOT NULL DEFAULT 0,
    downloads INTEGER NOT NULL DEFAULT 0,   -- a week's
    hotness REAL NOT NULL DEFAULT 0,
    rating_average REAL NOT NULL DEFAULT 0,
    rating_bayesian REAL NOT NULL DEFAULT 0,
    rating_count INTEGER NOT NULL DEFAULT 0,
    rating_texts INTEGER NOT NULL DEFAULT 0,
    rating_grouped TEXT NOT NULL,           -- JSON
    imported TEXT NOT NULL,                 -- JSON: sums that came with an import, beyond our own rows
    experimental INTEGER NOT NULL DEFAULT 0,
    requires_payment INTEGER NOT NULL DEFAULT 0,
    has_eula INTEGER NOT NULL DEFAULT 0,
    has_privacy_policy INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    current_version INTEGER NOT NULL DEFAULT 0, -- 0: none
    digest TEXT NOT NULL                    -- of what was imported
);
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
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    field TEXT NOT NULL,
    locale TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (addon_id, field, locale)
) WITHOUT ROWID;

-- What a search without the search engine goes through.
CREATE TABLE addon_words (
    addon_id INTEGER PRIMARY KEY REFERENCES addons (id),
    words TEXT NOT NULL                     -- lower-case names, summaries and tags
);

CREATE TABLE authors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    url TEXT NOT NULL
);

CREATE TABLE addon_authors (
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    author_id INTEGER NOT NULL REFERENCES authors (id),
    place INTEGER NOT NULL,
    PRIMARY KEY (addon_id, author_id)
) WITHOUT ROWID;
CREATE INDEX addon_authors_author ON addon_authors (author_id, addon_id);

CREATE TABLE addon_categories (
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    app TEXT NOT NULL,
    slug TEXT NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (addon_id, app, slug)
) WITHOUT ROWID;
CREATE INDEX addon_categories_slug ON addon_categories (slug, app, addon_id);

CREATE TABLE tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    addons INTEGER NOT NULL DEFAULT 0       -- how many listed add-ons carry it
);
CREATE INDEX tags_addons ON tags (addons, name);

-- No foreign key to tags: its shared lock on the tag and the count's lock would
-- make two imports of one tag a deadlock.
CREATE TABLE addon_tags (
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    tag_id INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (addon_id, tag_id)
) WITHOUT ROWID;
CREATE INDEX addon_tags_tag ON addon_tags (tag_id, addon_id);

CREATE TABLE previews (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    place INTEGER NOT NULL,
    position INTEGER NOT NULL,
    caption TEXT NOT NULL,                  -- JSON
    image TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    UNIQUE (addon_id, place)
);

CREATE TABLE licenses (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,                     -- JSON
    url TEXT NOT NULL,
    text TEXT NOT NULL
);

CREATE TABLE versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    number TEXT NOT NULL,
    sort_key TEXT NOT NULL,                 -- catalog.VersionKey of number
    channel TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    offered INTEGER NOT NULL,               -- catalog.Version.Offered
    strict INTEGER NOT NULL,
    notes TEXT NOT NULL,                    -- JSON
    license_id INTEGER NOT NULL REFERENCES licenses (id),
    created INTEGER NOT NULL,
    reviewed INTEGER NOT NULL,              -- 0: not yet
    digest TEXT NOT NULL,
    UNIQUE (addon_id, number)
);
CREATE INDEX versions_offered ON versions (addon_id, offered, sort_key, id);

CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL UNIQUE REFERENCES versions (id),
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    name TEXT NOT NULL,
    content TEXT NOT NULL,                  -- file.Store key
    url TEXT NOT NULL,
    hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    permissions TEXT NOT NULL,              -- JSON
    signed INTEGER NOT NULL
);
CREATE INDEX files_addon ON files (addon_id);

CREATE TABLE compat (
    version_id INTEGER NOT NULL REFERENCES versions (id),
    app TEXT NOT NULL,
    place INTEGER NOT NULL,
    min_version TEXT NOT NULL,
    max_version TEXT NOT NULL,
    PRIMARY KEY (version_id, app)
) WITHOUT ROWID;

-- What the update check reads: one row by its key, written by Save.
CREATE TABLE offers (
    guid TEXT NOT NULL,
    app TEXT NOT NULL,
    slug TEXT NOT NULL,
    versions TEXT NOT NULL,                 -- JSON
    PRIMARY KEY (guid, app)
) WITHOUT ROWID;

CREATE TABLE ratings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    addon_id INTEGER NOT NULL REFERENCES addons (id),
    origin TEXT NOT NULL,                   -- which rating of the add-on this is, for a second import
    version_number TEXT NOT NULL,
    user_name TEXT NOT NULL,
    score INTEGER NOT NULL,
    body TEXT NOT NULL,
    has_body INTEGER NOT NULL,
    created INTEGER NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (addon_id, origin)
);
CREATE INDEX ratings_newest ON ratings (addon_id, created, id);
CREATE INDEX ratings_sums ON ratings (addon_id, score, has_body);

CREATE TABLE downloads (
    file_id INTEGER NOT NULL REFERENCES files (id),
    day INTEGER NOT NULL,                   -- Unix seconds of its midnight
    downloads INTEGER NOT NULL,
    PRIMARY KEY (file_id, day)
) WITHOUT ROWID;

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    due INTEGER NOT NULL,                   -- not before, or the lease's end
    created INTEGER NOT NULL,
    trace TEXT NOT NULL,
    reason TEXT NOT NULL                    -- why it failed last
) WITHOUT ROWID;
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
