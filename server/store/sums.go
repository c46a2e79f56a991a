package store

import (
	"context"
	"math"
)

// sums are what an import said of an add-on beyond the rows that are here: AMO's
// answers give the sum of a thousand ratings and the text of ten. What pages show
// is these and our own rows together.
type sums struct {
	Ratings   ratingSums `json:"ratings"`
	Downloads int        `json:"downloads"`
	Hotness   float64    `json:"hotness"`
}

type ratingSums struct {
	Count   int     `json:"count"`
	Stars   float64 `json:"stars"` // of all of them together
	Texts   int     `json:"texts"`
	Grouped [5]int  `json:"grouped"`
}

func (r ratingSums) plus(s ratingSums) ratingSums {
	r.Count += s.Count
	r.Stars += s.Stars
	r.Texts += s.Texts
	for i := range r.Grouped {
		r.Grouped[i] += s.Grouped[i]
	}
	return r
}

// beyond is what is left of r without s, never less than nothing.
func (r ratingSums) beyond(s ratingSums) ratingSums {
	left := ratingSums{Count: max(0, r.Count-s.Count), Texts: max(0, r.Texts-s.Texts)}
	if left.Count > 0 {
		// Between 1 and 5 stars each, whatever was rounded.
		left.Stars = min(max(r.Stars-s.Stars, float64(left.Count)), 5*float64(left.Count))
	}
	for i := range left.Grouped {
		left.Grouped[i] = max(0, r.Grouped[i]-s.Grouped[i])
	}
	return left
}

// add adds n ratings of one score.
func (r *ratingSums) add(score, n, texts int) {
	r.Count += n
	r.Stars += float64(score * n)
	r.Texts += texts
	r.Grouped[score-1] += n
}

// average is rounded to AMO's four digits.
func (r ratingSums) average() float64 {
	if r.Count == 0 {
		return 0
	}
	return round(r.Stars / float64(r.Count))
}

func round(f float64) float64 { return math.Round(f*1e4) / 1e4 }

// prior is what an add-on without ratings is taken to be rated: it keeps one
// enthusiast from leading the list.
type prior struct {
	mean   float64
	weight float64 // ratings
}

// startPrior holds until Aggregate knows the site's own.
func startPrior() prior { return prior{mean: 3.5, weight: 10} }

func (p prior) bayesian(r ratingSums) float64 {
	if r.Count == 0 {
		return 0
	}
	return round((p.mean*p.weight + r.Stars) / (p.weight + float64(r.Count)))
}

// saveSums finds out what the import knows beyond the rows, and writes the sums.
func (s *saving) saveSums(ctx context.Context, h handle, id int64, stored storedAddon) error {
	imported := stored.sums
	given := s.addon.Ratings
	bayesian, of := stored.ratings.Bayesian, stored.ratings.Count
	// What Addon returned isn't news when it comes back.
	if given.Count > 0 && (given.Count != stored.ratings.Count || given.Average != stored.ratings.Average) {
		all := ratingSums{Count: given.Count, Stars: given.Average * float64(given.Count), Texts: given.TextCount, Grouped: given.Grouped}
		imported.Ratings = all.beyond(s.ratingSums())
		bayesian, of = given.Bayesian, given.Count
	}
	downloads, hotness := stored.weekly, stored.hotness
	if n := s.addon.WeeklyDownloads; n != 0 && n != downloads {
		downloads, imported.Downloads = n, n
	}
	if f := s.addon.Hotness; f != 0 && f != hotness {
		hotness, imported.Hotness = f, f
	}
	rows, err := h.ratingSums(ctx, id)
	if err != nil {
		return err
	}
	total := imported.Ratings.plus(rows)
	if total.Count != of || bayesian == 0 {
		bayesian = startPrior().bayesian(total)
	}
	return h.writeSums(ctx, qSaveSums, id, standing{total, bayesian, downloads, hotness}, &imported)
}

// standing is what the sums of an add-on come to.
type standing struct {
	ratings   ratingSums
	bayesian  float64
	downloads int
	hotness   float64
}

// writeSums writes the sums; imported nil leaves those as they are.
func (h handle) writeSums(ctx context.Context, q query, id int64, s standing, imported *sums) error {
	text := `UPDATE addons SET rating_average = ?, rating_bayesian = ?, rating_count = ?, rating_texts = ?, rating_grouped = ?, downloads = ?, hotness = ?`
	args := []any{s.ratings.average(), s.bayesian, s.ratings.Count, s.ratings.Texts, asJSON(s.ratings.Grouped), s.downloads, s.hotness}
	if imported != nil {
		text += ", imported = ?"
		args = append(args, asJSON(imported))
	}
	_, err := h.exec(ctx, q, text+" WHERE id = ?", append(args, id)...)
	return err
}

// ratingSums are those of the import's own ratings.
func (s *saving) ratingSums() ratingSums {
	var sum ratingSums
	for _, r := range s.ratings {
		texts := 0
		if r.Body != "" {
			texts = 1
		}
		sum.add(r.Score, 1, texts)
	}
	return sum
}

// ratingSums are those of the add-on's rows.
func (h handle) ratingSums(ctx context.Context, id int64) (ratingSums, error) {
	var sum ratingSums
	err := h.rows(ctx, qSaveSums, "SELECT score, COUNT(*), SUM(has_body) FROM ratings WHERE addon_id = ? GROUP BY score", []any{id}, func(r row) error {
		var score, n, texts int
		err := r.Scan(&score, &n, &texts)
		if err == nil {
			sum.add(score, n, texts)
		}
		return err
	})
	return sum, err
}
