// Package ops is the operators' side of the site: /metrics, the state of each
// backend, what the cache does and why, recent errors, profiles, and the way to dashboards and alerts. It is
// served on the admin listener, which is never public.
package ops

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"addons/dashboards/console"
	"addons/server/cache"
	"addons/server/fault"
	"addons/server/health"
)

//go:embed pages.html
var pages string

// Config is what the operators' pages show.
type Config struct {
	Gatherer prometheus.Gatherer // of the site's own metrics
	Health   *health.Checks
	Faults   *fault.Recorder
	Cache    *cache.Cache
	Version  health.Version
	Ready    func() bool // false while the server is going down
	// Parts are handlers with pages of their own, such as dashboards, each at its Path.
	Parts []Part
	// Facts are lines of the front page: which backends, which addresses. No secrets.
	Facts []Fact
	Log   *slog.Logger
}

// Part is a handler below a path that begins and ends with a slash.
type Part struct {
	console.Link
	Handler http.Handler
}

// Fact is a line of the front page.
type Fact struct{ Name, Value string }

type handler struct {
	Config
	console   *console.Console
	templates *template.Template
}

// Navigation is the menu of the operators' pages with the parts in it, for the
// parts to show on theirs.
func Navigation(parts ...console.Link) []console.Link {
	nav := append([]console.Link{{Name: "Start", Path: "/"}}, parts...)
	return append(nav, console.Link{Name: "Cache", Path: "/cache"}, console.Link{Name: "Health", Path: "/monitor"}, console.Link{Name: "Errors", Path: "/errors"})
}

// New returns the operators' pages.
func New(c Config) http.Handler {
	links := make([]console.Link, len(c.Parts))
	for i, p := range c.Parts {
		links[i] = p.Link
	}
	h := &handler{Config: c, console: console.New("/ops/", Navigation(links...)), templates: template.Must(template.New("").Funcs(template.FuncMap{
		"since": func(t time.Time) string { return time.Since(t).Round(time.Second).String() + " ago" },
		"at":    func(t time.Time) string { return t.Format(time.RFC3339) },
		"round": func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) },
		"until": func(t time.Time) string { return time.Until(t).Round(time.Second).String() },
	}).Parse(pages))}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.start)
	mux.Handle("GET /metrics", Metrics(c.Gatherer, c.Log))
	mux.HandleFunc("GET /monitor", h.monitor)
	mux.HandleFunc("GET /monitor.json", h.monitorJSON)
	mux.HandleFunc("GET /errors", h.errors)
	mux.HandleFunc("GET /cache", h.cache)
	mux.HandleFunc("GET /cache/report.json", h.cacheReport)
	mux.HandleFunc("GET /cache/explain.json", h.cacheExplain)
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("healthy\n")) })
	mux.HandleFunc("GET /-/ready", h.ready)
	for _, a := range h.console.Files() {
		mux.Handle("GET "+a.Path, a)
	}
	for _, p := range c.Parts {
		mux.Handle(p.Path, p.Handler)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// Metrics is /metrics: native and classic histograms, and exemplars, by what the
// scraper accepts.
func Metrics(g prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError),
	})
}

func (h *handler) start(w http.ResponseWriter, r *http.Request) {
	h.page(w, http.StatusOK, "start", console.Page{Title: "Operators", Here: "/"}, h.Config)
}

// monitor answers 500 when an essential check fails, as Nagios' check_http wants it.
func (h *handler) monitor(w http.ResponseWriter, r *http.Request) {
	report := h.Health.Run(r.Context())
	h.page(w, status(report), "monitor", console.Page{Title: "Health", Here: "/monitor"}, report)
}

// monitorJSON has the shape of addons-server's monitor: name → state and status.
func (h *handler) monitorJSON(w http.ResponseWriter, r *http.Request) {
	report := h.Health.Run(r.Context())
	type check struct {
		State  bool   `json:"state"`
		Status string `json:"status"`
	}
	answer := map[string]check{}
	for _, c := range report.Checks {
		answer[c.Name] = check{c.Error == "", c.Error}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status(report))
	json.NewEncoder(w).Encode(answer)
}

func status(r health.Report) int {
	if r.OK {
		return http.StatusOK
	}
	return http.StatusInternalServerError
}

func (h *handler) errors(w http.ResponseWriter, r *http.Request) {
	h.page(w, http.StatusOK, "errors", console.Page{Title: "Errors", Here: "/errors"}, h.Faults.Recent())
}

// ready is for load balancers: not ready comes before the listeners close.
func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if !h.Ready() {
		http.Error(w, "going down", http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ready\n"))
}

// page renders a template within the console's frame.
func (h *handler) page(w http.ResponseWriter, status int, name string, p console.Page, data any) {
	var b bytes.Buffer
	if err := h.templates.ExecuteTemplate(&b, name, data); err != nil {
		h.Log.Error("operators' page", "page", name, "error", err)
		http.Error(w, "this page is broken; the log says why", http.StatusInternalServerError)
		return
	}
	p.Body = template.HTML(b.String()) // made by html/template above
	if err := h.console.Write(w, status, p); err != nil {
		h.Log.Debug("operators' page", "page", name, "error", err)
	}
}
