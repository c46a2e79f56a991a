package site_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/file"
	"addons/server/metrics"
	"addons/server/search"
	"addons/server/site"
	"addons/server/store"
	"addons/server/task"
)

// place is a Site with what it stands on.
type place struct {
	*site.Site
	db    *store.DB
	queue *task.Queue
	index *search.Index
	reg   *metrics.Registry
}

// open opens a Site on embedded backends; index is the search engine's URL.
func open(t *testing.T, index string) *place {
	t.Helper()
	reg := metrics.New(nil)
	log := slog.New(slog.DiscardHandler)
	p := &place{reg: reg}
	p.db = must(store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "addons.db"), reg, log))(t)
	t.Cleanup(func() { p.db.Close() })
	memory := must(cache.Open("memory:", reg, log))(t)
	t.Cleanup(func() { memory.Close() })
	p.index = must(search.Open(index, reg, log))(t)
	t.Cleanup(func() { p.index.Close() })
	p.queue = must(task.Open(t.Context(), "database:", p.db, reg, nil, log))(t)
	t.Cleanup(func() { p.queue.Close() })
	p.Site = site.New(site.Deps{DB: p.db, Cache: memory, Index: p.index, Queue: p.queue, Log: log, Registry: reg,
		Files: must(file.Open("file:"+t.TempDir(), reg))(t)})
	t.Cleanup(func() { p.Close() })
	return p
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var day = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// clock is a public add-on with one version.
func clock() store.Import {
	return store.Import{
		Addon: &catalog.Addon{
			GUID: "clock@example.org", Slug: "clock", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US",
			Name: catalog.Text{"en-US": "Wall Clock"}, Summary: catalog.Text{"en-US": "Shows the time."},
			Description: catalog.Text{"en-US": "At length."}, Created: day, LastUpdated: day,
		},
		Versions: []*catalog.Version{{
			Number: "1.0", Channel: catalog.Listed, Created: day, Reviewed: day,
			Compatibility: []catalog.Compat{{App: "firefox", Min: "115.0", Max: "*"}},
			File:          catalog.File{Name: "clock-1.0.xpi", URL: "https://example.org/clock.xpi", Status: catalog.Public, Created: day},
		}},
	}
}

// save saves and does the work that follows.
func (p *place) save(t *testing.T, in store.Import) store.Saved {
	t.Helper()
	in.Jobs = p.IndexJobs
	saved := must(p.db.Save(t.Context(), in))(t)
	p.work(t)
	return saved
}

