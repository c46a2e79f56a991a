package web

import (
	"net/http"
	"runtime/debug"
	"time"

	"addons/server/metrics"
	"addons/server/update"
)

// versionCheckPath is the update check's, which is nearly all of the traffic.
const versionCheckPath = "/update/VersionCheck.php"

// hot answers the update checks whose answers lie ready in memory, ahead of the
// middleware and of gin, whose share of such an answer was three quarters; next
// answers everything else. It measures what measure does, by handles that were
// resolved at the start, and makes no context, no ledger, no record and no timer.
func (w *Web) hot(next http.Handler) http.Handler {
	e := w.endpointOf(versionCheckPath)
	for _, status := range []int{http.StatusOK, http.StatusNotModified} {
		e.duration(http.MethodGet, status)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != versionCheckPath || r.Method != http.MethodGet || r.ContentLength != 0 {
			next.ServeHTTP(rw, r)
			return
		}
		h := quick{w: w, e: e, start: metrics.Now()}
		defer h.recover(rw, r)
		answer, ok := w.Update.Quick(r.URL.RawQuery, h.start)
		if !ok || len(answer.Body) >= compressFrom {
			h.passed = true
			next.ServeHTTP(rw, r)
			return
		}
		h.answer(rw, r, answer)
	})
}

// endpointOf is the endpoint of a pattern, which is in the table.
func (w *Web) endpointOf(pattern string) *endpoint {
	for _, e := range w.table {
		if e.pattern == pattern {
			return e
		}
	}
	panic("web: no route " + pattern)
}

// quick is one check that is answered from memory.
type quick struct {
	w       *Web
	e       *endpoint
	start   metrics.Moment
	trace   metrics.TraceID
	passed  bool // it is next's
	written bool
}

// answer counts before it writes: what it writes goes into a buffer that net/http
// sends when the handler is done. A request of a microsecond is no active one: no
// scrape would ever see it.
func (q *quick) answer(rw http.ResponseWriter, r *http.Request, answer update.Response) {
	status, body := http.StatusOK, answer.Body
	if len(r.Header["If-None-Match"]) > 0 && has(r, answer.ETag[0]) {
		status, body = http.StatusNotModified, nil
	}
	h := rw.Header()
	for _, common := range q.w.dataHeaders {
		h[common.name] = common.value
	}
	h["Cache-Control"] = keepFor(answer)
	h["Etag"] = answer.ETag
	if metrics.On {
		q.trace = metrics.NewTraceID(first(r.Header["Traceparent"]))
		now := metrics.Now()
		took := time.Duration(now - q.start)
		q.w.Update.Count(answer.Outcome, now, took, q.trace)
		q.count(now, status, len(body))
		var timing [96]byte
		h["Server-Timing"] = []string{string(metrics.AppendServerTiming(timing[:0], took, q.trace))}
	}
	q.written = true
	if status == http.StatusNotModified {
		rw.WriteHeader(status)
		return
	}
	h["Content-Type"] = jsonType
	rw.Write(body) // that its reader has gone is nobody's fault
}

// count observes the instruments of all requests, each once.
func (q *quick) count(now metrics.Moment, status, size int) {
	q.e.duration(http.MethodGet, status).ObserveAt(now, time.Duration(now-q.start), q.trace)
	q.e.size.Add(float64(size))
	q.e.made.Add(0)
	q.w.meter.response(status).Inc()
}

// recover does for a panic what (*Web).recover does.
func (q *quick) recover(rw http.ResponseWriter, r *http.Request) {
	value := recover()
	if value == nil {
		return
	}
	if q.passed {
		panic(value) // next has counted it
	}
	ctx, _ := metrics.Begin(r.Context(), first(r.Header["Traceparent"]))
	q.w.Faults.Panic(ctx, q.e.pattern, value, debug.Stack())
	q.count(metrics.Now(), http.StatusInternalServerError, 0)
	if q.written {
		panic(http.ErrAbortHandler)
	}
	h := rw.Header()
	clear(h)
	h["Cache-Control"], h["Content-Type"] = noStore, jsonType
	rw.WriteHeader(http.StatusInternalServerError)
	rw.Write([]byte(`{"detail":"` + detail(http.StatusInternalServerError, nil) + `"}`))
}

// first is a header's first value, "" if there is none.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
