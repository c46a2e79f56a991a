// Package site is what the platform does, whoever asks: pages, the API and tasks
// call it. It shows public add-ons only, remembers answers in the cache, and
// goes on with less when a backend is down: a database search for the index, a
// stale copy for the database.
package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/file"
	"addons/server/metrics"
	"addons/server/search"
	"addons/server/store"
	"addons/server/task"
)

// The families of what is remembered. Each value notes the GUIDs of the add-ons that
// it is made of (cache.Uses), so that a change of one is seen once the process has
// heard of it: within cache.Behind, or with its index task where that runs. The sums that
// the nightly task writes tell of no change: they are seen after TTL and Revalidate. A
// database that is down is not seen for as long as Stale says.
var (
	addonFamily    = cache.Family{Name: "addon", TTL: 5 * time.Minute, Negative: 30 * time.Second, Stale: 24 * time.Hour}
	versionsFamily = cache.Family{Name: "versions", TTL: 5 * time.Minute, Stale: 24 * time.Hour}
	ratingsFamily  = cache.Family{Name: "ratings", TTL: time.Minute, Stale: 24 * time.Hour}
	listFamily     = cache.Family{Name: "list", TTL: time.Minute, Revalidate: time.Minute, Stale: 24 * time.Hour}
	homeFamily     = cache.Family{Name: "home", TTL: time.Minute, Revalidate: time.Minute, Stale: 24 * time.Hour}
	menuFamily     = cache.Family{Name: "menu", TTL: 10 * time.Minute, Revalidate: time.Minute, Negative: 30 * time.Second, Stale: 24 * time.Hour}
	// A search is of the index as it was: its task says when that has changed, and the engine
	// may take a second more to show it. So its values agree with none that are read now.
	searchFamily = cache.Family{Name: "search", TTL: time.Minute, Revalidate: time.Minute, Stale: 24 * time.Hour, Dated: true}
	fileFamily   = cache.Family{Name: "file", TTL: time.Minute, Negative: 30 * time.Second, Stale: 24 * time.Hour}
)

// families lists them all, so that their series exist from the start.
func families() []cache.Family {
	return []cache.Family{addonFamily, versionsFamily, ratingsFamily, listFamily, homeFamily, menuFamily, searchFamily, fileFamily}
}

// Deps is what a Site is made of. All are needed.
type Deps struct {
	DB       *store.DB
	Cache    *cache.Cache
	Index    *search.Index
	Files    *file.Store
	Queue    *task.Queue
	Log      *slog.Logger
	Registry *metrics.Registry
}

// Site is safe for concurrent use. Close it before its Deps.
type Site struct {
	Deps
	index     *task.Task[indexed]
	aggregate *task.Task[aggregated]
	downloads *downloads
	fallbacks *metrics.Counter
}

// New returns a Site and registers its task kinds on the queue.
func New(d Deps) *Site {
	s := &Site{Deps: d, fallbacks: d.Registry.Counter(metrics.Desc{
		Name: "addons_search_fallback_total",
		Help: "Searches that the database answered because the search engine was down.",
		Keys: []string{"search.fallback"},
	}).With()}
	for _, f := range families() {
		d.Cache.Family(f)
	}
	s.tasks()
	s.downloads = countDownloads(d.DB, d.Registry, d.Log)
	return s
}

// Close writes down the downloads that are counted and not yet written. It may
// be called again.
func (s *Site) Close() error { return s.downloads.close() }

// found is what a reference leads to; nil is remembered too, so that a link to
// nothing does not cost a query each time it is followed.
type found struct {
	Addon  *catalog.Addon
	Hidden catalog.Status // why it may not be shown, "" if there is none
}

// Empty makes nothing found a negative entry of the cache.
func (f found) Empty() bool { return f.Addon == nil && f.Hidden == "" }

// Addon returns the public add-on of an id, slug or GUID; else catalog.ErrNotFound,
// as *Hidden if there is one that is not public.
func (s *Site) Addon(ctx context.Context, ref string) (*catalog.Addon, error) {
	if ref == "" || len(ref) > maxRef {
		return nil, fmt.Errorf("add-on: %w", catalog.ErrNotFound)
	}
	f, err := cache.Fetch(ctx, s.Cache, addonFamily, ref, func(ctx context.Context) (found, error) {
		a, err := s.DB.Addon(ctx, ref)
		if err == nil {
			uses(ctx, a)
		}
		switch {
		case errors.Is(err, catalog.ErrNotFound), err == nil && a.Status == catalog.Deleted:
			cache.UsesAny(ctx)
			return found{}, nil
		case err == nil && !shown(a):
			return found{Hidden: a.Status}, nil
		}
		return found{Addon: a}, err
	})
	if err != nil {
		return nil, fmt.Errorf("add-on %q: %w", ref, err)
	}
	switch {
	case f.Hidden != "":
		return nil, &Hidden{ref, f.Hidden}
	case f.Addon == nil:
		return nil, fmt.Errorf("add-on %q: %w", ref, catalog.ErrNotFound)
	}
	return f.Addon, nil
}

