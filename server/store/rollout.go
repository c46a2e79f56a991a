package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"addons/server/catalog"
)

// Rollout is a version that update checks offer to a share of the clients, so far.
type Rollout struct {
	Slug    string // the add-on's
	GUID    string
	Version string    // its number
	Percent int       // of the clients that are offered it: 0 to 99
	Changed time.Time // to this percentage
}

// SetRollout has update checks offer an add-on's version to percent of the clients: 0
// is nobody, 100 everybody, which ends the rollout.
// catalog.ErrNotFound: the add-on offers no such version.
func (db *DB) SetRollout(ctx context.Context, addonID, versionID int64, percent int) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("a rollout to %d %% of the clients: %w", percent, catalog.ErrInvalid)
	}
	err := db.tx(ctx, func(h handle) error {
		a := catalog.Addon{ID: addonID}
		err := h.one(ctx, qSaveRollout, "SELECT guid, slug, status FROM addons WHERE id = ?"+h.d.forUpdate, into{&a.GUID, &a.Slug, &a.Status}, addonID)
		if err != nil {
			return err
		}
		if err := h.one(ctx, qSaveRollout, "SELECT id FROM versions WHERE id = ? AND addon_id = ? AND offered = 1", into{new(int64)}, versionID, addonID); err != nil {
			return err
		}
		if err := h.holdBack(ctx, versionID, 100-percent); err != nil {
			return err
		}
		versions, err := h.offered(ctx, addonID)
		if err != nil {
			return err
		}
		if err := h.saveOffers(ctx, &a, versions); err != nil {
			return err
		}
		return h.noteChange(ctx, a.GUID)
	})
	if err != nil {
		return fmt.Errorf("rollout of version %d: %w", versionID, err)
	}
	return nil
}

func (h handle) holdBack(ctx context.Context, versionID int64, percent int) error {
	if percent == 0 {
		_, err := h.exec(ctx, qSaveRollout, "DELETE FROM rollouts WHERE version_id = ?", versionID)
		return err
	}
	return h.insertRows(ctx, qSaveRollout, rolloutsTable, [][]any{{versionID, percent, seconds(time.Now())}},
		h.d.orUpdate("version_id", "held_back", "changed"))
}

// offeredNumbers are those of the versions that the add-on offers.
func (h handle) offeredNumbers(ctx context.Context, addonID int64) ([]string, error) {
	return list(ctx, h, qSaveRollout, "SELECT number FROM versions WHERE addon_id = ? AND offered = 1", []any{addonID},
		func(r row, number *string) error { return r.Scan(number) })
}

// holdBackNew holds back what was not offered before. That it was known is not enough: a
// version that waits for its review is known, and new to all clients when it is public.
func (h handle) holdBackNew(ctx context.Context, versions []savingVersion, before []string, percent int) error {
	for _, v := range versions {
		if !v.Offered() || slices.Contains(before, v.Number) {
			continue
		}
		if err := h.holdBack(ctx, v.ID, percent); err != nil {
			return err
		}
	}
	return nil
}

// rolloutsMax bounds Rollouts: more at once nobody could watch.
const rolloutsMax = 1000

// Rollouts lists the rollouts under way, the newest version's first, at most 1,000: not
// those of versions that are not offered to anybody, which nobody could end. SQLite
// takes CROSS JOIN to mean that the few rollouts are to be read first.
func (db *DB) Rollouts(ctx context.Context) ([]Rollout, error) {
	return list(ctx, db.latest(), qRollouts, `SELECT a.slug, a.guid, v.number, r.held_back, r.changed FROM rollouts r
		CROSS JOIN versions v ON v.id = r.version_id CROSS JOIN addons a ON a.id = v.addon_id
		WHERE v.offered = 1 ORDER BY r.version_id DESC LIMIT ?`,
		[]any{rolloutsMax}, func(r row, out *Rollout) error {
			held := 0
			err := r.Scan(&out.Slug, &out.GUID, &out.Version, &held, fromSeconds(&out.Changed))
			out.Percent = 100 - held
			return err
		})
}
