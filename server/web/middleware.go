package web

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"

	"addons/rum"
	"addons/server/metrics"
)

const (
	// deadline of one request's work; a body that is still being sent may take longer.
	deadline = 30 * time.Second
	// bodyLimit holds for routes that do not name their own. No page takes more than a form.
	bodyLimit = 64 << 10
)

// header is one answer header, its value shared by all answers.
type header struct {
	name  string
	value []string
}

// securityHeaders go onto every answer; a handler may replace one.
func (w *Web) securityHeaders(https bool) []header {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if w.Measured() {
		policy += "; report-uri " + rum.Path // report-to is Chromium's alone, which still knows this
	}
	all := []header{
		{"Content-Security-Policy", []string{policy}},
		{"Cross-Origin-Opener-Policy", []string{"same-origin"}},
		{"Permissions-Policy", []string{"camera=(), geolocation=(), microphone=()"}},
		{"Referrer-Policy", []string{"strict-origin-when-cross-origin"}},
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"X-Frame-Options", []string{"DENY"}},
	}
	if https {
		all = append(all, header{"Strict-Transport-Security", []string{"max-age=31536000"}})
	}
	return all
}

// ofData are the headers that concern JSON too. The others are about documents and
// their scripts and frames, and an update check's answer, some 600 bytes, is sent
// thousands of times a second.
func ofData(all []header) []header {
	var some []header
	for _, h := range all {
		if h.name == "X-Content-Type-Options" || h.name == "Strict-Transport-Security" {
			some = append(some, h)
		}
	}
	return some
}

// record is what is learnt about one answer on its way out.
type record struct {
	http.ResponseWriter
	endpoint *endpoint
	ledger   *metrics.Ledger
	start    time.Time
	status   int
	size     int64
	panicked bool
	pin      func() // before the first byte; nil: nothing
}

type recordKey struct{}

// recordOf returns the record that measure put into the request.
func recordOf(ctx context.Context) *record { return ctx.Value(recordKey{}).(*record) }

// measure is the outermost middleware: ledger, deadline, common headers, and
// one observation of each instrument per request, after the last byte.
func (w *Web) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rec := &record{ResponseWriter: rw, endpoint: w.unmatched, start: time.Now()}
		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()
		ctx, rec.ledger = metrics.Begin(ctx, r.Header.Get("traceparent"))
		ctx = context.WithValue(metrics.Into(ctx, w.Registry), recordKey{}, rec)
		ctx = w.session(ctx, r, rec)
		h := rw.Header()
		for _, common := range w.headers {
			h[common.name] = common.value
		}
		w.meter.active.Add(1)
		// Deferred, because a handler may abort the connection by a panic.
		defer w.observe(ctx, rec, r.Method)
		next.ServeHTTP(rec, r.WithContext(ctx))
	})
}

func (w *Web) observe(ctx context.Context, rec *record, method string) {
	w.meter.active.Add(-1)
	status := rec.status
	switch {
	case rec.panicked:
		status = http.StatusInternalServerError
	case status == 0: // net/http sends this when a handler wrote nothing
		status = http.StatusOK
	}
	rec.endpoint.duration(method, status).Observe(ctx, time.Since(rec.start))
	// Nobody follows an exemplar from a size or a count: without the ledger in ctx
	// these two cost a tenth.
	rec.endpoint.size.Record(context.Background(), float64(rec.size))
	made := rec.ledger.Count("db")
	rec.endpoint.made.Record(context.Background(), float64(made))
	rec.endpoint.budget.check(w, rec.ledger, made)
	w.meter.response(status).Inc()
	if rec.endpoint.page != "" {
		w.Recent.Keep(rec.ledger, rec.endpoint.pattern, rec.start)
	}
}

// WriteHeader notes the status, and tells the browser what the answer cost:
// this is the last moment at which a header can be added.
func (r *record) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
		if r.pin != nil {
			r.pin()
		}
		r.Header().Set("Server-Timing", r.ledger.ServerTiming(time.Since(r.start)))
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *record) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(b)
	r.size += int64(n)
	return n, err
}

// Flush lets handlers stream.
func (r *record) Flush() {
	if f, ok := r.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (r *record) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// run makes a route's handler gin's: it names the route for the record, bounds
// the body, and turns errors and panics into answers.
func (w *Web) run(e *endpoint) gin.HandlerFunc {
	limit := e.body
	if limit == 0 {
		limit = bodyLimit
	}
	return func(c *gin.Context) {
		rec := recordOf(c.Request.Context())
		rec.endpoint = e
		if c.Request.Body != nil && c.Request.Body != http.NoBody {
			c.Request.Body = http.MaxBytesReader(rec, c.Request.Body, limit)
		}
		defer w.recover(c, rec)
		if err := e.handle(c); err != nil {
			w.fail(c, err)
		}
	}
}

// recover turns a panic into one recorded fault and one 500, or into a cut
// connection if half an answer is already on its way.
func (w *Web) recover(c *gin.Context, rec *record) {
	value := recover()
	if value == nil {
		return
	}
	if err, ok := value.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(value) // net/http's own way to cut a connection: no fault
	}
	ctx := c.Request.Context()
	rec.panicked = true
	w.Faults.Panic(ctx, rec.endpoint.pattern, value, debug.Stack())
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	w.answerError(c, http.StatusInternalServerError, nil)
}

// fail answers an error that a handler returned. What only the operator can
// mend is recorded; what the visitor asked wrongly is not.
func (w *Web) fail(c *gin.Context, err error) {
	status := statusOf(err)
	rec := recordOf(c.Request.Context())
	if status >= 500 {
		w.Faults.Error(c.Request.Context(), rec.endpoint.pattern, err)
	}
	if c.Writer.Written() {
		rec.panicked = status >= 500
		panic(http.ErrAbortHandler)
	}
	w.answerError(c, status, err)
}
