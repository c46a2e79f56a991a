package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// aggregateChunk is how many add-ons are counted in one transaction: short enough
// that writers in between don't notice.
const aggregateChunk = 500

// hotnessFloor is how many downloads the weeks before must have had for the growth
// of an add-on to say anything.
const hotnessFloor = 100

// Aggregate counts anew, as of the end of day (UTC), the ratings, downloads of the
// last seven days and hotness of every add-on, and the add-ons of every tag and list. It
// returns how many rows changed; a second run changes none. Hotness is how much the
// week was above the mean of the three before: 1 is twice as many.
func (db *DB) Aggregate(ctx context.Context, day time.Time) (rows int, err error) {
	p, err := db.sitePrior(ctx)
	if err != nil {
		return 0, fmt.Errorf("aggregate: %w", err)
	}
	for after := int64(0); ; {
		var changed int
		var last int64
		err := db.tx(ctx, func(h handle) error {
			changed, last, err = h.aggregateAddons(ctx, after, day, p)
			return err
		})
		if err != nil {
			return rows, fmt.Errorf("aggregate: %w", err)
		}
		rows += changed
		if last == 0 {
			break
		}
		after = last
	}
	changed, err := db.aggregateTags(ctx)
	if err != nil {
		return rows, fmt.Errorf("aggregate tags: %w", err)
	}
	rows += changed
	if changed, err = db.aggregateTotals(ctx); err != nil {
		return rows, fmt.Errorf("aggregate totals of lists: %w", err)
	}
	return rows + changed, nil
}

// sitePrior is the site's, of the add-ons that have ratings.
func (db *DB) sitePrior(ctx context.Context) (Prior, error) {
	var s PriorSum
	err := db.latest().one(ctx, qAggregateLook, `SELECT COUNT(*), COALESCE(SUM(rating_count), 0), COALESCE(SUM(rating_average * rating_count), 0)
		FROM addons WHERE rating_count > 0`, into{&s.addons, &s.ratings, &s.stars})
	return s.Prior(), err
}

// counted is an add-on of a chunk: what it is said to be, and what the rows say.
type counted struct {
	id       int64
	was      standing
	average  float64
	grouped  [5]int
	imported sums
	ratings  ratingSums
	week     int
	before   int // in the three weeks before
}

// aggregateAddons counts the add-ons after an id; last is 0 when there are none.
func (h handle) aggregateAddons(ctx context.Context, after int64, day time.Time, p Prior) (changed int, last int64, err error) {
	chunk, err := list(ctx, h, qAggregateLook, `SELECT id, imported, rating_average, rating_bayesian, rating_count, rating_texts, rating_grouped, downloads, hotness
		FROM addons WHERE id > ? ORDER BY id LIMIT ?`+h.d.forUpdate, []any{after, aggregateChunk}, func(r row, c *counted) error {
		return r.Scan(&c.id, fromJSON(&c.imported), &c.average, &c.was.bayesian, &c.was.ratings.Count, &c.was.ratings.Texts,
			fromJSON(&c.grouped), &c.was.downloads, &c.was.hotness)
	})
	if err != nil || len(chunk) == 0 {
		return 0, 0, err
	}
	last = chunk[len(chunk)-1].id
	byID := make(map[int64]*counted, len(chunk))
	for i := range chunk {
		byID[chunk[i].id] = &chunk[i]
	}
	if err := h.countRatings(ctx, after, last, byID); err != nil {
		return 0, 0, err
	}
	if err := h.sumDownloads(ctx, after, last, day, byID); err != nil {
		return 0, 0, err
	}
	for _, c := range chunk {
		now := c.standing(p)
		if c.same(now) {
			continue
		}
		changed++
		if err := h.writeSums(ctx, qAggregateSave, c.id, now, nil); err != nil {
			return 0, 0, err
		}
	}
	return changed, last, nil
}

func (h handle) countRatings(ctx context.Context, after, last int64, byID map[int64]*counted) error {
	return h.rows(ctx, qAggregateLook, `SELECT addon_id, score, COUNT(*), SUM(has_body) FROM ratings
		WHERE addon_id > ? AND addon_id <= ? GROUP BY addon_id, score`, []any{after, last}, func(r row) error {
		var id int64
		var score, n, texts int
		err := r.Scan(&id, &score, &n, &texts)
		if c := byID[id]; err == nil && c != nil {
			c.ratings.add(score, n, texts)
		}
		return err
	})
}

