package web_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"addons/rum"
	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/fault"
	"addons/server/file"
	"addons/server/health"
	"addons/server/metrics"
	"addons/server/search"
	"addons/server/site"
	"addons/server/store"
	"addons/server/task"
	"addons/server/update"
	"addons/server/web"
)

var rewrite = flag.Bool("update", false, "rewrite the golden files")

// platform is the site on embedded backends.
type platform struct {
	t       testing.TB
	handler http.Handler
	site    *site.Site
	db      *store.DB
	files   *file.Store
	index   *search.Index
	queue   *task.Queue
	health  *health.Checks
	faults  *fault.Recorder
	reg     *metrics.Registry
	config  web.Config
	beacons int
}

// start opens a platform with the add-ons in it. options change the Config.
func start(t testing.TB, imports []store.Import, options ...func(*web.Config)) *platform {
	t.Helper()
	return startOn(t, "sqlite::memory:", func(p *platform) error {
		for _, in := range imports {
			p.put(&in)
			if _, err := p.db.Save(context.Background(), in); err != nil {
				return err
			}
		}
		return p.site.Reindex(context.Background(), nil)
	}, options...)
}

// startOn is start on a database of any kind, which fill fills.
func startOn(t testing.TB, database string, fill func(*platform) error, options ...func(*web.Config)) *platform {
	t.Helper()
	p := &platform{t: t, reg: metrics.New(nil)}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	p.db, err = store.Open(ctx, database, p.reg, log)
	must(err)
	t.Cleanup(func() { p.db.Close() })
	p.files, err = file.Open("file:"+t.TempDir(), p.reg)
	must(err)
	memory, err := cache.Open("memory:", p.reg, log)
	must(err)
	t.Cleanup(func() { memory.Close() })
	p.index, err = search.Open("bleve::memory:", p.reg, log)
	must(err)
	t.Cleanup(func() { p.index.Close() })
	p.faults, err = fault.New("", "test", p.reg, log)
	must(err)
	p.queue, err = task.Open(ctx, "database:", p.db, p.reg, p.faults, log)
	must(err)
	t.Cleanup(func() { p.queue.Close() })
	p.site = site.New(site.Deps{DB: p.db, Cache: memory, Index: p.index, Files: p.files, Queue: p.queue, Log: log, Registry: p.reg})
	t.Cleanup(func() { p.site.Close() })
	p.health = health.New(p.reg)
	must(fill(p))
	c := web.Config{
		Site: p.site, Update: update.New(p.db, memory, "https://addons.example", p.reg),
		Beacon:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.beacons++; w.WriteHeader(http.StatusNoContent) }),
		Scripts: rum.Scripts(), Sample: 1, BaseURL: "https://addons.example", Registry: p.reg, Faults: p.faults, Health: p.health,
		Version: health.Version{Source: "https://example.org/source", Version: "1.2.3", Commit: "abc", Build: "https://example.org/build"},
		Log:     log,
	}
	for _, o := range options {
		o(&c)
	}
	p.config = c
	p.handler, err = web.New(c)
	must(err)
	return p
}

// put stores the bytes that an import's pictures and packages stand for.
func (p *platform) put(in *store.Import) {
	if in.Addon.Icon != "" {
		in.Addon.Icon = p.blob([]byte(in.Addon.Icon)).Key
	}
	for i := range in.Addon.Previews {
		v := &in.Addon.Previews[i]
		v.Image = p.blob([]byte(v.Image)).Key
	}
	for _, v := range in.Versions {
		b := p.blob([]byte("PK\x03\x04 " + in.Addon.GUID + " " + v.Number))
		v.File.Key, v.File.Hash, v.File.Size = b.Key, b.Hash, b.Size
	}
}

