package views

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"addons/dashboards/console"
	"addons/statsd-relay/prom"
)

//go:embed *.html
var templates embed.FS

//go:embed views.css
var style []byte

// Config is where a Handler has its numbers from.
type Config struct {
	Store      *Store       // single views; nil: none come here
	Prometheus *prom.Client // nil: there is none
	Pages      []string     // the names that pages may have
	Sample     float64      // share of page views that send a beacon; 0 is 1
}

// Handler shows pages as browsers have seen them, each page's course, and single views.
type Handler struct {
	store   *Store
	numbers numbers
	pages   []string
	sample  float64
	console *console.Console
	style   console.Asset
	html    *template.Template
	mux     *http.ServeMux
	now     func() time.Time
}

// New returns the pages below the console's base.
func New(cfg Config, c *console.Console) *Handler {
	h := &Handler{
		store: cfg.Store, numbers: numbers{cfg.Prometheus}, pages: cfg.Pages, sample: cfg.Sample, console: c,
		style: console.NewAsset(c.Base()+"assets/", "views.css", style), mux: http.NewServeMux(), now: time.Now,
	}
	if h.sample == 0 {
		h.sample = 1
	}
	h.html = template.Must(template.New("").Funcs(template.FuncMap{
		"base":    c.Base,
		"ms":      number,
		"span":    millis,
		"ago":     func(t time.Time) string { return h.now().Sub(t).Round(time.Second).String() + " ago" },
		"at":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"moment":  moment,
		"percent": percent,
		"count":   count,
		"device":  deviceName,
		"vital":   shownOf,
	}).ParseFS(templates, "*.html"))
	for path, handle := range map[string]http.HandlerFunc{
		"{$}": h.front, "page/{page}": h.page, "recent": h.recent, "{number}": h.one, "trace/{trace}": h.trace,
	} {
		h.mux.HandleFunc("GET "+c.Base()+path, handle)
	}
	for _, a := range append(c.Files(), h.style) {
		h.mux.Handle("GET "+a.Path, a)
	}
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// asked runs what a page asks of Prometheus, all at once, under the page's deadline.
func (h *Handler) asked(ctx context.Context, all ...func(context.Context) error) error {
	if h.numbers.prometheus == nil {
		return errNoPrometheus
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return together(ctx, all...)
}

// recent lists single views, the newest first.
func (h *Handler) recent(w http.ResponseWriter, r *http.Request) {
	page := r.URL.Query().Get("page")
	if !slices.Contains(h.pages, page) {
		page = ""
	}
	c := choose(r.URL.Query(), page)
	address := func(page, device string) string {
		return "?" + url.Values{"page": {page}, "device": {device}}.Encode()
	}
	pages := []link{{"all", address("", c.Device), page == ""}}
	for _, p := range h.pages {
		pages = append(pages, link{p, address(p, c.Device), p == page})
	}
	var of []link
	for _, d := range devices {
		of = append(of, link{deviceName(d), address(page, d), d == c.Device})
	}
	h.write(w, http.StatusOK, "recent", "Single page views", struct {
		Pages, Devices []link
		Device         string
		Views          []*view
		Programs       int
	}{pages, of, c.Device, h.store.newest(c.among), h.store.programsBeside(c.Device)})
}

func (h *Handler) one(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		number = -1
	}
	h.show(w, h.store.find(number, ""))
}

// trace is where an exemplar's trace id leads.
func (h *Handler) trace(w http.ResponseWriter, r *http.Request) {
	h.show(w, h.store.find(-1, r.PathValue("trace")))
}

// missing says what is not there, and where to go on.
func (h *Handler) missing(w http.ResponseWriter, what string) {
	h.write(w, http.StatusNotFound, "missing", "Not found", what)
}

func (h *Handler) write(w http.ResponseWriter, status int, name, title string, data any) {
	var b bytes.Buffer
	if err := h.html.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, fmt.Sprintf("this page is broken: %v", err), http.StatusInternalServerError)
		return
	}
	h.console.Write(w, status, console.Page{ // fails only when the reader has gone
		Title: title, Here: h.console.Base(), Styles: []string{h.style.Path},
		Body: template.HTML(b.String()), // made by html/template above
	})
}
