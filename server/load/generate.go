package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"

	"addons/server/catalog"
	"addons/server/store"
)

// MaxGenerate bounds a generated catalogue: ids are the add-on's times idsEach,
// which the store takes up to 2⁴⁰.
const MaxGenerate = 100_000_000

// generateChunk is how many add-ons are made at a time: about 8 MB.
const generateChunk = 500

// recipeVersion changes whenever the same seed gives other rows.
const recipeVersion = 1

// Generation is a catalogue of any size.
type Generation struct {
	Seed     uint64
	Count    int // add-ons
	Packages int // how many of the most popular have installable packages and images
}

func (g Generation) valid() error {
	switch {
	case g.Count < 1 || g.Count > MaxGenerate:
		return fmt.Errorf("a catalogue of %d add-ons: it may have 1 to %d: %w", g.Count, MaxGenerate, catalog.ErrInvalid)
	case g.Packages < 0 || g.Packages > g.Count:
		return fmt.Errorf("packages for %d of %d add-ons: %w", g.Packages, g.Count, catalog.ErrInvalid)
	}
	return nil
}

// recipe tells one generated catalogue from another.
func (g Generation) recipe() string {
	return fmt.Sprintf("--generate %d --seed %d --packages %d (release %d)", g.Count, g.Seed, g.Packages, recipeVersion)
}

// Generated is what Generate did.
type Generated struct {
	Addons int // that are there now
	Before int // of them, those that were there already
	Rows   int64
}

// Generate fills an empty database with a catalogue, or goes on with the same one
// where it stopped. Its rows depend on g alone. Memory is a few chunks of add-ons,
// whatever their number. Nothing is put into the search index.
func (l *Loader) Generate(ctx context.Context, g Generation, progress func(done, total int, name string)) (done Generated, err error) {
	if err := g.valid(); err != nil {
		return done, err
	}
	m, err := newMint(g)
	if err != nil {
		return done, err
	}
	bulk, err := l.db.Bulk(ctx, g.recipe())
	if err != nil {
		return done, err
	}
	defer func() {
		if closing := bulk.Close(context.WithoutCancel(ctx)); err == nil {
			err = closing
		}
	}()
	done.Before = bulk.Done()
	prepare := func(ctx context.Context, from int) (*store.Prepared, error) { return l.chunk(ctx, m, from) }
	err = inOrder(ctx, starts(bulk.Done(), g.Count), generateWorkers, prepare, func(p *store.Prepared) error {
		if err := bulk.Write(ctx, p); err != nil {
			return err
		}
		if progress != nil {
			progress(bulk.Done(), g.Count, "")
		}
		return nil
	})
	if err == nil {
		err = bulk.Finish(ctx)
	}
	done.Addons, done.Rows = bulk.Done(), bulk.Rows()
	if err != nil {
		return done, fmt.Errorf("generated catalogue, %d of %d add-ons are there and the same command goes on with it: %w", done.Addons, g.Count, err)
	}
	return done, nil
}

// generateWorkers is how many chunks are prepared at a time: one is enough to keep
// a database busy, and each holds its rows.
const generateWorkers = 2

// starts yields where each chunk begins.
func starts(from, count int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for ; from < count; from += generateChunk {
			if !yield(from) {
				return
			}
		}
	}
}

// chunk makes the add-ons from one on, as rows.
func (l *Loader) chunk(ctx context.Context, m *mint, from int) (*store.Prepared, error) {
	imports := make([]store.Import, 0, generateChunk)
	for i := from; i < min(from+generateChunk, m.Count); i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		made, err := m.make(i)
		if err != nil {
			return nil, err
		}
		in := &store.Import{Addon: made.addon, Ratings: made.ratings}
		if made.packed {
			in, err = l.store(ctx, made)
		} else {
			for _, v := range made.versions {
				in.Versions = append(in.Versions, v.version)
			}
		}
		if err != nil {
			return nil, err
		}
		number(in, i)
		imports = append(imports, *in)
	}
	return store.Prepare(imports)
}

// idsEach is how many ids of a kind an add-on has to itself.
const idsEach = 256

// number gives everything that belongs to the i-th add-on its id. They have gaps,
// so that each add-on's depend on nothing but its place.
func number(in *store.Import, i int) {
	in.Addon.ID = int64(i) + 1
	first := int64(i)*idsEach + 1
	for n := range in.Addon.Previews {
		in.Addon.Previews[n].ID = first + int64(n)
	}
	for n, v := range in.Versions {
		v.ID = first + int64(n)
		v.File.ID, v.File.VersionID = v.ID, v.ID
	}
	for n := range in.Ratings {
		in.Ratings[n].ID = first + int64(n)
	}
}

// mint makes a generated catalogue's add-ons, in any order. It uses whole numbers
// where the result is kept, because processors differ in the last bit of others.
// It is safe for concurrent use.
type mint struct {
	Generation
	book   phrasebook
	topics []topic
	prior  store.Prior
	names  nameparts
	stride uint64 // ranks go through the add-ons in steps of it
}

