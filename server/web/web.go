// Package web is the public face of the platform: routes, middleware, pages and
// the API. Handlers read their input, call package site once and render; what
// every request costs is measured by the middleware, exactly once, whatever the
// handler does.
package web

import (
	"context"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzhttp"

	"addons/rum"
	"addons/server/fault"
	"addons/server/health"
	"addons/server/metrics"
	"addons/server/site"
	"addons/server/store"
	"addons/server/update"
)

// Config is what a Web is made of. Site, Update, Registry and BaseURL are needed.
type Config struct {
	Site    *site.Site
	Update  *update.Service
	Beacon  http.Handler    // takes what the browsers measured, at /rum; nil: not measured
	Scripts []rum.Asset     // the browser's side of Beacon: the first is what pages carry; nil: they carry none
	Sample  float64         // share of page views that send
	Recent  *metrics.Recent // keeps what pages have cost; nil: nobody looks
	// Session begins a request's reads and writes where the database has replicas, see
	// store.DB; nil: it has none.
	Session  func(ctx context.Context, token string) (context.Context, *store.Session)
	BaseURL  string        // scheme and host that the world sees, no slash at the end
	Networks *rum.Networks // knows the proxies before the site; nil: there are none
	Registry *metrics.Registry
	Faults   *fault.Recorder // nil: panics and errors are logged and counted
	Health   *health.Checks  // nil: the heartbeat always passes
	Version  health.Version
	Log      *slog.Logger // nil: slog.Default()
	Debug    bool         // shows at the foot of each page what it cost
	Drills   bool         // serves routes that fail on purpose, to see that it is counted and alerted
}

// compressFrom (bytes): below a packet's size, compression saves nothing.
const compressFrom = 1024

// Web is what the handlers share. It holds no state of a request.
type Web struct {
	Config
	meter     *meter
	table     []*endpoint
	unmatched *endpoint
	assets    *assets
	templates map[string]*template.Template
	headers   []header
	// dataHeaders are those of headers that say something of an answer that is no document.
	dataHeaders []header
}

// New returns the whole public site as one handler. Errors are mistakes in the
// configuration or in what is embedded, never the weather.
func New(c Config) (http.Handler, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Scheme == "" || base.Host == "" || strings.HasSuffix(c.BaseURL, "/") {
		return nil, fmt.Errorf("base URL %q: give scheme and host without a slash at the end, as https://addons.example.org", c.BaseURL)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Faults == nil {
		if c.Faults, err = fault.New("", c.Version.Version, c.Registry, c.Log); err != nil {
			return nil, err
		}
	}
	w := &Web{Config: c, meter: newMeter(c.Registry)}
	w.headers = w.securityHeaders(base.Scheme == "https")
	w.dataHeaders = ofData(w.headers)
	if w.assets, err = buildAssets(c.Scripts); err != nil {
		return nil, err
	}
	if w.templates, err = parseTemplates(w); err != nil {
		return nil, err
	}
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(compressFrom), gzhttp.ContentTypes([]string{
		"text/html", "text/css", "text/javascript", "text/plain", "application/json", "image/svg+xml", "text/xml"}))
	if err != nil {
		return nil, fmt.Errorf("compression: %w", err)
	}
	everything := w.measure(compress(w.engine()))
	return w.hot(everything), nil
}

// Measured says whether pages carry the script that measures them.
func (w *Web) Measured() bool { return w.Beacon != nil && len(w.Scripts) > 0 }

// Script is that one.
func (w *Web) Script() rum.Asset { return w.Scripts[0] }

// engine registers the table with gin. What gin would answer by itself (a
// missing slash, no route, a wrong method) goes through the same middleware as
// everything else, so that all of it is measured.
func (w *Web) engine() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	for _, r := range w.routes() {
		ep := w.meter.endpoint(r)
		w.table = append(w.table, ep)
		e.Handle(r.method, r.pattern, w.run(ep))
		if r.method == http.MethodGet {
			e.HEAD(r.pattern, w.run(ep))
		}
	}
	w.unmatched = w.meter.endpoint(route{pattern: unmatched, module: "web", name: "unmatched", handle: w.elsewhere})
	wrong := *w.unmatched
	wrong.handle = func(*gin.Context) error { return errMethod }
	e.NoRoute(w.run(w.unmatched))
	e.NoMethod(w.run(&wrong))
	return e
}
