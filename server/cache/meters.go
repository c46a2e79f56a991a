package cache

import (
	"context"
	"errors"
	"net"
	"os"

	"addons/server/metrics"
)

// operation and outcome are the label values of the operations' histogram.
type operation string

const (
	opGet    operation = "get"
	opSet    operation = "set"
	opAdd    operation = "add"
	opSwap   operation = "swap"
	opDelete operation = "delete"
	opCheck  operation = "check"
)

type outcome string

const (
	done     outcome = "ok"
	found    outcome = "hit"
	missed   outcome = "miss"
	exists   outcome = "exists"
	timedOut outcome = "timeout"
	canceled outcome = "canceled"
	failed   outcome = "error"
)

// outcomes lists what can become of each operation.
func outcomes() map[operation][]outcome {
	return map[operation][]outcome{
		opGet:    {found, missed, timedOut, canceled, failed},
		opSet:    {done, timedOut, canceled, failed},
		opAdd:    {done, exists, timedOut, canceled, failed},
		opSwap:   {done, exists, timedOut, canceled, failed},
		opDelete: {done, timedOut, canceled, failed},
		opCheck:  {done, timedOut, canceled, failed},
	}
}

// outcomeOf names what became of an operation that ctx's owner asked for.
func outcomeOf(ctx context.Context, op operation, err error) outcome {
	var netErr net.Error
	switch {
	case err == nil && op == opGet:
		return found
	case err == nil:
		return done
	case errors.Is(err, errMiss):
		return missed
	case errors.Is(err, errExists):
		return exists
	case ctx.Err() != nil:
		return canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return timedOut
	}
	return failed
}

// meters are the cache's instruments.
type meters struct {
	requests   *metrics.CounterVec
	operations *metrics.HistogramVec
	waits      *metrics.CounterVec
	skipped    *metrics.CounterVec
	notStored  *metrics.CounterVec
	leases     *metrics.CounterVec
	shadow     *metrics.CounterVec
	saved      *metrics.CounterVec
}

func newMeters(reg *metrics.Registry) *meters {
	return &meters{
		requests: reg.Counter(metrics.Desc{
			Name:   "addons_cache_requests_total",
			Help:   "Values asked for, by family (cache), by the backend that answered (memory is the in-process layer too) and by result: hit, negative (an empty result that is remembered), revalidated (past its time, renewed in the background), stale (past its time, the load being unavailable), miss, error (the backend could not be asked).",
			Labels: []metrics.Label{metrics.L("cache"), metrics.L("backend"), metrics.L("result")},
		}),
		operations: reg.Histogram(metrics.Desc{
			Name:   "addons_cache_operation_duration_seconds",
			Help:   "Time of one operation of a cache backend.",
			Labels: []metrics.Label{metrics.L("backend"), metrics.L("operation"), metrics.L("outcome")},
			Keys:   []string{"cache.{backend}.{operation}", "cache.{backend}.{operation}.{outcome}"},
			// A hit in process takes microseconds, one across the network some hundred.
			Buckets: []float64{.00001, .0001, .00025, .0005, .001, .0025, .005, .01, .02, .05, .1, .25},
			Span:    "cache",
		}),
		waits: reg.Counter(metrics.Desc{
			Name:   "addons_cache_flight_waits_total",
			Help:   "Misses that waited for another caller's load of the same key instead of loading.",
			Labels: []metrics.Label{metrics.L("cache")},
		}),
		skipped: reg.Counter(metrics.Desc{
			Name:   "addons_cache_skipped_total",
			Help:   "Operations not tried because their server had failed several times in a row.",
			Labels: []metrics.Label{metrics.L("backend")},
		}),
		notStored: reg.Counter(metrics.Desc{
			Name:   "addons_cache_not_stored_total",
			Help:   "Values that were not kept because they were too large for the backend or could not be encoded.",
			Labels: []metrics.Label{metrics.L("backend"), metrics.L("reason")},
		}),
		shadow: reg.Counter(metrics.Desc{
			Name:   "addons_cache_shadow_total",
			Help:   "Hits that were compared with a load of their own (the share of the cache URL's shadow), by family: match, mismatch (a stale read), changed (the copy was renewed or invalidated meanwhile), error (the load failed).",
			Labels: []metrics.Label{metrics.L("cache"), metrics.L("outcome")},
		}),
		saved: reg.Counter(metrics.Desc{
			Name:   "addons_cache_saved_seconds_total",
			Help:   "Time of the database that copies saved: for each one that answered, what the queries of its fill had taken.",
			Labels: []metrics.Label{metrics.L("cache")},
		}),
		leases: reg.Counter(metrics.Desc{
			Name:   "addons_cache_leases_total",
			Help:   "Leases on the fill of a key, by family: taken (this process loads), waited (another process's fill was used), lost (invalidated, evicted or taken over during the load, so not kept), none (the backend could not be asked).",
			Labels: []metrics.Label{metrics.L("cache"), metrics.L("outcome")},
		}),
	}
}

// results are one family's counters at one backend.
type results struct{ hit, negative, revalidated, miss, stale, err *metrics.Counter }

func (m *meters) results(family, backend string) results {
	return results{
		hit:         m.requests.With(family, backend, "hit"),
		negative:    m.requests.With(family, backend, "negative"),
		revalidated: m.requests.With(family, backend, "revalidated"),
		miss:        m.requests.With(family, backend, "miss"),
		stale:       m.requests.With(family, backend, "stale"),
		err:         m.requests.With(family, backend, "error"),
	}
}

// layerMeters are one backend's instruments.
type layerMeters struct {
	operations map[operation]map[outcome]*metrics.Histogram
	skipped    *metrics.Counter
	tooLarge   *metrics.Counter
}

func (m *meters) layer(backend string) *layerMeters {
	l := &layerMeters{
		operations: map[operation]map[outcome]*metrics.Histogram{},
		skipped:    m.skipped.With(backend),
		tooLarge:   m.notStored.With(backend, "too_large"),
	}
	for op, outs := range outcomes() {
		l.operations[op] = map[outcome]*metrics.Histogram{}
		for _, out := range outs {
			l.operations[op][out] = m.operations.With(backend, string(op), string(out))
		}
	}
	return l
}
