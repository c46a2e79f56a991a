// Package load brings add-ons into the platform: packages, unpacked folders, the
// JSON of an add-ons site's API, and a sample catalogue made of nothing but a
// seed. Each add-on is one transaction, its search index job included, so that a
// load that was killed half-way has lost nothing that it reported, and a rerun
// goes on where it stopped: what is there already is left unchanged. What can't
// be loaded is refused by name and reason, and never stops the rest.
package load

import (
	"context"
	"log/slog"

	"addons/server/file"
	"addons/server/store"
)

// Loader loads add-ons. It is safe for concurrent use.
type Loader struct {
	db    *store.DB
	files *file.Store
	index func(addonID int64) []store.Job
	log   *slog.Logger
}

// New returns a Loader. index makes the jobs that bring an add-on into the search
// index; they are written in the add-on's transaction. nil is none.
func New(db *store.DB, files *file.Store, index func(addonID int64) []store.Job, log *slog.Logger) *Loader {
	return &Loader{db, files, index, log}
}

// Report says what became of what was to be loaded.
type Report struct {
	New       int // add-ons
	Updated   int
	Unchanged int
	Refused   []Refusal
}

// Refusal is one item that was not loaded.
type Refusal struct {
	Path string
	Why  error // wraps catalog.ErrInvalid if the item is at fault
}

// Progress is told after every item how many of how many are done. It is called
// from one goroutine at a time. nil is nobody.
type Progress func(done, total int, name string)

// Paths loads packages (.xpi, .zip), unpacked folders and API JSON (.json,
// .jsonl). A folder without a manifest.json is searched for them.
func (l *Loader) Paths(ctx context.Context, paths []string, progress Progress) (Report, error) {
	return Report{}, nil
}

// Sample loads the sample catalogue: about n add-ons that depend on seed alone.
func (l *Loader) Sample(ctx context.Context, seed uint64, n int, progress Progress) (Report, error) {
	return Report{}, nil
}
