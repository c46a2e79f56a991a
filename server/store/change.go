package store

import (
	"context"
	"fmt"

	"addons/server/catalog"
)

// changesKept is how many changes are remembered: a process that is further behind
// reads everything anew.
const changesKept = 100_000

// Clock returns the number of the last change of an add-on. Whoever reads it before
// an add-on has seen all changes up to that number.
func (db *DB) Clock(ctx context.Context) (seq int64, err error) {
	err = db.latest().one(ctx, qClock, "SELECT seq FROM change_clock WHERE id = 1", into{&seq})
	if err == nil {
		db.replicas.know(seq)
	}
	return seq, err
}

// Changes returns the ids of the add-ons that changed after a number, in the order
// of the commits, one number each, without gaps, and at most limit. catalog.ErrBehind:
// the first of them is not known any more.
func (db *DB) Changes(ctx context.Context, after int64, limit int) ([]string, error) {
	expected := after
	guids, err := list(ctx, db.latest(), qChanges, "SELECT seq, guid FROM changes WHERE seq > ? ORDER BY seq LIMIT ?",
		[]any{after, limit}, func(r row, guid *string) error {
			var seq int64
			if err := r.Scan(&seq, guid); err != nil {
				return err
			}
			if expected++; seq != expected {
				return fmt.Errorf("changes after %d: %w", after, catalog.ErrBehind)
			}
			return nil
		})
	if err == nil {
		db.replicas.know(expected)
	}
	return guids, err
}

// GUIDs returns the ids after one, in the order of their bytes, of add-ons of any
// status: all of them when called again with the last until it returns none.
func (db *DB) GUIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return list(ctx, db.reads(), qGUIDs, "SELECT guid FROM addons WHERE guid > ? ORDER BY guid LIMIT ?",
		[]any{after, limit}, func(r row, guid *string) error { return r.Scan(guid) })
}

// ChangedAll notes that any add-on may have changed: for what writes many of them
// past Save.
func (db *DB) ChangedAll(ctx context.Context) error {
	return db.tx(ctx, func(h handle) error { return h.noteAll(ctx) })
}

func (h handle) noteAll(ctx context.Context) error {
	_, err := h.exec(ctx, qChange, "UPDATE change_clock SET seq = seq + ? WHERE id = 1", changesKept+1)
	return err
}

// noteChanges notes that the add-ons changed, or that any may have if they are too many.
func (h handle) noteChanges(ctx context.Context, changed []reference) error {
	if len(changed) > followMax {
		return h.noteAll(ctx)
	}
	for _, c := range changed {
		if err := h.noteChange(ctx, c.guid); err != nil {
			return err
		}
	}
	return nil
}

// noteChange notes that the add-on changed, as the last thing in a transaction:
// others that note a change wait for its commit.
func (h handle) noteChange(ctx context.Context, guid string) error {
	if _, err := h.exec(ctx, qChange, "UPDATE change_clock SET seq = seq + 1 WHERE id = 1"); err != nil {
		return err
	}
	if _, err := h.exec(ctx, qChange, "INSERT INTO changes (seq, guid) SELECT seq, ? FROM change_clock WHERE id = 1", guid); err != nil {
		return err
	}
	_, err := h.exec(ctx, qChange, "DELETE FROM changes WHERE seq <= (SELECT seq FROM change_clock WHERE id = 1) - ?", changesKept)
	return err
}