func (p *platform) blob(body []byte) file.Blob {
	p.t.Helper()
	b, err := p.files.Put(context.Background(), bytes.NewReader(body), 1<<20)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// get asks for a path; headers come in pairs.
func (p *platform) get(path string, headers ...string) *http.Response {
	return p.do(http.MethodGet, path, nil, headers...)
}

func (p *platform) do(method, path string, body io.Reader, headers ...string) *http.Response {
	r := httptest.NewRequest(method, path, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result()
}

// text is a response's body.
func text(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// addon is the public add-on with the slug.
func (p *platform) addon(slug string) *catalog.Addon {
	p.t.Helper()
	a, err := p.site.Addon(context.Background(), slug)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

var day = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// picture is a PNG of two colours.
func picture(w, h int, a, b color.Color) string {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := a
			if (x*5/w+y*5/h)%2 == 1 {
				c = b
			}
			img.Set(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic(err)
	}
	return out.String()
}

// version is a public version that runs in both applications.
func version(number string, created time.Time) *catalog.Version {
	return &catalog.Version{
		Number: number, Channel: catalog.Listed, Created: created, Reviewed: created,
		Compatibility: []catalog.Compat{{App: "firefox", Min: "115.0", Max: "*"}, {App: "android", Min: "120.0", Max: "*"}},
		License:       catalog.License{Slug: "MPL-2.0", Name: catalog.Text{"en-US": "Mozilla Public License 2.0"}, URL: "https://www.mozilla.org/MPL/2.0/"},
		File:          catalog.File{Name: "package-" + number + ".xpi", Status: catalog.Public, Created: created, Signed: true},
	}
}

// nightReader is the one add-on that has everything.
func nightReader() []store.Import { return catalogue()[:1] }

// catalogue is a small site: every kind of add-on, texts in several languages
// and directions, with and without pictures, ratings and history.
func catalogue() []store.Import {
	blue, gold := color.NRGBA{75, 59, 209, 255}, color.NRGBA{255, 180, 84, 255}
	night := &catalog.Addon{
		ID: 1, GUID: "night@addons.example", Slug: "night-reader", Type: catalog.Extension, Status: catalog.Public, DefaultLocale: "en-US",
		Name:    catalog.Text{"en-US": "Night Reader", "de": "Nachtleser", "ar": "قارئ الليل"},
		Summary: catalog.Text{"en-US": "Turns bright pages dark, gently, so that you can read on in the evening.", "de": "Macht helle Seiten sanft dunkel."},
		Description: catalog.Text{"en-US": "<b>Night Reader</b> dims pages.\n\nIt knows:\n<ul><li>schedules</li><li>exceptions for sites</li></ul>" +
			`Read <a href="https://example.org/manual">the manual</a>.`},
		DeveloperComments: catalog.Text{"en-US": "Version 3 is a rewrite."},
		Homepage:          catalog.Text{"en-US": "https://example.org/night"},
		Icon:              picture(64, 64, blue, gold),
		Authors:           []catalog.Author{{ID: 11, Name: "Ada Byron", Username: "ada"}, {ID: 12, Name: "Karl Weiß", Username: "karl"}},
		Categories:        map[string][]string{"firefox": {"appearance"}, "android": {"appearance"}},
		Tags:              []string{"dark mode", "reading"}, Promoted: []string{"recommended"},
		Previews: []catalog.Preview{
			{Position: 0, Caption: catalog.Text{"en-US": "A page at night", "de": "Eine Seite bei Nacht"}, Image: picture(640, 400, blue, gold), Width: 640, Height: 400},
			{Position: 1, Image: picture(640, 400, gold, blue), Width: 640, Height: 400},
		},
		AverageDailyUsers: 1234567, WeeklyDownloads: 8910, Hotness: 0.3,
		Ratings: catalog.Ratings{Average: 4.4, Bayesian: 4.3, Count: 5, TextCount: 2, Grouped: [5]int{0, 0, 1, 1, 3}},
		Created: day.AddDate(-2, 0, 0), LastUpdated: day,
	}
	newest := version("3.1.0", day)
	newest.ReleaseNotes = catalog.Text{"en-US": "Faster on long pages."}
	newest.File.Permissions = []string{"tabs", "storage", "notifications"}
	newest.File.HostPermissions = []string{"<all_urls>"}
	newest.File.OptionalPermissions = []string{"downloads"}
	all := []store.Import{{
		Addon: night, Versions: []*catalog.Version{newest, version("3.0.0", day.AddDate(0, -3, 0)), version("2.9", day.AddDate(-1, 0, 0))},
		Ratings: []catalog.Rating{
			{ID: 1, VersionNumber: "3.1.0", UserName: "Grace", Score: 5, Body: "My eyes thank you.\nEvery evening.", Created: day.AddDate(0, 0, 3)},
			{ID: 2, VersionNumber: "3.0.0", UserName: "سلمى", Score: 4, Body: "ممتاز", Created: day.AddDate(0, 0, -3)},
			{ID: 3, VersionNumber: "3.0.0", UserName: "Linus", Score: 3, Created: day.AddDate(0, 0, -9)},
			{ID: 4, VersionNumber: "3.0.0", UserName: "Barbara", Score: 5, Created: day.AddDate(0, 0, -10)},
			{ID: 5, VersionNumber: "3.0.0", UserName: "Edsger", Score: 5, Created: day.AddDate(0, 0, -11)},
		},
	}}
	for i := range 30 {
		a := &catalog.Addon{
			ID: int64(100 + i), GUID: fmt.Sprintf("helper-%d@addons.example", i), Slug: fmt.Sprintf("helper-%d", i), Type: catalog.Extension,
			Status: catalog.Public, DefaultLocale: "en-US", Name: catalog.Text{"en-US": fmt.Sprintf("Helper number %d", i)},
			Summary:    catalog.Text{"en-US": "Helps you with " + strings.Repeat("many things, ", i%7+1) + "and tidies up."},
			Authors:    []catalog.Author{{ID: 12, Name: "Karl Weiß", Username: "karl"}},
			Categories: map[string][]string{"firefox": {"tabs"}}, Tags: []string{"helper"},
			AverageDailyUsers: 1000 * (30 - i), WeeklyDownloads: 10 * i, Created: day.AddDate(0, 0, -i), LastUpdated: day.AddDate(0, 0, -i),
		}
		if i%3 == 0 {
			a.Ratings = catalog.Ratings{Average: 3 + float64(i%5)/3, Count: 7 + i, Grouped: [5]int{1, 0, 2, 4, i}}
		}
		all = append(all, store.Import{Addon: a, Versions: []*catalog.Version{version("1.0", day.AddDate(0, 0, -i))}})
	}
	for i := range 4 {
		tint := color.NRGBA{uint8(60 * i), 90, uint8(220 - 50*i), 255}
		a := &catalog.Addon{
			ID: int64(200 + i), GUID: fmt.Sprintf("theme-%d@addons.example", i), Slug: fmt.Sprintf("theme-%d", i), Type: catalog.Theme,
			Status: catalog.Public, DefaultLocale: "en-US", Name: catalog.Text{"en-US": fmt.Sprintf("Shore %d", i)},
			Authors: []catalog.Author{{ID: 11, Name: "Ada Byron", Username: "ada"}}, Categories: map[string][]string{"firefox": {"nature"}},
			Previews:          []catalog.Preview{{Image: picture(680, 92, tint, gold), Width: 680, Height: 92}},
			AverageDailyUsers: 500 + i, Created: day, LastUpdated: day,
		}
		all = append(all, store.Import{Addon: a, Versions: []*catalog.Version{version("1.0", day)}})
	}
	for i, kind := range []catalog.Type{catalog.Dictionary, catalog.Language} {
		a := &catalog.Addon{
			ID: int64(300 + i), GUID: string(kind) + "-de@addons.example", Slug: string(kind) + "-de", Type: kind, TargetLocale: "de",
			Status: catalog.Public, DefaultLocale: "de", Name: catalog.Text{"de": map[catalog.Type]string{catalog.Dictionary: "Deutsches Wörterbuch", catalog.Language: "Deutsch (DE)"}[kind]},
			AverageDailyUsers: 40000, Created: day, LastUpdated: day,
		}
		all = append(all, store.Import{Addon: a, Versions: []*catalog.Version{version("1.0", day)}})
	}
	hidden := &catalog.Addon{ID: 900, GUID: "hidden@addons.example", Slug: "hidden", Type: catalog.Extension, Status: catalog.Disabled,
		DefaultLocale: "en-US", Name: catalog.Text{"en-US": "Hidden helper"}, Created: day, LastUpdated: day}
	return append(all, store.Import{Addon: hidden, Versions: []*catalog.Version{version("1.0", day)}})
}
