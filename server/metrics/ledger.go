package metrics

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Ledger is what one request or task has spent so far, by span ("db", "cache"…),
// and the trace id that its page, log lines, exemplars and errors share. A nil
// Ledger takes additions and forgets them.
type Ledger struct {
	TraceID string // 32 lower-case hex digits

	exemplar prometheus.Labels
	whole    *Ledger // nil, or the one that this is a part of

	mu    sync.Mutex
	spans []Span
	works []Work
}

// Span is one kind of work within a request.
type Span struct {
	Name  string
	Count int
	Total time.Duration // sum; parallel calls may exceed the request's own time
}

type ledgerKey struct{}

// Begin returns ctx with a new Ledger. parent is a W3C traceparent header whose
// trace is continued if it is valid; "" or anything else starts a new trace.
// https://www.w3.org/TR/trace-context/#traceparent-header
func Begin(ctx context.Context, parent string) (context.Context, *Ledger) {
	id := NewTraceID(parent).String()
	l := &Ledger{TraceID: id, exemplar: prometheus.Labels{"trace_id": id}}
	return context.WithValue(ctx, ledgerKey{}, l), l
}

// From returns the Ledger in ctx, nil if there is none.
func From(ctx context.Context) *Ledger {
	l, _ := ctx.Value(ledgerKey{}).(*Ledger)
	return l
}

// traceID reads version-traceid-parentid-flags; all zeros are no id.
func traceID(parent string) (string, bool) {
	parts := strings.Split(parent, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || len(parts[1]) != 32 || len(parts[2]) != 16 {
		return "", false
	}
	id := parts[1]
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return id, id != strings.Repeat("0", 32)
}

// Add adds one piece of work to a span.
func (l *Ledger) Add(name string, d time.Duration) {
	if l == nil {
		return
	}
	l.whole.Add(name, d)
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.spans, func(s Span) bool { return s.Name == name })
	if i < 0 {
		l.spans = append(l.spans, Span{Name: name})
		i = len(l.spans) - 1
	}
	l.spans[i].Count++
	l.spans[i].Total += d
}

// work adds one piece of work of a span by its name.
func (l *Ledger) work(span, name string, d time.Duration) {
	if l == nil || name == "" {
		return
	}
	l.whole.work(span, name, d)
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.works, func(w Work) bool { return w.Name == name })
	if i < 0 {
		if len(l.works) == maxWorks {
			return
		}
		l.works = append(l.works, Work{Span: span, Name: name})
		i = len(l.works) - 1
	}
	w := &l.works[i]
	w.Count++
	w.Total += d
	w.Longest = max(w.Longest, d)
}

// Works returns the work so far of the spans, of all if none are named: by name, in
// the order of first use.
func (l *Ledger) Works(spans ...string) []Work {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.works), func(w Work) bool {
		return len(spans) > 0 && !slices.Contains(spans, w.Span)
	})
}

// Spans returns a copy of what was spent, in the order of first use.
func (l *Ledger) Spans() []Span {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.spans)
}

// Count returns how often the span was added to.
func (l *Ledger) Count(name string) int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.spans {
		if s.Name == name {
			return s.Count
		}
	}
	return 0
}

// ServerTiming renders the ledger as a Server-Timing header value, with the
// whole request's time as "app" and the trace id as "trace".
// https://www.w3.org/TR/server-timing/
func (l *Ledger) ServerTiming(total time.Duration) string {
	b := appendMillis(append(make([]byte, 0, 160), "app;dur="...), total)
	for _, s := range l.Spans() {
		b = append(append(append(b, ", "...), s.Name...), ";dur="...)
		b = append(appendMillis(b, s.Total), `;desc="`...)
		b = append(strconv.AppendInt(b, int64(s.Count), 10), '"')
	}
	if l != nil {
		b = append(append(append(b, `, trace;desc="`...), l.TraceID...), '"')
	}
	return string(b)
}
