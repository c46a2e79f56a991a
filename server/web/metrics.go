package web

import (
	"net/http"
	"strconv"
	"sync/atomic"

	"addons/server/metrics"
)

// unmatched is the route label of requests that no route takes, so that scanners
// cannot make series.
const unmatched = "unmatched"

// otherMethod stands for methods that HTTP does not know.
// https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
const otherMethod = "_OTHER"

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace, otherMethod,
}

// clientGone is nginx's status for a client that left before its answer; nobody
// reads it, and no alert on 5xx should.
const clientGone = 499

// meter holds the instruments of all requests.
type meter struct {
	duration  *metrics.HistogramVec
	size      *metrics.HistogramVec
	queries   *metrics.HistogramVec
	exceeded  *metrics.CounterVec
	active    *metrics.Gauge
	responses [600]*metrics.Counter // by status
	measured  *metrics.CounterVec   // by page
}

func newMeter(reg *metrics.Registry) *meter {
	m := &meter{
		duration: reg.Histogram(metrics.Desc{
			Name: "http_server_request_duration_seconds",
			Help: "Time from the request's headers to the last byte of its answer.",
			// module and view name the same thing as http_route, in django-statsd's words: no series more.
			Labels: []metrics.Label{metrics.L("http_request_method"), metrics.L("http_route"),
				metrics.L("http_response_status_code"), metrics.L("module"), metrics.L("view")},
			Keys: []string{"view.{module}.{view}.{http_request_method}", "view.{module}.{http_request_method}",
				"view.{http_request_method}"},
			Limit: 4000,
		}),
		size: reg.Histogram(metrics.Desc{
			Name: "http_server_response_body_size_bytes", Help: "Bytes of the answer's body, as sent (compressed).",
			Labels: []metrics.Label{metrics.L("http_route")}, Buckets: metrics.SizeBuckets,
		}),
		queries: reg.Histogram(metrics.Desc{
			Name: "addons_db_queries_per_request", Help: "Database queries that one request made.",
			Labels: []metrics.Label{metrics.L("http_route")}, Buckets: metrics.CountBuckets,
		}),
		exceeded: reg.Counter(metrics.Desc{
			Name: "addons_db_query_budget_exceeded_total", Help: "Requests that made more database queries than their route may.",
			Labels: []metrics.Label{metrics.L("http_route")},
		}),
		active: reg.Gauge(metrics.Desc{
			Name: "http_server_active_requests", Help: "Requests being answered now.",
		}).With(),
	}
	m.countResponses(reg)
	m.measured = reg.Counter(metrics.Desc{
		Name: "addons_measured_pages_total", Help: "Pages served with the script that measures them: as many beacons could come.",
		Labels: []metrics.Label{metrics.L("page", Pages()...)},
	})
	return m
}

func (m *meter) countResponses(reg *metrics.Registry) {
	known := []string{strconv.Itoa(clientGone)}
	for status := range m.responses {
		if http.StatusText(status) != "" {
			known = append(known, strconv.Itoa(status))
		}
	}
	known = append(known, metrics.Other)
	vec := reg.Counter(metrics.Desc{
		Name: "addons_http_responses_total", Help: "Answers by status, over all routes.",
		Labels: []metrics.Label{metrics.L("http_response_status_code", known...)},
		Keys:   []string{"response.{http_response_status_code}"},
	})
	other := vec.With(metrics.Other)
	for status := range m.responses {
		m.responses[status] = other
	}
	for _, code := range known[:len(known)-1] {
		status, _ := strconv.Atoi(code)
		m.responses[status] = vec.With(code)
	}
}

// response is the counter of a status.
func (m *meter) response(status int) *metrics.Counter {
	if status < 0 || status >= len(m.responses) {
		status = 0
	}
	return m.responses[status]
}

// endpoint is a route with its instruments, resolved so that a request looks up
// no labels.
type endpoint struct {
	route
	meter  *meter
	size   *metrics.Histogram
	made   *metrics.Histogram // queries
	budget *budget
	// by method and status: filled at the first answer of its kind, because a
	// series for each of sixty statuses of each route would drown those in use
	durations map[string]*[600]atomic.Pointer[metrics.Histogram]
}

func (m *meter) endpoint(r route) *endpoint {
	e := &endpoint{
		route: r, meter: m,
		size: m.size.With(r.pattern), made: m.queries.With(r.pattern),
		budget:    &budget{route: r.pattern, queries: r.queries, exceeded: m.exceeded.With(r.pattern)},
		durations: map[string]*[600]atomic.Pointer[metrics.Histogram]{},
	}
	for _, method := range r.methods() {
		e.durations[method] = &[600]atomic.Pointer[metrics.Histogram]{}
	}
	if r.method != "" {
		e.duration(r.method, http.StatusOK)
		e.duration(r.method, http.StatusInternalServerError)
	}
	return e
}

// methods are those that can reach the route.
func (r route) methods() []string {
	switch r.method {
	case "":
		return methods
	case http.MethodGet:
		return []string{http.MethodGet, http.MethodHead}
	default:
		return []string{r.method}
	}
}

// duration is the timer of a method and status.
func (e *endpoint) duration(method string, status int) *metrics.Histogram {
	slots, ok := e.durations[method]
	if !ok {
		method = otherMethod
		slots = e.durations[method]
	}
	if slots == nil || status < 0 || status >= len(slots) {
		return e.resolve(method, metrics.Other)
	}
	h := slots[status].Load()
	if h == nil {
		h = e.resolve(method, strconv.Itoa(status))
		slots[status].Store(h)
	}
	return h
}

func (e *endpoint) resolve(method, status string) *metrics.Histogram {
	return e.meter.duration.With(method, e.pattern, status, e.module, e.name)
}
