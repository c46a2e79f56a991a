package web

import (
	"log/slog"
	"sync/atomic"
	"time"

	"addons/server/metrics"
)

// budget holds a route to the number of queries that its line in the table allows.
type budget struct {
	route    string
	queries  int
	exceeded *metrics.Counter
	quiet    atomic.Int64 // nanoseconds since 1970: the log is told no more until then
}

// tellEvery is how often the log is told of one route's requests: a mistake that
// makes a query for each row makes them on every request.
const tellEvery = time.Minute

// check counts a request that made too many queries, and says in the log which.
func (b *budget) check(w *Web, l *metrics.Ledger, made int) {
	if made <= b.queries {
		return
	}
	b.exceeded.Inc()
	now := time.Now().UnixNano()
	until := b.quiet.Load()
	if now < until || !b.quiet.CompareAndSwap(until, now+int64(tellEvery)) {
		return
	}
	var asked []any
	for _, q := range l.Works("db") {
		asked = append(asked, slog.Int(q.Name, q.Count))
	}
	w.Log.Warn("a request made more queries than its route may",
		"route", b.route, "queries", made, "budget", b.queries, "trace", l.TraceID, slog.Group("asked", asked...))
}
