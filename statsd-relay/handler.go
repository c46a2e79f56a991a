package relay

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed status.html status.css
var assets embed.FS

// Handler serves /metrics (OpenMetrics or protobuf to who asks for it), the
// status page at /, /-/healthy, /-/ready while lines are read, and POST /-/reload.
func (r *Relay) Handler() http.Handler {
	css, err := assets.ReadFile("status.css")
	if err != nil {
		panic(err) // it is embedded
	}
	page := template.Must(template.New("status.html").Funcs(template.FuncMap{
		"css": func() template.CSS { return template.CSS(css) },
	}).ParseFS(assets, "status.html"))

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newScraper(r))
	hash := sha256.Sum256(css)
	policy := fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		base64.StdEncoding.EncodeToString(hash[:]))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := page.Execute(w, r.report()); err != nil {
			r.log.Warn("status page", "error", err)
		}
	})
	// Pages of others must not have a browser on this host do it.
	mux.Handle("POST /-/reload", http.NewCrossOriginProtection().Handler(http.HandlerFunc(r.serveReload)))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "healthy\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !r.ready.Load() {
			http.Error(w, "not reading lines: starting, or stopping", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	return mux
}

// report is what the status page shows.
type report struct {
	Now      time.Time
	Flush    time.Duration
	Listens  []string
	Ready    bool
	Series   []seriesCount
	Limit    int
	Prefixes []seriesCount // those with the most series
	Top      []keyRate
	Sinks    []sinkReport
	BadLines []badReport
}

// seriesCount is how many series there are of a type, or whose names begin alike.
type seriesCount struct {
	Of    string
	Count int
}

// prefixesShown is how many beginnings of names the page lists.
const prefixesShown = 20

type sinkReport struct {
	Name, Address, Error string
	Since                time.Duration
	Waiting              int
	KiB                  int64
	Sent                 int64
	Facts                []fact
}

type badReport struct {
	At     time.Time
	Reason string
	Text   string // Go-quoted: it may hold anything
}

func (r *Relay) report() report {
	rep := report{Now: time.Now().UTC(), Flush: r.cfg.Load().Flush, Ready: r.ready.Load(), Limit: r.cfg.Load().MaxSeries}
	for _, l := range r.in {
		rep.Listens = append(rep.Listens, l.transport()+" "+l.addr().String())
	}
	rep.Series, rep.Prefixes, rep.Top = r.agg.shown()
	for _, s := range r.currentSinks() {
		for _, st := range statuses(s) {
			out := sinkReport{Name: st.name, Address: st.address, Since: time.Since(st.since).Round(time.Second), Waiting: st.waiting, KiB: (st.bytes + 1023) / 1024, Sent: st.sent, Facts: st.facts}
			if st.err != nil {
				out.Error = st.err.Error()
			}
			rep.Sinks = append(rep.Sinks, out)
		}
	}
	for _, b := range r.bad.last() {
		rep.BadLines = append(rep.BadLines, badReport{b.at.UTC(), b.why.String(), fmt.Sprintf("%q", b.text[:b.n])})
	}
	return rep
}

// shown counts the series by type and by the first part of their names, and lists
// the busiest of the last flush.
func (a *aggregator) shown() (types, prefixes []seriesCount, top []keyRate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.series {
		types = append(types, seriesCount{class(c).String(), a.series[c].len()})
	}
	for prefix, n := range a.prefixes {
		prefixes = append(prefixes, seriesCount{prefix, n})
	}
	slices.SortFunc(prefixes, func(x, y seriesCount) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), strings.Compare(x.Of, y.Of))
	})
	return types, prefixes[:min(len(prefixes), prefixesShown)], a.top
}
