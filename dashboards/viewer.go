package dashboards

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"addons/dashboards/console"
	"addons/statsd-relay/prom"
)

//go:embed templates/*.html assets
var web embed.FS

// viewer answers the pages.
type viewer struct {
	prometheus *prom.Client
	console    *console.Console
	files      fs.FS
	interval   time.Duration // between scrapes
	location   *time.Location
	dashboards []*Dashboard
	templates  *template.Template
	style      console.Asset
	script     console.Asset
	layouts    map[string]console.Asset // by uid
	now        func() time.Time
	traceURL   func(id string) string
}

// Option changes what New does.
type Option func(*viewer)

// Interval says how much time lies between scrapes, which the queries must
// know; it is 15 seconds otherwise.
func Interval(d time.Duration) Option { return func(v *viewer) { v.interval = cmp.Or(d, v.interval) } }

// From takes the dashboards from fsys instead of those shipped.
func From(fsys fs.FS) Option { return func(v *viewer) { v.files = fsys } }

// In shows times in the zone instead of the server's own.
func In(zone *time.Location) Option { return func(v *viewer) { v.location = zone } }

// Traces has charts list their slowest measurements that have a trace for which url knows
// an address; it returns "" for others.
func Traces(url func(id string) string) Option { return func(v *viewer) { v.traceURL = url } }

// New returns the handler of the dashboards' pages, for operators: a list at the
// console's base, each dashboard by its uid below it, and its panels alone below
// that. A dashboard that cannot be read is a mistake in the program: New panics.
func New(client *prom.Client, c *console.Console, options ...Option) http.Handler {
	return newViewer(client, c, options...).routes()
}

func newViewer(client *prom.Client, c *console.Console, options ...Option) *viewer {
	v := &viewer{
		prometheus: client, console: c, files: Files(), interval: 15 * time.Second, location: time.Local,
		templates: template.Must(template.ParseFS(web, "templates/*.html")),
		style:     asset(c, "viewer.css"), script: asset(c, "viewer.js"),
		layouts: map[string]console.Asset{}, now: time.Now,
	}
	for _, o := range options {
		o(v)
	}
	var err error
	if v.dashboards, err = Load(v.files); err != nil {
		panic(err)
	}
	for _, d := range v.dashboards {
		v.layouts[d.UID] = console.NewAsset(c.Base()+"assets/", d.UID+".css", layout(d))
	}
	return v
}

func asset(c *console.Console, name string) console.Asset {
	body, err := web.ReadFile("assets/" + name)
	if err != nil {
		panic(err)
	}
	return console.NewAsset(c.Base()+"assets/", name, body)
}

func (v *viewer) routes() http.Handler {
	mux, base := http.NewServeMux(), v.console.Base()
	mux.HandleFunc("GET "+base+"{$}", v.list)
	mux.HandleFunc("GET "+base+"{uid}", v.page)
	mux.HandleFunc("GET "+base+"{uid}/panel/{id}", v.fragment)
	for _, a := range append(v.console.Files(), v.style, v.script) {
		mux.Handle("GET "+a.Path, a)
	}
	for _, a := range v.layouts {
		mux.Handle("GET "+a.Path, a)
	}
	return mux
}

