package web_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"image/color"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/search"
	"addons/server/store"
	"addons/server/web"
)

// TestEveryRouteKeepsItsBudgetHoweverManyRows: with nothing cached, each route makes as
// many queries for ten rows as for a thousand, and the budget in the table is the most
// that it makes.
func TestEveryRouteKeepsItsBudgetHoweverManyRows(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(testing.TB) string{
		"sqlite": func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "addons.db") },
		"mysql":  newMySQL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			few := queriesOf(t, where(t), 10)
			for _, rows := range []int{100, 1000} {
				if d := cmp.Diff(few, queriesOf(t, where(t), rows)); d != "" {
					t.Errorf("queries of 10 rows (-) and of %d (+):\n%s", rows, d)
				}
			}
			most := map[string]int{}
			for request, n := range few {
				route, _, _ := strings.Cut(request, " as ")
				most[route] = max(most[route], n)
			}
			budgets := web.Budgets()
			maps.DeleteFunc(budgets, func(route string, _ int) bool { return strings.Contains(route, "/__drill__/") })
			if d := cmp.Diff(budgets, most); d != "" {
				t.Errorf("budgets (-) and the most queries that requests to the routes made (+):\n%s", d)
			}
		})
	}
}

// queriesOf asks for everything of a site with as many add-ons of each type, and one
// with as many versions and ratings: how many queries each request made, by its route
// and path.
func queriesOf(t *testing.T, database string, rows int) map[string]int {
	t.Helper()
	p := startOn(t, database, func(p *platform) error { return p.crowd(rows) })
	made := map[string]int{}
	ask := func(requests []request, how string) {
		for _, r := range requests {
			p.forget()
			before := p.queries()
			answer := p.do(r.method, r.path, nil)
			if answer.StatusCode != r.status {
				t.Errorf("%s %s of %d rows = %d, want %d", r.method, r.path, rows, answer.StatusCode, r.status)
			}
			for route, q := range p.queries() {
				if n := q.requests - before[route].requests; n == 1 {
					made[r.method+" "+route+" as "+r.path+how] = int(q.queries - before[route].queries)
				}
			}
		}
	}
	requests := p.everything()
	ask(requests, "")
	p.withoutSearch()
	ask(slices.DeleteFunc(requests, func(r request) bool { return !strings.Contains(r.path, "q=crowd") }), " without the search engine")
	if over := samples(t, p.reg, "addons_db_query_budget_exceeded_total"); len(over) > 0 {
		t.Errorf("requests over their budgets, with %d rows: %v", rows, over)
	}
	return made
}

// request is one of everything, and the status of its answer.
type request struct {
	method, path string
	status       int
}

// everything is at least one request to each route.
func (p *platform) everything() []request {
	var all []request
	get := func(status int, paths ...string) {
		for _, path := range paths {
			all = append(all, request{http.MethodGet, path, status})
		}
	}
	const home = "/en-US/firefox/"
	get(200, home, home+"search/?q=crowd", home+"categories/", home+"extensions/", home+"extensions/tabs/", home+"themes/", home+"themes/nature/",
		home+"language-tools/", home+"tag/crowd/", home+"user/ada/", home+"addon/old/", home+"addon/old/versions/", home+"addon/old/reviews/", home+"privacy/")
	get(200, "/media/"+p.addon("old").Icon, "/robots.txt", "/__version__", "/__heartbeat__", "/__lbheartbeat__")
	get(200, ask("old@addons.example"), home+"addon/old/versions/1.0/updateinfo/")
	get(302, "/", "/favicon.ico")
	get(301, home+"addon/1/")
	get(404, "/nothing", "/static/nothing")
	for _, prefix := range []string{"/firefox", "/android", "/en-US/firefox"} {
		get(302, prefix+"/downloads/file/1/x.xpi", prefix+"/downloads/latest/old/x.xpi")
	}
	for _, api := range []string{"/api/v4", "/api/v5"} {
		paths := []string{
			"/addons/addon/old/", "/addons/addon/old/versions/?page_size=50", "/addons/addon/old/versions/v1.0/", "/addons/search/?page_size=50&q=crowd",
			"/addons/autocomplete/?q=crowd", "/addons/categories/", "/site/", "/addons/addon/pack/?app=firefox&appversion=128.0",
		}
		for _, path := range paths {
			get(200, api+path)
			path, _, _ = strings.Cut(path, "?")
			all = append(all, request{http.MethodOptions, api + path, 204})
		}
	}
	for method, paths := range map[string][]string{
		http.MethodGet:     {"/rum", "/services/timing/record"},
		http.MethodPost:    {"/rum", "/collect", "/services/timing/record"},
		http.MethodOptions: {"/rum", "/collect"},
	} {
		for _, path := range paths {
			all = append(all, request{method, path, 204})
		}
	}
	return all
}

