package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

type DB struct{}

func Open(ctx context.Context, rawURL string, reg *metrics.Registry, log *slog.Logger) (*DB, error) {
	return nil, errors.ErrUnsupported
}
func (db *DB) Close() error                   { return nil }
func (db *DB) Ping(ctx context.Context) error { return nil }
func (db *DB) Name() string                   { return "" }

func (db *DB) Addon(ctx context.Context, ref string) (*catalog.Addon, error) { return nil, nil }
func (db *DB) Addons(ctx context.Context, ids []int64) ([]*catalog.Addon, error) {
	return nil, nil
}

// Browse says which public, listed add-ons to list. The zero value of a field
// asks for nothing.
type Browse struct {
	Type     string // a catalog.Type
	Category string // slug, within App if that is given
	App      string // App.Slug: runs in it
	Tag      string
	Author   string // username or id
	Promoted bool
	Text     string // every word is in the name or the summary, in any locale
	Sort     string // one of Sorts; "" is "users"
	Limit    int
	Offset   int
}

func (db *DB) Browse(ctx context.Context, b Browse) (ids []int64, total int, err error) {
	return nil, 0, nil
}
func (db *DB) Versions(ctx context.Context, addonID int64, limit, offset int) ([]*catalog.Version, int, error) {
	return nil, 0, nil
}
func (db *DB) Version(ctx context.Context, addonID int64, ref string) (*catalog.Version, error) {
	return nil, nil
}
func (db *DB) File(ctx context.Context, id int64) (*catalog.File, *catalog.Addon, error) {
	return nil, nil, nil
}

// Candidates is what the update check needs to know of one add-on for one application.
func (db *DB) Candidates(ctx context.Context, guid, app string) (known bool, versions []*catalog.Version, slug string, err error) {
	return false, nil, "", nil
}
func (db *DB) Ratings(ctx context.Context, addonID int64, limit, offset int) ([]catalog.Rating, int, error) {
	return nil, 0, nil
}
func (db *DB) Categories(ctx context.Context) ([]catalog.Category, error)       { return nil, nil }
func (db *DB) Tags(ctx context.Context, limit int) ([]catalog.Tag, error)       { return nil, nil }
func (db *DB) Counts(ctx context.Context) (map[catalog.Type]int, error)         { return nil, nil }
func (db *DB) IDs(ctx context.Context, after int64, limit int) ([]int64, error) { return nil, nil }

// Import is what Save writes.
type Import struct {
	Addon    *catalog.Addon // ID is taken if it is free, else the site gives one
	Versions []*catalog.Version
	Ratings  []catalog.Rating
	Jobs     func(addonID int64) []Job // written in the same transaction; nil for none
}

// Saved is what Save did.
type Saved struct {
	ID      int64
	New     bool
	Changed bool // New included
}

func (db *DB) Save(ctx context.Context, in Import) (Saved, error) { return Saved{}, nil }
func (db *DB) Aggregate(ctx context.Context, day time.Time) (rows int, err error) {
	return 0, nil
}

// Download is how often a file was downloaded on a day.
type Download struct {
	FileID int64
	Day    time.Time // any time of the day, UTC
	Count  int
}

func (db *DB) DownloadCounted(ctx context.Context, downloads ...Download) error { return nil }

// Job is one unit of work that waits in the database.
type Job struct {
	ID        string // up to 64 characters; a UUID is given if empty
	Kind      string
	Payload   []byte
	Attempt   int // how often it was leased
	NotBefore time.Time
	Created   time.Time
	Trace     string // traceparent of the request that sent it
}

func (db *DB) Push(ctx context.Context, jobs ...Job) error { return nil }
func (db *DB) Lease(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Job, error) {
	return nil, nil
}
func (db *DB) Done(ctx context.Context, id string) error { return nil }
func (db *DB) Retry(ctx context.Context, id string, at time.Time, reason string) error {
	return nil
}
func (db *DB) Dead(ctx context.Context, id, reason string) error { return nil }
func (db *DB) Replay(ctx context.Context, id string) error       { return nil }
func (db *DB) Depth(ctx context.Context) (waiting, leased, dead int, oldest time.Time, err error) {
	return
}
