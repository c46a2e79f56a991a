package search

import (
	"context"
	"errors"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// What is asked of an engine, as metrics name it.
const (
	opSearch   = "search"
	opComplete = "complete"
	opPut      = "put"
	opDelete   = "delete"
	opCount    = "count"
	opCheck    = "check"
	opReset    = "reset"
)

var timeouts = map[string]time.Duration{
	opSearch: readTimeout, opComplete: readTimeout, opCount: readTimeout, opCheck: readTimeout,
	opPut: writeTimeout, opDelete: writeTimeout, opReset: writeTimeout,
}

// instruments are the handles of one Index.
type instruments struct {
	backend    string
	operations *metrics.HistogramVec
	timer      *metrics.Histogram
	took       *metrics.Histogram
	partial    *metrics.Counter
}

func newInstruments(reg *metrics.Registry, backend string) *instruments {
	m := &instruments{
		backend: backend,
		operations: reg.Histogram(metrics.Desc{
			Name:   "addons_search_operation_duration_seconds",
			Help:   "Time of an operation on the search index, as its caller waits for it.",
			Labels: []metrics.Label{metrics.L("backend"), metrics.L("operation"), metrics.L("outcome")},
			Span:   "search",
		}),
		timer: reg.Histogram(metrics.Desc{
			Name:   "addons_search_timer_seconds",
			Help:   "Time of an answered search or completion, as its caller waits for it: what took lacks is network and queueing.",
			Labels: []metrics.Label{metrics.L("backend")},
			Keys:   []string{"search.{backend}.timer"},
		}).With(backend),
		took: reg.Histogram(metrics.Desc{
			Name:   "addons_search_took_seconds",
			Help:   "Time of an answered search or completion, as the engine says.",
			Labels: []metrics.Label{metrics.L("backend")},
			Keys:   []string{"search.{backend}.took"},
		}).With(backend),
		partial: reg.Counter(metrics.Desc{
			Name:   "addons_search_partial_total",
			Help:   "Searches that a part of the index did not answer.",
			Labels: []metrics.Label{metrics.L("backend")},
			Keys:   []string{"search.{backend}.partial"},
		}).With(backend),
	}
	for op := range timeouts {
		m.operation(op, "ok")
		m.operation(op, "unavailable")
	}
	return m
}

func (m *instruments) operation(op, outcome string) *metrics.Histogram {
	return m.operations.With(m.backend, op, outcome)
}

// outcome is the closed set of how operations end.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errPartial):
		return "partial"
	case errors.Is(err, catalog.ErrInvalid):
		return "invalid"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, catalog.ErrUnavailable):
		return "unavailable"
	}
	return "error"
}