// maxRef: the longest GUID that the store takes, and more than any slug.
const maxRef = 255

// shown says whether an add-on is anyone's to see.
func shown(a *catalog.Addon) bool { return a.Status == catalog.Public && a.Current != nil }

// history is a page of an add-on's versions.
type history struct {
	Versions []*catalog.Version
	Total    int
}

// Versions returns a page of an add-on's listed versions, newest first.
func (s *Site) Versions(ctx context.Context, ref string, limit, offset int) (*catalog.Addon, []*catalog.Version, int, error) {
	a, err := s.Addon(ctx, ref)
	if err != nil {
		return nil, nil, 0, err
	}
	key := fmt.Sprintf("%d/%d/%d", a.ID, limit, offset)
	h, err := cache.Fetch(ctx, s.Cache, versionsFamily, key, func(ctx context.Context) (history, error) {
		uses(ctx, a)
		versions, total, err := s.DB.Versions(ctx, a.ID, limit, offset)
		return history{versions, total}, err
	})
	if err != nil {
		return nil, nil, 0, fmt.Errorf("versions of %q: %w", ref, err)
	}
	return a, h.Versions, h.Total, nil
}

// Version returns one version of an add-on by id, or by number with "v" before it.
func (s *Site) Version(ctx context.Context, ref, version string) (*catalog.Addon, *catalog.Version, error) {
	a, err := s.Addon(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	v, err := s.DB.Version(ctx, a.ID, version)
	if err != nil {
		return nil, nil, fmt.Errorf("version %q of %q: %w", version, ref, err)
	}
	return a, v, nil
}

// opinions is a page of an add-on's ratings.
type opinions struct {
	Ratings []catalog.Rating
	Total   int
}

// Ratings returns a page of an add-on's ratings, newest first.
func (s *Site) Ratings(ctx context.Context, a *catalog.Addon, limit, offset int) ([]catalog.Rating, int, error) {
	key := fmt.Sprintf("%d/%d/%d", a.ID, limit, offset)
	o, err := cache.Fetch(ctx, s.Cache, ratingsFamily, key, func(ctx context.Context) (opinions, error) {
		uses(ctx, a)
		ratings, total, err := s.DB.Ratings(ctx, a.ID, limit, offset)
		return opinions{ratings, total}, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("ratings of %q: %w", a.Slug, err)
	}
	return o.Ratings, o.Total, nil
}

// Categories returns the whole taxonomy, which the store has at hand.
func (s *Site) Categories(ctx context.Context) ([]catalog.Category, error) {
	return s.DB.Categories(ctx)
}

// Tags returns the tags that most add-ons carry.
func (s *Site) Tags(ctx context.Context, limit int) ([]catalog.Tag, error) {
	all, err := cache.Fetch(ctx, s.Cache, menuFamily, "tags/"+strconv.Itoa(limit), func(ctx context.Context) ([]catalog.Tag, error) {
		cache.UsesAny(ctx)
		return s.DB.Tags(ctx, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("tags: %w", err)
	}
	return all, nil
}

// Counts says how many public add-ons of each type there are.
func (s *Site) Counts(ctx context.Context) (map[catalog.Type]int, error) {
	counts, err := cache.Fetch(ctx, s.Cache, menuFamily, "counts", func(ctx context.Context) (map[catalog.Type]int, error) {
		cache.UsesAny(ctx)
		return s.DB.Counts(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("counts: %w", err)
	}
	return counts, nil
}

// Page is a part of a list, and how long the whole is.
type Page struct {
	Addons []*catalog.Addon
	Total  int
}

// Browse lists add-ons from the database.
func (s *Site) Browse(ctx context.Context, b store.Browse) (Page, error) {
	// Quoted, because a tag or an author may be anything: no two lists share a key.
	key := fmt.Sprintf("%q %q %q %q %q %t %q %d %d %q", b.Type, b.Category, b.App, b.Tag, b.Author, b.Promoted,
		b.Sort, b.Limit, b.Offset, b.Text)
	page, err := cache.Fetch(ctx, s.Cache, listFamily, key, func(ctx context.Context) (Page, error) {
		return s.list(ctx, b)
	})
	if err != nil {
		return Page{}, fmt.Errorf("list: %w", err)
	}
	return page, nil
}

func (s *Site) list(ctx context.Context, b store.Browse) (Page, error) {
	cache.UsesAny(ctx)
	total, err := s.total(ctx, b)
	if err != nil {
		return Page{}, err
	}
	ids, err := s.DB.BrowsePage(ctx, b, total)
	if err != nil {
		return Page{}, err
	}
	addons, err := s.DB.Addons(ctx, ids)
	uses(ctx, addons...)
	return Page{addons, total.Addons}, err
}

// total is remembered for all pages and sorts of a list, and longer than these: what
// the store has to count (store.BrowseTotal) takes longer than a page.
func (s *Site) total(ctx context.Context, b store.Browse) (store.Total, error) {
	key := fmt.Sprintf("total/%q %q %q %q %q %t %q", b.Type, b.Category, b.App, b.Tag, b.Author, b.Promoted, b.Text)
	return cache.Fetch(ctx, s.Cache, menuFamily, key, func(ctx context.Context) (store.Total, error) {
		cache.UsesAny(ctx)
		return s.DB.BrowseTotal(ctx, b)
	})
}

// Home is what the front page shows; no add-on is in two of its lists.
type Home struct {
	Recommended []*catalog.Addon
	Popular     []*catalog.Addon
	Rising      []*catalog.Addon
	New         []*catalog.Addon
	Themes      []*catalog.Addon
	Counts      map[catalog.Type]int
}

// shelf is how many add-ons each list of Home has at the most: two or three rows.
const shelf = 6

// Home returns the front page's lists for an application (App.Slug). The add-ons
// are cut down to what a list shows: they have no description and, themes apart,
// no previews.
func (s *Site) Home(ctx context.Context, app string) (Home, error) {
	h, err := cache.Fetch(ctx, s.Cache, homeFamily, app, func(ctx context.Context) (Home, error) { return s.home(ctx, app) })
	if err != nil {
		return Home{}, fmt.Errorf("home: %w", err)
	}
	return h, nil
}

func (s *Site) home(ctx context.Context, app string) (Home, error) {
	cache.UsesAny(ctx)
	var h Home
	total, err := s.total(ctx, store.Browse{App: app})
	if err != nil {
		return Home{}, err
	}
	shelves := []struct {
		into *[]*catalog.Addon
		of   store.Browse
	}{
		{&h.Recommended, store.Browse{Type: string(catalog.Extension), Promoted: true, Sort: "recommended"}},
		{&h.Popular, store.Browse{Type: string(catalog.Extension), Sort: "users"}},
		{&h.Rising, store.Browse{Type: string(catalog.Extension), Sort: "hotness"}},
		{&h.New, store.Browse{Type: string(catalog.Extension), Sort: "created"}},
		{&h.Themes, store.Browse{Type: string(catalog.Theme), Sort: "users"}},
	}
	var all []int64
	on := map[int64]int{} // which shelf
	for i, list := range shelves {
		if total.Of(catalog.Type(list.of.Type)) == 0 {
			continue
		}
		// As many more as the lists before may have taken.
		list.of.App, list.of.Limit = app, (i+1)*shelf
		ids, err := s.DB.BrowseType(ctx, list.of)
		if err != nil {
			return Home{}, err
		}
		ids = slices.DeleteFunc(ids, func(id int64) bool { _, taken := on[id]; return taken })
		for _, id := range ids[:min(len(ids), shelf)] {
			on[id] = i
			all = append(all, id)
		}
	}
	addons, err := s.DB.Addons(ctx, all)
	if err != nil {
		return Home{}, err
	}
	uses(ctx, addons...)
	for _, a := range trimmed(addons) {
		to := shelves[on[a.ID]].into
		*to = append(*to, a)
	}
	h.Counts, err = s.DB.Counts(ctx)
	return h, err
}

// trimmed leaves out the long texts that no list shows and every cache would carry.
func trimmed(addons []*catalog.Addon) []*catalog.Addon {
	short := make([]*catalog.Addon, len(addons))
	for i, a := range addons {
		s := *a
		s.Description, s.DeveloperComments = nil, nil
		if s.Type != catalog.Theme {
			s.Previews = nil
		}
		if s.Current != nil {
			v := *s.Current
			v.ReleaseNotes, v.License.Text = nil, ""
			s.Current = &v
		}
		short[i] = &s
	}
	return short
}

// uses notes that a value of the cache is made of the add-ons.
func uses(ctx context.Context, addons ...*catalog.Addon) {
	for _, a := range addons {
		cache.Uses(ctx, a.GUID)
	}
}

// Follow has the cache follow what processes commit, until ctx is done.
func (s *Site) Follow(ctx context.Context) error { return s.Cache.Follow(ctx, s.DB) }
