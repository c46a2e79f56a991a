package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
	"addons/server/metrics"
)

//go:embed templates/*.html
var templateFiles embed.FS

// pageCache lets browsers and proxies keep a page for a minute: as long as the
// lists on it are remembered here.
const pageCache = "public, max-age=60"

// page is what every template gets: the frame, and in Data what it is about.
type page struct {
	Web         *Web
	Name        string // for the browser's measurements: route.page
	Locale      string
	App         catalog.App
	Path        string // of this page, without its query
	Title       string
	Description string
	Image       string // absolute URL for link previews, "" for none
	NoIndex     bool
	Query       string // what was searched for
	Section     string // the menu's entry that this page belongs to
	Stale       bool   // a backend is down and old copies are shown
	Debug       *debugBar
	Data        any
}

// debugBar is this request's ledger, for developers.
type debugBar struct {
	Route string
	Took  time.Duration
	Trace string
	Spans []metrics.Span
	// Queries are those made so far, of which Made is the number and Budget what the route may make.
	Queries      []metrics.Work
	Made, Budget int
}

// page returns the frame for a request.
func (w *Web) page(c *gin.Context, title string) *page {
	rec := recordOf(c.Request.Context())
	p := &page{
		Web: w, Name: rec.endpoint.page, Path: c.Request.URL.Path, Title: title,
		Locale: c.Param("locale"), App: catalog.Firefox,
	}
	if p.Locale == "" {
		p.Locale = negotiate(c.Request)
	}
	if c.Param("app") == catalog.Android.Slug {
		p.App = catalog.Android
	}
	return p
}

// To is a path of this site, in the page's locale and application.
func (p *page) To(parts ...string) string {
	var b strings.Builder
	b.WriteString("/" + p.Locale + "/" + p.App.Slug + "/")
	for _, part := range parts {
		b.WriteString(url.PathEscape(part) + "/")
	}
	return b.String()
}

// Canonical is the page's one absolute URL.
func (p *page) Canonical() string {
	return p.Web.BaseURL + (&url.URL{Path: p.Path}).EscapedPath()
}

// Apps are the applications that the visitor may switch to.
func (p *page) Apps() []catalog.App { return catalog.Apps() }

// Static is the URL of an asset by its plain name.
func (p *page) Static(name string) string { return p.Web.assets.url(name) }

// parseTemplates makes one template of each page: the frame with the page's
// own definitions.
func parseTemplates(w *Web) (map[string]*template.Template, error) {
	frame, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	all := map[string]*template.Template{}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		t, err := frame.Clone()
		if err == nil {
			t, err = t.ParseFS(templateFiles, file)
		}
		if err != nil {
			return nil, fmt.Errorf("template %s: %w", name, err)
		}
		all[name] = t
	}
	return all, nil
}

// render sends a page. It is drawn completely before the first byte goes out,
// so that a template that fails is a whole error page, not half a page.
func (w *Web) render(c *gin.Context, name string, p *page) error {
	body, err := w.draw(c, name, p)
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", pageCache)
	if w.Debug || p.Stale {
		h.Set("Cache-Control", "no-store")
	} else {
		sum := sha256.Sum256(body)
		h.Set("ETag", `W/"`+hex.EncodeToString(sum[:12])+`"`)
	}
	if etag := h.Get("ETag"); etag != "" && has(c.Request, etag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	c.Data(http.StatusOK, "text/html; charset=utf-8", body)
	return nil
}

// draw executes a page's template.
func (w *Web) draw(c *gin.Context, name string, p *page) ([]byte, error) {
	ctx := c.Request.Context()
	rec := recordOf(ctx)
	p.Stale = rec.ledger.Count("stale") > 0
	if w.Debug {
		p.Debug = &debugBar{
			Route: rec.endpoint.pattern, Took: time.Since(rec.start), Trace: rec.ledger.TraceID, Spans: rec.ledger.Spans(),
			Queries: rec.ledger.Works("db"), Made: rec.ledger.Count("db"), Budget: rec.endpoint.queries,
		}
	}
	defer metrics.Time(ctx, "page.render")()
	var b bytes.Buffer
	if err := w.templates[name].Execute(&b, p); err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	if w.Measured() {
		w.meter.measured.With(p.Name).Inc()
	}
	return b.Bytes(), nil
}

// failure is what an error page says.
type failure struct {
	Status int
	Detail string
	Trace  string
}

// renderError sends an error page; plain text if even that cannot be drawn.
func (w *Web) renderError(c *gin.Context, status int, detail string) {
	p := w.page(c, http.StatusText(status))
	if !knownLocale(p.Locale) {
		p.Locale = negotiate(c.Request)
	}
	p.Name, p.NoIndex = errorPage, true
	p.Data = failure{Status: status, Detail: detail, Trace: recordOf(c.Request.Context()).ledger.TraceID}
	body, err := w.draw(c, errorPage, p)
	if err != nil {
		w.Log.Error("the error page cannot be drawn", "error", err)
		c.String(status, "%d %s\n", status, detail)
		return
	}
	c.Data(status, "text/html; charset=utf-8", body)
}

var functions = template.FuncMap{
	"number": number,
	"bytes":  size,
	"day":    func(t time.Time) string { return t.UTC().Format("2 Jan 2006") },
	"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"fixed":  func(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) },
	"millis": func(d time.Duration) string { return strconv.FormatFloat(float64(d)/1e6, 'f', 2, 64) + " ms" },
	"date":   func(t time.Time) moment { return moment{t} },
	"float":  func(n int) float64 { return float64(n) },
	"add":    func(a, b int) int { return a + b },
	// five stars are a hundred units wide
	"starWidth": func(rating float64) string { return strconv.FormatFloat(rating*20, 'f', 0, 64) },
}

// moment is a time for the template "date".
type moment struct{ time.Time }

// number groups thousands: 1,234,567.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes for people: 1.4 MB.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KB"
	default:
		return strconv.FormatInt(n, 10) + " bytes"
	}
}
