package store

import (
	"context"
	"math"
	"strings"
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

// Prior is what an add-on without ratings is taken to be rated: it keeps one
// enthusiast from leading the list.
type Prior struct {
	Mean   float64 // stars
	Weight float64 // ratings
}

// startPrior holds until Aggregate knows the site's own.
func startPrior() Prior { return Prior{Mean: 3.5, Weight: 10} }

// Bayesian is the average of n ratings with so many stars in all, and the prior's; 0 if n is 0.
func (p Prior) Bayesian(n int, stars float64) float64 {
	if n == 0 {
		return 0
	}
	return round((p.Mean*p.Weight + stars) / (p.Weight + float64(n)))
}

// PriorSum is a site's ratings on the way to its Prior.
type PriorSum struct {
	addons, ratings int
	stars           float64
}

// Add counts an add-on with n > 0 ratings.
func (s *PriorSum) Add(n int, average float64) {
	s.addons++
	s.ratings += n
	s.stars += float64(average * float64(n)) // rounded by itself on every processor
}

// Prior is the mean of all ratings, weighing as much as the mean add-on's.
func (s PriorSum) Prior() Prior {
	if s.addons == 0 {
		return startPrior()
	}
	return Prior{Mean: s.stars / float64(s.ratings), Weight: float64(s.ratings) / float64(s.addons)}
}

// saveSums finds out what the import knows beyond the rows, and writes the sums.
func (s *saving) saveSums(ctx context.Context, h handle, id int64, stored storedAddon) error {
	rows, err := h.ratingSums(ctx, id)
	if err != nil {
		return err
	}
	now, imported := s.standing(stored, rows)
	return h.writeSums(ctx, qSaveSums, id, now, &imported)
}

// standing is what the import makes of the sums; rows are those of the add-on's
// ratings that are here.
func (s *saving) standing(stored storedAddon, rows ratingSums) (standing, sums) {
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
	total := imported.Ratings.plus(rows)
	if total.Count != of || bayesian == 0 {
		bayesian = startPrior().Bayesian(total.Count, total.Stars)
	}
	return standing{total, bayesian, downloads, hotness}, imported
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
	all := s.columns()
	if imported != nil {
		all = append(all, column{"imported", asJSON(imported)})
	}
	names, args := unzip(all)
	_, err := h.exec(ctx, q, "UPDATE addons SET "+strings.Join(names, " = ?, ")+" = ? WHERE id = ?", append(args, id)...)
	return err
}

func (s standing) columns() []column {
	return []column{
		{"rating_average", s.ratings.average()},
		{"rating_bayesian", s.bayesian},
		{"rating_count", s.ratings.Count},
		{"rating_texts", s.ratings.Texts},
		{"rating_grouped", asJSON(s.ratings.Grouped)},
		{"downloads", s.downloads},
		{"hotness", s.hotness},
	}
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
