// Package load brings add-ons into the platform: packages, unpacked folders, the
// JSON of an add-ons site's API, and a sample catalogue made of nothing but a
// seed. Each add-on is one transaction, its search index job included, so that a
// load that was killed half-way has lost nothing that it reported, and a rerun
// goes on where it stopped: what is there already is left unchanged. What can't
// be loaded is refused by name and reason, and never stops the rest.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"addons/server/catalog"
	"addons/server/file"
	"addons/server/store"
	"addons/server/xpi"
)

// Loader loads add-ons. It is safe for concurrent use.
type Loader struct {
	db    *store.DB
	files *file.Store
	index func(addonID int64) []store.Job
	log   *slog.Logger

	heldBack int // percent of the clients
}

// New returns a Loader. index makes the jobs that bring an add-on into the search
// index; they are written in the add-on's transaction. nil is none.
func New(db *store.DB, files *file.Store, index func(addonID int64) []store.Job, log *slog.Logger) *Loader {
	return &Loader{db: db, files: files, index: index, log: log}
}

// RollingOut is l for new versions of known add-ons that update checks offer to percent
// of the clients, so far: see store.SetRollout.
func (l *Loader) RollingOut(percent int) *Loader {
	rolling := *l
	rolling.heldBack = 100 - percent
	return &rolling
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

// String is the refusal as a line.
func (r Refusal) String() string { return r.Path + ": " + r.Why.Error() }

func (r *Report) count(s store.Saved) {
	switch {
	case s.New:
		r.New++
	case s.Changed:
		r.Updated++
	default:
		r.Unchanged++
	}
}

func (r *Report) refuse(path string, why error) {
	r.Refused = append(r.Refused, Refusal{path, why})
}

// fatal tells what makes it pointless to go on: the load was called off, or the
// platform, not the item, is at fault.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, catalog.ErrUnavailable) || errors.Is(err, errStorage)
}

// errStorage marks errors of the file store: a full disk refuses everything that
// follows, too.
var errStorage = errors.New("file store")

// put stores bytes.
func (l *Loader) put(ctx context.Context, body []byte) (file.Blob, error) {
	blob, err := l.files.Put(ctx, bytes.NewReader(body), xpi.MaxArchive)
	if err != nil {
		return blob, fmt.Errorf("%w: %w", errStorage, err)
	}
	return blob, nil
}

// save writes one add-on and its index job in one transaction.
func (l *Loader) save(ctx context.Context, in store.Import) (store.Saved, error) {
	in.Jobs, in.HeldBack = l.index, l.heldBack
	return l.db.Save(ctx, in)
}

// tracker counts items for a progress callback.
func tracker(progress func(done, total int, name string), total int) func(name string) {
	done := 0
	return func(name string) {
		done++
		if progress != nil {
			progress(done, total, name)
		}
	}
}

// plain takes the path out of a file system's error: the refusal names it already.
func plain(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return fmt.Errorf("%s: %w", at.Op, at.Err)
	}
	return err
}
