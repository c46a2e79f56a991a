package store

import (
	"context"
	"fmt"
	"time"

	"addons/server/catalog"
)

// Ratings returns an add-on's ratings, newest first, and how many there are here:
// an import may bring a larger sum (catalog.Addon.Ratings) than ratings.
func (db *DB) Ratings(ctx context.Context, addonID int64, limit, offset int) ([]catalog.Rating, int, error) {
	h := db.reads()
	var total int
	err := h.one(ctx, qRatingsTotal, "SELECT COUNT(*) FROM ratings WHERE addon_id = ?", into{&total}, addonID)
	if err != nil || total <= offset {
		return nil, total, err
	}
	ratings, err := list(ctx, h, qRatings, `SELECT id, addon_id, version_number, user_name, score, body, created
		FROM ratings WHERE addon_id = ? ORDER BY created DESC, id DESC LIMIT ? OFFSET ?`, []any{addonID, limit, offset},
		func(r row, to *catalog.Rating) error {
			return r.Scan(&to.ID, &to.AddonID, &to.VersionNumber, &to.UserName, &to.Score, &to.Body, fromSeconds(&to.Created))
		})
	return ratings, total, err
}

// savingRating is a rating of an import, which one of the add-on's it is, and what
// tells whether it is new.
type savingRating struct {
	catalog.Rating
	origin string
	digest string
	known  bool // a rating with the origin is stored
}

func newSavingRating(r catalog.Rating, now time.Time) savingRating {
	same := r
	same.AddonID, same.Created = 0, r.Created.UTC().Truncate(time.Second)
	s := savingRating{Rating: r, digest: digest(same)}
	if r.ID != 0 {
		s.origin = fmt.Sprintf("id:%d", r.ID)
	} else {
		s.origin = digest([]string{r.UserName, r.VersionNumber})
	}
	if s.Created.IsZero() {
		s.Created = now
	}
	return s
}

// newRatings are those that differ from what is stored.
func (s *saving) newRatings(stored storedAddon) []savingRating {
	var ratings []savingRating
	for _, r := range s.ratings {
		var digest string
		if digest, r.known = stored.origins[r.origin]; digest != r.digest {
			ratings = append(ratings, r)
		}
	}
	return ratings
}

func (h handle) saveRatings(ctx context.Context, addonID int64, ratings []savingRating) error {
	wanted := make([]int64, len(ratings))
	for i, r := range ratings {
		wanted[i] = r.ID
	}
	taken, err := h.freeIDs(ctx, "ratings", wanted)
	if err != nil {
		return err
	}
	rows := make([][]any, len(ratings))
	for i, r := range ratings {
		rows[i] = r.row(taken.orNull(r.ID), addonID)
	}
	return h.upsertRows(ctx, qSaveRatings, ratingsTable, "addon_id, origin", rows, func(i int) bool { return !ratings[i].known })
}

func (r savingRating) row(id any, addonID int64) []any {
	return []any{id, addonID, r.origin, r.VersionNumber, r.UserName, r.Score, r.Body, r.Body != "", seconds(r.Created), r.digest}
}