// layout places a dashboard's panels on wide screens; the content policy allows
// no style attributes.
func layout(d *Dashboard) []byte {
	var b bytes.Buffer
	b.WriteString("@media (min-width: 901px) {\n")
	for _, p := range d.Panels {
		g := p.GridPos
		fmt.Fprintf(&b, "#panel-%d { grid-area: %d / %d / span %d / span %d; }\n", p.ID, g.Y+1, g.X+1, g.H, g.W)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func (v *viewer) list(w http.ResponseWriter, r *http.Request) {
	v.write(w, http.StatusOK, "list", console.Page{Title: "Dashboards"}, struct {
		Base       string
		Dashboards []*Dashboard
	}{v.console.Base(), v.dashboards})
}

func (v *viewer) dashboard(uid string) *Dashboard {
	i := slices.IndexFunc(v.dashboards, func(d *Dashboard) bool { return d.UID == uid })
	if i < 0 {
		return nil
	}
	return v.dashboards[i]
}

// rangeLink is a choice of the time shown.
type rangeLink struct {
	Name, URL string
	Current   bool
}

func (v *viewer) page(w http.ResponseWriter, r *http.Request) {
	d := v.dashboard(r.PathValue("uid"))
	if d == nil {
		v.missing(w, "There is no such dashboard.")
		return
	}
	window := newWindow(chooseSpan(r.FormValue("range"), d.Time.From), v.interval, v.now())
	query := r.URL.Query()
	chosen, err := choose(r.Context(), v.prometheus, d, window, query)
	data := struct {
		*Dashboard
		Base    string
		Query   string
		Refresh int // seconds
		Range   string
		Ranges  []rangeLink
		Choices []choice
		Views   []view
		At      string
		Problem error
	}{
		Dashboard: d, Base: v.console.Base(), Query: query.Encode(), Refresh: refresh(d), Range: window.Name,
		Ranges: rangeLinks(query, window.Name), Choices: chosen,
		Views: v.runAll(r.Context(), d, window, values(window, chosen)),
		At:    v.at(), Problem: err,
	}
	v.write(w, http.StatusOK, "dashboard", console.Page{
		Title: d.Title, Styles: []string{v.layouts[d.UID].Path}, Scripts: []string{v.script.Path},
	}, data)
}

// fragment answers one panel's inside, for the script that refreshes it.
func (v *viewer) fragment(w http.ResponseWriter, r *http.Request) {
	d := v.dashboard(r.PathValue("uid"))
	id, err := strconv.Atoi(r.PathValue("id"))
	if d == nil || err != nil {
		http.NotFound(w, r)
		return
	}
	i := slices.IndexFunc(d.Panels, func(p Panel) bool { return p.ID == id })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	window := newWindow(chooseSpan(r.FormValue("range"), d.Time.From), v.interval, v.now())
	chosen, err := choose(ctx, v.prometheus, d, window, r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	var b bytes.Buffer
	if err := v.templates.ExecuteTemplate(&b, "panel", v.run(ctx, &d.Panels[i], window, values(window, chosen))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	console.Guard(w.Header())
	w.Header().Set("As-Of", v.at())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

// at is the time of an answer, for its reader.
func (v *viewer) at() string { return v.now().In(v.location).Format("15:04:05 MST") }

// atOnce is how many panels ask Prometheus at the same time; it has more users
// than this page.
const atOnce = 6

// runAll runs the panels in the order in which they are read.
func (v *viewer) runAll(ctx context.Context, d *Dashboard, w window, vars map[string]string) []view {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	views := make([]view, len(d.Panels))
	slots := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i := range d.Panels {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			views[i] = v.run(ctx, &d.Panels[i], w, vars)
		})
	}
	running.Wait()
	slices.SortStableFunc(views, func(a, b view) int {
		return cmp.Or(cmp.Compare(a.GridPos.Y, b.GridPos.Y), cmp.Compare(a.GridPos.X, b.GridPos.X))
	})
	return views
}

// refresh is how often panels ask again: the dashboard's own "30s", which is
// also what it is if that cannot be read.
func refresh(d *Dashboard) int {
	every, err := time.ParseDuration(d.Refresh)
	if err != nil || every < 5*time.Second {
		every = 30 * time.Second
	}
	return int(every.Seconds())
}

func rangeLinks(query url.Values, current string) []rangeLink {
	var links []rangeLink
	for _, s := range spans {
		q := url.Values{}
		for name, values := range query {
			if strings.HasPrefix(name, "var-") {
				q[name] = values
			}
		}
		q.Set("range", s.Name)
		links = append(links, rangeLink{s.Name, "?" + q.Encode(), s.Name == current})
	}
	return links
}

func (v *viewer) missing(w http.ResponseWriter, text string) {
	v.write(w, http.StatusNotFound, "missing", console.Page{Title: "Not found"}, struct{ Base, Text string }{v.console.Base(), text})
}

// write renders a template into the console's frame.
func (v *viewer) write(w http.ResponseWriter, status int, name string, p console.Page, data any) {
	var b bytes.Buffer
	if err := v.templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.Here = v.console.Base()
	p.Styles = append([]string{v.style.Path}, p.Styles...)
	p.Body = template.HTML(b.String()) // made by html/template above
	v.console.Write(w, status, p)      // fails only when the reader has gone
}