// work runs a worker until one more index task is done.
func (p *place) work(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	stopped := make(chan error, 1)
	want := p.indexed(t) + 1
	go func() { stopped <- p.queue.Run(ctx, 1) }()
	for p.indexed(t) < want {
		if ctx.Err() != nil {
			t.Fatal("the index task was not done")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

// indexed is how many index tasks were done.
func (p *place) indexed(t *testing.T) float64 {
	t.Helper()
	for _, f := range must(p.reg.Prometheus().Gather())(t) {
		for _, m := range f.GetMetric() {
			labels := m.GetLabel()
			if f.GetName() == "addons_task_total" && labels[0].GetValue() == "index" && labels[1].GetValue() == "done" {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// queries is how many queries f makes.
func queries(ctx context.Context, f func(context.Context) error) (int, error) {
	ctx, ledger := metrics.Begin(ctx, "")
	err := f(ctx)
	return ledger.Count("db"), err
}

func TestAChangeIsSeenEverywhereOnceItsTaskIsDone(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	ctx := t.Context()
	sees := func(want bool) {
		t.Helper()
		if _, err := p.Addon(ctx, "clock"); (err == nil) != want || err != nil && !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Addon = %v, want it seen: %t", err, want)
		}
		if r, err := p.Search(ctx, search.Query{Text: "clock", Limit: 5}); err != nil || (r.Total == 1) != want || len(r.Addons) != r.Total {
			t.Errorf("Search = %d found, %v, want it seen: %t", r.Total, err, want)
		}
		if page, err := p.Browse(ctx, store.Browse{Limit: 5}); err != nil || (page.Total == 1) != want {
			t.Errorf("Browse = %d listed, %v, want it seen: %t", page.Total, err, want)
		}
		if h, err := p.Home(ctx, "firefox"); err != nil || (len(h.Popular) == 1) != want {
			t.Errorf("Home = %d popular, %v, want it seen: %t", len(h.Popular), err, want)
		}
	}
	sees(false) // and remembered so
	p.save(t, clock())
	sees(true)
	gone := clock()
	gone.Addon.Status = catalog.Disabled
	p.save(t, gone)
	sees(false)
}

func TestWhatWasAskedIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	saved := p.save(t, clock())
	for name, ask := range map[string]func(context.Context) error{
		"add-on":    func(ctx context.Context) error { _, err := p.Addon(ctx, "clock"); return err },
		"no add-on": func(ctx context.Context) error { _, err := p.Addon(ctx, "nothing"); return ignore(err) },
		"home":      func(ctx context.Context) error { _, err := p.Home(ctx, "firefox"); return err },
		"list":      func(ctx context.Context) error { _, err := p.Browse(ctx, store.Browse{Limit: 5}); return err },
		"versions":  func(ctx context.Context) error { _, _, _, err := p.Versions(ctx, "clock", 5, 0); return err },
		"ratings": func(ctx context.Context) error {
			_, _, err := p.Ratings(ctx, &catalog.Addon{ID: saved.ID, GUID: "clock@example.org"}, 5, 0)
			return err
		},
		"categories": func(ctx context.Context) error { _, err := p.Categories(ctx); return err },
		"tags":       func(ctx context.Context) error { _, err := p.Tags(ctx, 5); return err },
		"counts":     func(ctx context.Context) error { _, err := p.Counts(ctx); return err },
		"search":     func(ctx context.Context) error { _, err := p.SearchOnce(ctx, search.Query{Text: "clock"}); return err },
	} {
		if _, err := queries(t.Context(), ask); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := queries(t.Context(), ask); n != 0 || err != nil {
			t.Errorf("%s, asked again, made %d queries, %v", name, n, err)
		}
	}
}

func TestEveryCacheTellsWhatItsValuesAreMadeOf(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	saved := p.save(t, clock())
	ctx := t.Context()
	a := must(p.Addon(ctx, "clock"))(t)
	_, err := p.Addon(ctx, "nothing")
	if !errors.Is(err, catalog.ErrNotFound) {
		t.Fatal(err)
	}
	must(p.Home(ctx, "firefox"))(t)
	must(p.Tags(ctx, 5))(t)
	must(p.Counts(ctx))(t)
	must(p.Download(ctx, a.Current.File.ID))(t)
	if _, _, _, err := p.Versions(ctx, "clock", 5, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Ratings(ctx, a, 5, 0); err != nil {
		t.Fatal(err)
	}
	must(p.Browse(ctx, store.Browse{Limit: 5}))(t)
	must(p.SearchOnce(ctx, search.Query{Text: "clock"}))(t)
	told := map[string]bool{}
	for _, e := range p.Cache.Events() {
		x := must(p.Cache.Explain(ctx, e.Cache+":"+e.Key))(t)
		for _, c := range x.Copies {
			if c.State == "none" {
				continue
			}
			told[e.Cache] = true
			single := slices.Contains([]string{"versions", "ratings", "search", "file"}, e.Cache) || e.Cache == "addon" && e.Key != "nothing"
			if single && (c.Any || !slices.Equal(c.Objects, []string{"clock@example.org"})) || !single && !c.Any {
				t.Errorf("%s:%s is made of %v, any: %t", e.Cache, e.Key, c.Objects, c.Any)
			}
		}
	}
	for _, r := range p.Cache.Report() {
		if !told[r.Cache] {
			t.Errorf("nothing of %q was looked at, of add-on %d", r.Cache, saved.ID)
		}
	}
}

func TestAChangeOfOneAddOnLeavesWhatIsKnownOfAnother(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	other := clock()
	other.Addon.GUID, other.Addon.Slug = "other@example.org", "other"
	p.save(t, clock())
	p.save(t, other)
	ctx := t.Context()
	look := func(ctx context.Context) error {
		_, _, _, err := p.Versions(ctx, "clock", 5, 0) // and the add-on before
		return err
	}
	if err := look(ctx); err != nil {
		t.Fatal(err)
	}
	other.Addon.Summary = catalog.Text{"en-US": "Another."}
	p.save(t, other)
	if n, err := queries(ctx, look); n != 0 || err != nil {
		t.Errorf("after a change of another add-on %d queries, %v", n, err)
	}
}

func TestListsThatSoundAlikeAreNotTakenForEachOther(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	in := clock()
	in.Addon.Tags = []string{"time/space"}
	p.save(t, in)
	must(p.Browse(t.Context(), store.Browse{Tag: "time", Author: "space/", Limit: 5}))(t) // of which there is none
	if page := must(p.Browse(t.Context(), store.Browse{Tag: "time/space", Limit: 5}))(t); page.Total != 1 {
		t.Errorf("%d add-ons have the tag, want the one that was saved", page.Total)
	}
}

func TestTheFrontPageShowsNothingTwice(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	for i := range 40 {
		in := clock()
		in.Addon.GUID, in.Addon.Slug = fmt.Sprintf("clock-%d@example.org", i), fmt.Sprintf("clock-%d", i)
		in.Addon.AverageDailyUsers = 100 - i
		if i%2 == 0 {
			in.Addon.Promoted = []string{"recommended"}
		}
		must(p.db.Save(t.Context(), in))(t)
	}
	h := must(p.Home(t.Context(), "firefox"))(t)
	seen := map[int64]bool{}
	for _, list := range [][]*catalog.Addon{h.Recommended, h.Popular, h.Rising, h.New} {
		if len(list) != 6 {
			t.Errorf("a list has %d add-ons, want 6", len(list))
		}
		for _, a := range list {
			if seen[a.ID] {
				t.Errorf("%s is in two lists", a.Slug)
			}
			if a.Description != nil {
				t.Errorf("%s carries its description", a.Slug)
			}
			seen[a.ID] = true
		}
	}
}

// ignore is for asking after what is not there.
func ignore(err error) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return nil
	}
	return err
}

func TestTheIndexGoesOnWithoutTheCache(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	down := must(cache.Open("memcache://127.0.0.1:1", metrics.New(nil), slog.New(slog.DiscardHandler)))(t)
	t.Cleanup(func() { down.Close() })
	p.Cache = down
	p.save(t, clock())
	if r, err := p.Search(t.Context(), search.Query{Text: "clock"}); err != nil || r.Total != 1 {
		t.Errorf("after the index task: %+v, %v", r, err)
	}
	if err := p.Reindex(t.Context(), nil); err != nil {
		t.Errorf("reindex: %v", err)
	}
}

func TestSearchGoesOnWithoutTheSearchEngine(t *testing.T) {
	t.Parallel()
	p := open(t, "elasticsearch://127.0.0.1:1/addons")
	must(p.db.Save(t.Context(), clock()))(t)
	r, err := p.Search(t.Context(), search.Query{Text: "clock", Types: []string{"extension"}, App: "firefox", Sort: []string{"relevance", "users"}, Limit: 5})
	if err != nil || !r.Fallback || r.Total != 1 || len(r.Addons) != 1 {
		t.Errorf("Search = %+v, %v, want the one add-on from the database", r, err)
	}
	r, err = p.Complete(t.Context(), "wall", search.Query{Limit: 5})
	if err != nil || !r.Fallback || r.Total != 1 {
		t.Errorf("Complete = %+v, %v, want the one add-on from the database", r, err)
	}
	p.db.Close()
	if _, err := p.Search(t.Context(), search.Query{Text: "other"}); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("without a database either, Search = %v, want unavailable", err)
	}
}

func TestReindexBringsInAndTakesOut(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	ctx := t.Context()
	hidden := clock()
	hidden.Addon.GUID, hidden.Addon.Slug, hidden.Addon.Status = "hidden@example.org", "hidden", catalog.Disabled
	saved := must(p.db.Save(ctx, hidden))(t)
	if err := p.index.Put(ctx, search.NewDoc(&catalog.Addon{ID: saved.ID, Status: catalog.Public, Name: catalog.Text{"en-US": "Clock"}})); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		in := clock()
		in.Addon.GUID, in.Addon.Slug = fmt.Sprintf("clock-%d@example.org", i), fmt.Sprintf("clock-%d", i)
		must(p.db.Save(ctx, in))(t)
	}
	done := 0
	if err := p.Reindex(ctx, func(n int) { done = n }); err != nil || done < 3 {
		t.Fatalf("Reindex told of %d, %v", done, err)
	}
	if n, err := p.index.Count(ctx); n != 3 || err != nil {
		t.Errorf("the index has %d, %v, want the three that are public", n, err)
	}
}

func TestDownloadsReachTheDatabaseAtClose(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	p.save(t, clock())
	ctx := t.Context()
	a := must(p.Addon(ctx, "clock"))(t)
	for range 7 {
		d := must(p.Download(ctx, a.Current.File.ID))(t)
		if d.Body != nil || d.File.URL == "" {
			t.Fatalf("a file that is elsewhere has a body: %+v", d)
		}
		d.Count()
	}
	for range 2 { // the second is told the same
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	must(p.db.Aggregate(ctx, time.Now().UTC()))(t)
	stored := must(p.db.Addon(ctx, "clock"))(t)
	if stored.WeeklyDownloads != 7 {
		t.Errorf("%d downloads this week, want 7", stored.WeeklyDownloads)
	}
}

func TestNoFileOfAnAddonThatIsNotPublicIsGivenOut(t *testing.T) {
	t.Parallel()
	p := open(t, "bleve::memory:")
	p.save(t, clock())
	id := must(p.Addon(t.Context(), "clock"))(t).Current.File.ID
	must(p.Download(t.Context(), id))(t)
	gone := clock()
	gone.Addon.Status = catalog.Disabled
	p.save(t, gone)
	if _, err := p.Download(t.Context(), id); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("Download = %v, want not found", err)
	}
	if _, err := p.Download(t.Context(), 12345); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("Download of nothing = %v, want not found", err)
	}
}
