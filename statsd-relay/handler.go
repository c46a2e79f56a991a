package relay

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
)

//go:embed status.html status.css
var assets embed.FS

// Handler serves /metrics (OpenMetrics or protobuf to who asks for it), the
// status page at /, /-/healthy, /-/ready while lines are read, POST /-/reload, and
// to this host Go's profiles at /debug/pprof/.
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
	// A profile costs processor time, and shows how the program was started.
	mux.HandleFunc("GET /debug/pprof/", onThisHost(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", onThisHost(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", onThisHost(pprof.Trace))
	return mux
}

// onThisHost answers no other host.
func onThisHost(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if !isLocal(req) {
			http.Error(w, "ask from this host", http.StatusForbidden)
			return
		}
		h(w, req)
	}
}

func isLocal(req *http.Request) bool {
	host, _, err := net.SplitHostPort(req.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