// crowd fills the platform with n add-ons of each type, of one author and one tag, and
// two that have n versions and ratings.
func (p *platform) crowd(n int) error {
	var imports []store.Import
	for i, kind := range catalog.Types() {
		for k := range n {
			imports = append(imports, member(kind, int64(1000*(i+1)+k), ""))
		}
	}
	icon := p.blob([]byte(picture(2, 2, color.Black, color.White))).Key
	for _, in := range []store.Import{member(catalog.Extension, 1, "old"), member(catalog.Language, 2, "pack")} {
		in.Addon.Icon = icon
		in.Addon.Ratings = catalog.Ratings{Average: 4, Count: n, Grouped: [5]int{3: n}}
		first := in.Versions[0]
		first.ReleaseNotes = catalog.Text{"en-US": "The first."}
		for k := range int64(n) {
			v := *first
			v.ID, v.Number = 10_000*in.Addon.ID+k, fmt.Sprintf("1.%d", k)
			v.File.ID = v.ID
			if k == 0 {
				v.File.ID = in.Addon.ID
			}
			in.Versions = append(in.Versions, &v)
			in.Ratings = append(in.Ratings, catalog.Rating{ID: v.ID, Score: 4, UserName: fmt.Sprint(k)})
		}
		in.Versions = in.Versions[1:]
		imports = append(imports, in)
	}
	p.health.Add("database", true, p.db.Ping)
	p.health.Add("queue", false, p.queue.Check)
	ctx := context.Background()
	bulk, err := p.db.Bulk(ctx, "crowd")
	if err != nil {
		return err
	}
	rows, err := store.Prepare(imports)
	if err == nil {
		err = bulk.Write(ctx, rows)
	}
	if err = errors.Join(err, bulk.Finish(ctx), bulk.Close(ctx)); err != nil {
		return err
	}
	var docs []search.Doc
	for _, in := range imports[:n] {
		in.Addon.Current = in.Versions[0]
		docs = append(docs, search.NewDoc(in.Addon))
	}
	return p.index.Put(ctx, docs...)
}

// member is one of the crowd, with something of everything.
func member(kind catalog.Type, id int64, slug string) store.Import {
	if slug == "" {
		slug = fmt.Sprintf("crowd-%d", id)
	}
	a := &catalog.Addon{
		ID: id, GUID: slug + "@addons.example", Slug: slug, Type: kind, Status: catalog.Public, DefaultLocale: "en-US",
		Name: catalog.Text{"en-US": fmt.Sprint("Crowd ", id), "de": fmt.Sprint("Menge ", id)}, Summary: catalog.Text{"en-US": "One of many."},
		Authors: []catalog.Author{{ID: 11, Name: "Ada Byron", Username: "ada"}}, Tags: []string{"crowd"}, Promoted: []string{"recommended"},
		Previews:          []catalog.Preview{{ID: id, Image: strings.Repeat("ab", 32), Width: 640, Height: 400}},
		AverageDailyUsers: int(id), Created: day, LastUpdated: day,
	}
	switch kind {
	case catalog.Extension:
		a.Categories = map[string][]string{"firefox": {"tabs"}}
	case catalog.Theme:
		a.Categories = map[string][]string{"firefox": {"nature"}}
	default:
		a.TargetLocale = "de"
	}
	v := version("1.0", day)
	v.ID, v.File.ID, v.File.URL = id, id, "https://example.org/x.xpi"
	return store.Import{Addon: a, Versions: []*catalog.Version{v}}
}

// withoutSearch has the site ask a search engine that is down.
func (p *platform) withoutSearch() {
	p.t.Helper()
	down, err := search.Open("elasticsearch://127.0.0.1:1/addons", p.reg, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { down.Close() })
	p.site.Index = down
}

// forget has the site begin with an empty cache.
func (p *platform) forget() {
	p.t.Helper()
	empty, err := cache.Open("memory:", p.reg, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { empty.Close() })
	p.site.Cache = empty
}

// counted is how many requests there were, and how many queries they made.
type counted struct {
	requests uint64
	queries  float64
}

// queries has all requests so far by their route.
func (p *platform) queries() map[string]counted {
	p.t.Helper()
	families, err := p.reg.Prometheus().Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]counted{}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "addons_db_queries_per_request" {
				all[m.Label[0].GetValue()] = counted{m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum()}
			}
		}
	}
	return all
}

// newMySQL makes a database that lives as long as the test.
func newMySQL(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	server, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/", u.User.Username(), password, u.Host))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/addons_test_" + strings.ToLower(rand.Text()[:12])
	if _, err := server.Exec("CREATE DATABASE " + u.Path[1:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := server.Exec("DROP DATABASE " + u.Path[1:]); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return u.String()
}

// TestAQueryForEachRowIsCountedShownAndTold by the drill that makes them.
func TestAQueryForEachRowIsCountedShownAndTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := start(t, catalogue(), func(c *web.Config) {
		c.Debug, c.Drills, c.Log = true, true, slog.New(slog.NewTextHandler(&log, nil))
	})
	for range 3 {
		body := text(t, p.get("/__drill__/queries"))
		for _, want := range []string{`<p class="over">\d\d+ of 10 queries: over the route's budget</p>`, `<th scope="row">db\.sqlite\.version</th><td>24</td>`} {
			if !regexp.MustCompile(want).MatchString(body) {
				t.Errorf("the page does not show %s", want)
			}
		}
	}
	p.get("/en-US/firefox/extensions/")
	if d := cmp.Diff(map[string]float64{"/__drill__/queries": 3}, samples(t, p.reg, "addons_db_query_budget_exceeded_total")); d != "" {
		t.Error(d)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "route=/__drill__/queries") || !strings.Contains(got, "asked.db.sqlite.version=24") {
		t.Errorf("the log has, of three requests in one minute:\n%s", got)
	}
}