func (h handle) sumDownloads(ctx context.Context, after, last int64, day time.Time, byID map[int64]*counted) error {
	end := midnight(day)
	week, month := seconds(end.AddDate(0, 0, -6)), seconds(end.AddDate(0, 0, -27))
	return h.rows(ctx, qAggregateLook, `SELECT f.addon_id,
		SUM(CASE WHEN d.day >= ? THEN d.downloads ELSE 0 END), SUM(CASE WHEN d.day < ? THEN d.downloads ELSE 0 END)
		FROM files f JOIN downloads d ON d.file_id = f.id
		WHERE f.addon_id > ? AND f.addon_id <= ? AND d.day >= ? AND d.day <= ? GROUP BY f.addon_id`,
		[]any{week, week, after, last, month, seconds(end)}, func(r row) error {
			var id int64
			var now, before int
			err := r.Scan(&id, &now, &before)
			if c := byID[id]; err == nil && c != nil {
				c.week, c.before = now, before
			}
			return err
		})
}

func (c *counted) standing(p Prior) standing {
	s := standing{
		ratings:   c.imported.Ratings.plus(c.ratings),
		downloads: c.imported.Downloads + c.week,
		hotness:   c.imported.Hotness,
	}
	s.bayesian = p.Bayesian(s.ratings.Count, s.ratings.Stars)
	if c.before >= hotnessFloor {
		mean := float64(c.before) / 3
		s.hotness = round(max(0, (float64(c.week)-mean)/mean))
	}
	return s
}

// same says whether s is what is stored.
func (c *counted) same(s standing) bool {
	return s.ratings.average() == c.average && s.ratings.Grouped == c.grouped &&
		s.ratings.Count == c.was.ratings.Count && s.ratings.Texts == c.was.ratings.Texts &&
		s.bayesian == c.was.bayesian && s.downloads == c.was.downloads && s.hotness == c.was.hotness
}

// aggregateTags counts the listed add-ons of every tag. Each is a transaction by
// itself: the most popular ones take a while, and nobody should wait for all of them.
func (db *DB) aggregateTags(ctx context.Context) (changed int, err error) {
	const listed = "SELECT COUNT(*) FROM addon_tags x JOIN addons a ON a.id = x.addon_id WHERE x.tag_id = tags.id AND a.listed = 1"
	for after := int64(0); ; {
		ids, err := list(ctx, db.latest(), qAggregateTags, "SELECT id FROM tags WHERE id > ? ORDER BY id LIMIT ?", []any{after, aggregateChunk},
			func(r row, id *int64) error { return r.Scan(id) })
		if err != nil || len(ids) == 0 {
			return changed, err
		}
		for _, id := range ids {
			n, err := db.recount(ctx, qAggregateTags, recount{table: tagsTable.name, count: listed, where: "id = ?", key: []any{id}})
			if err != nil {
				return changed, err
			}
			changed += n
		}
		after = ids[len(ids)-1]
	}
}

// recount is a row whose column addons is kept, not counted.
type recount struct {
	table   string
	count   string // the SELECT that counts, with counted as its arguments
	counted []any
	where   string // the row, by key
	key     []any
}

// recount counts anew what a row keeps, and says whether that was another number: 1.
// The row is locked before what it counts is read, so that whoever changes both has
// done so, or adds to what is written here. In a transaction, because an UPDATE by
// itself locks all that it counts in MySQL (repeatable read), and deadlocks with writers.
func (db *DB) recount(ctx context.Context, q query, c recount) (changed int, err error) {
	args := append(slices.Clone(c.counted), c.key...)
	var differs bool
	err = db.latest().one(ctx, q, "SELECT addons <> ("+c.count+") FROM "+c.table+" WHERE "+c.where, into{&differs}, args...)
	if err != nil || !differs {
		return 0, err
	}
	err = db.tx(ctx, func(h handle) error {
		if err := h.one(ctx, q, "SELECT addons FROM "+c.table+" WHERE "+c.where+h.d.forUpdate, into{new(int)}, c.key...); err != nil {
			return err
		}
		n, err := h.exec(ctx, q, "UPDATE "+c.table+" SET addons = ("+c.count+") WHERE "+c.where, args...)
		changed = int(n)
		return err
	})
	return changed, err
}