// nameparts are the lists that names are made of.
type nameparts struct{ agents, moods, scenes, endings, first, last []string }

func newMint(g Generation) (*mint, error) {
	book, err := readPhrases()
	if err != nil {
		return nil, err
	}
	m := &mint{
		Generation: g, book: book, topics: topics(),
		names:  nameparts{agents(), moods(), scenes(), endings(), firstNames(), lastNames()},
		stride: stride(g.Seed, uint64(g.Count)),
	}
	m.prior = m.sitePrior()
	return m, nil
}

// stride is a step that comes by every one of n before it comes back.
func stride(seed, n uint64) uint64 {
	s := rand.New(rand.NewPCG(seed, 1)).Uint64N(n) | 1
	for gcd(s, n) != 1 {
		s += 2
	}
	return s
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// endings stand behind a name: those of one topic are many.
func endings() []string {
	return []string{"Plus", "Pro", "Lite", "Next", "Again", "for Teams", "for Students", "for Readers", "Mini", "Deluxe", "Reborn", "One", "Extra", "Classic", "Express", "at Home"}
}

// The streams of chance of an add-on: a number that all add-ons of that seed have
// in common is not drawn from the stream that makes the rest.
const (
	chanceOfStanding = 1 << 40
	chanceOfRest     = 1 << 41
)

// stood is how popular an add-on is and what people think of it.
type stood struct {
	rank    int // from 0
	users   int
	weekly  int
	hotness float64
	grouped [5]int // ratings by score
}

// rated is how many ratings there are.
func (s stood) rated() (n, stars int) {
	for i, k := range s.grouped {
		n, stars = n+k, stars+(i+1)*k
	}
	return n, stars
}

// hiding of the i-th: one in 25 is there to be hidden.
func hidingOf(i int) hiding {
	if i%25 != 24 {
		return shown
	}
	return disabled + hiding(i/25)%(hidings-disabled)
}

// mostUsers are those of the most popular add-on, about.
const mostUsers = 8_000_000

// standing draws the i-th add-on's numbers: Zipf's law, the second has half of
// what the first has.
func (m *mint) standing(i int) stood {
	rng := rand.New(rand.NewPCG(m.Seed, chanceOfStanding+uint64(i)))
	s := stood{rank: m.rank(i)}
	s.users = mostUsers * (800 + rng.IntN(401)) / 1000 / (s.rank + 1)
	s.weekly = s.users / (25 + rng.IntN(40))
	s.hotness = float64(rng.IntN(1000)*rng.IntN(1000)/1000) / 1000
	if hidingOf(i) != shown {
		return stood{rank: s.rank}
	}
	n := s.users / (150 + rng.IntN(200))
	if s.users < 300 && rng.IntN(4) == 0 {
		n = 1 + rng.IntN(3) // even the unknown have a friend
	}
	share := sharesOf(rng.IntN(len(tastes)))
	for score := range s.grouped {
		s.grouped[score] = n * share[score] / 100
	}
	s.grouped[4] += n - sum(s.grouped)
	return s
}

// tastes are how many of a hundred ratings give 1 to 5 stars, for bad add-ons to good ones.
var tastes = [...][5]int{{38, 17, 15, 14, 16}, {20, 10, 14, 22, 34}, {12, 6, 9, 21, 52}, {7, 3, 5, 16, 69}, {5, 2, 3, 12, 78}, {3, 1, 2, 9, 85}}

func sharesOf(taste int) [5]int { return tastes[taste] }

func sum(list [5]int) (n int) {
	for _, k := range list {
		n += k
	}
	return n
}

// rank goes through all ranks in an order that only looks like chance.
func (m *mint) rank(i int) int {
	n := uint64(m.Count)
	return int((uint64(i)*m.stride + m.Seed%n) % n)
}

// sitePrior is what store.DB.Aggregate will find the site's mean to be.
func (m *mint) sitePrior() store.Prior {
	var p store.PriorSum
	for i := range m.Count {
		if n, stars := m.standing(i).rated(); n > 0 {
			p.Add(n, average(n, stars))
		}
	}
	return p.Prior()
}

// average has AMO's four digits.
func average(n, stars int) float64 { return math.Round(float64(stars)/float64(n)*1e4) / 1e4 }

// make makes the i-th add-on, without ids.
func (m *mint) make(i int) (*made, error) {
	s := m.standing(i)
	rng := rand.New(rand.NewPCG(m.Seed, chanceOfRest+uint64(i)))
	d := &draft{rng: rng, book: m.book, rank: s.rank, hidden: hidingOf(i), topics: m.topics, least: 1, bare: s.rank >= m.Packages}
	m.kind(d, i)
	d.slug = fmt.Sprintf("%s-%d", slug(d.brand), i+1)
	made := &made{addon: &catalog.Addon{
		GUID: guid(d.slug, i, rng), Slug: d.slug, Type: d.kind, Status: catalog.Public,
		DefaultLocale: source, TargetLocale: d.tongue.locale, Authors: m.authors(rng),
	}}
	err := d.fill(made, func(a *catalog.Addon) {
		a.AverageDailyUsers, a.WeeklyDownloads, a.Hotness = s.users, s.weekly, s.hotness
		a.Promoted = promotedBy(s.rank)
	})
	if err != nil {
		return nil, err
	}
	m.rate(d, made, s)
	return made, nil
}

// kind deals out types as the sample does.
func (m *mint) kind(d *draft, i int) {
	all := tongues()
	switch {
	case i%20 == 9 && i/20 < len(all):
		d.kind, d.tongue = catalog.Dictionary, all[i/20]
		d.brand = d.tongue.english + " Dictionary"
	case i%20 == 14 && i/20 < len(all):
		d.kind, d.tongue = catalog.Language, all[i/20]
		d.brand = "Language Pack: " + d.tongue.english
	case i%4 == 2:
		d.kind, d.brand = catalog.Theme, pick(d.rng, m.names.moods)+" "+pick(d.rng, m.names.scenes)
	default:
		d.kind, d.topic = catalog.Extension, pick(d.rng, m.topics)
		d.brand = m.extension(d)
	}
}

// extension is a name that others may have too, as on AMO; the slug tells them apart.
func (m *mint) extension(d *draft) string {
	root, agent := pick(d.rng, d.topic.roots), pick(d.rng, m.names.agents)
	name := root + " " + agent
	switch d.rng.IntN(4) {
	case 0:
		name = root + agent
	case 1:
		name = pick(d.rng, m.names.moods) + " " + name
	}
	if d.rng.IntN(2) == 0 {
		name += " " + pick(d.rng, m.names.endings)
	}
	return name
}

// guid has one of the two shapes that GUIDs have.
func guid(slug string, i int, rng *rand.Rand) string {
	if i%2 == 0 {
		return slug + "@generated.example"
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], rng.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("{%x-%x-%x-%x-%x}", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// authors are one or, seldom, two of half as many as there are add-ons. The lower
// of two draws: some have made much, most have made little.
func (m *mint) authors(rng *rand.Rand) []catalog.Author {
	people := max(1, m.Count/2)
	list := []catalog.Author{m.author(min(rng.IntN(people), rng.IntN(people), rng.IntN(people)))}
	if rng.IntN(8) == 0 {
		if second := m.author(rng.IntN(people)); second.ID != list[0].ID {
			list = append(list, second)
		}
	}
	return list
}

func (m *mint) author(k int) catalog.Author {
	name := m.names.first[k%len(m.names.first)] + " " + m.names.last[k/len(m.names.first)%len(m.names.last)]
	a := catalog.Author{ID: int64(k) + 1, Name: name, Username: fmt.Sprintf("%s-%d", slug(name), k+1)}
	if k%2 == 0 {
		a.URL = "https://example.org/~" + a.Username
	}
	return a
}

// promotedBy: a few hundred at the top.
func promotedBy(rank int) []string {
	switch {
	case rank < 100 && rank%4 != 3:
		return []string{"recommended"}
	case rank < 100:
		return []string{"line"}
	case rank < 2000 && rank%10 == 0:
		return []string{"notable"}
	case rank < 2000 && rank%40 == 5:
		return []string{"spotlight"}
	}
	return nil
}

// maxOpinions is how many of an add-on's ratings are rows: the sums tell of the rest.
const maxOpinions = 25

// rate gives an add-on its ratings' sums and the rows of a few.
func (m *mint) rate(d *draft, made *made, s stood) {
	n, stars := s.rated()
	versions := made.offered()
	if n == 0 {
		return
	}
	a := made.addon
	left := s.grouped
	if len(versions) > 0 {
		for k := range min(n, maxOpinions, 1+s.users/2000) {
			r := d.rating(versions, draw(d.rng, &left), d.locales)
			r.UserName = fmt.Sprintf("%s %d", r.UserName, k+1)
			made.ratings = append(made.ratings, r)
		}
	}
	texts := 0
	for _, r := range made.ratings {
		if r.Body != "" {
			texts++
		}
	}
	a.Ratings = catalog.Ratings{
		Average: average(n, stars), Count: n, Grouped: s.grouped,
		TextCount: texts + (n-len(made.ratings))/3,
	}
	a.Ratings.Bayesian = m.prior.Bayesian(n, a.Ratings.Average*float64(n))
	sortRatings(made.ratings)
}

// draw takes one of those that are left, and returns its score.
func draw(rng *rand.Rand, left *[5]int) int {
	at := rng.IntN(sum(*left))
	for score := range left {
		if at -= left[score]; at < 0 {
			left[score]--
			return score + 1
		}
	}
	panic("load: nothing left to draw")
}

// unpacked gives a file that is not made the size and hash that it might have.
func unpacked(f *catalog.File, guid string, rng *rand.Rand) {
	h := sha256.New()
	io.WriteString(h, guid+"\n"+f.Name)
	f.Hash = "sha256:" + hex.EncodeToString(h.Sum(nil))
	f.Size = int64(4_000 << rng.IntN(8)) // 4 kB to half a megabyte, and some more
	f.Size += rng.Int64N(f.Size)
}
