// Package fault takes the panics and errors that somebody should look at. They
// are counted, logged, kept in a bounded local list for the operators' error
// page, and sent to Sentry when a DSN is given. Nothing waits for Sentry, and a
// Sentry that is down loses only its own copy, which is counted.
package fault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/getsentry/sentry-go"

	"addons/server/metrics"
)

// groups is how many different faults are kept; past it the one seen longest ago goes.
const groups = 200

// Recorder takes faults. A nil Recorder forgets them. Safe for concurrent use.
type Recorder struct {
	log    *slog.Logger
	sentry *sentry.Client // nil without a DSN
	panics *metrics.CounterVec
	errors *metrics.CounterVec
	sent   *metrics.CounterVec

	mu     sync.Mutex
	groups map[string]*Event
}

// Event is one group of equal faults.
type Event struct {
	Kind        string // "panic" or "error"
	Where       string // route, task or part in which it happened
	Type        string // Go type of the error or of the panic's value
	Message     string // of the latest
	Stack       string // of the latest panic
	TraceID     string // of the latest
	Count       int
	First, Last time.Time
}

// New returns a Recorder. dsn is Sentry's (https://docs.sentry.io/concepts/key-terms/dsn-explainer/),
// "" for local only; release is what Sentry groups deploys by.
func New(dsn, release string, reg *metrics.Registry, log *slog.Logger) (*Recorder, error) {
	r := &Recorder{
		log:    log,
		groups: map[string]*Event{},
		panics: reg.Counter(metrics.Desc{
			Name: "addons_panics_total", Help: "Panics recovered, by where they happened (route or task).",
			Labels: []metrics.Label{metrics.L("where")}, Keys: []string{"error.panic"},
		}),
		errors: reg.Counter(metrics.Desc{
			Name: "addons_errors_total", Help: "Errors that somebody should look at, by where they happened (route or task).",
			Labels: []metrics.Label{metrics.L("where")}, Keys: []string{"error.error"},
		}),
		sent: reg.Counter(metrics.Desc{
			Name: "addons_sentry_events_total", Help: "Events handed to the Sentry client, and those lost because it could not take them.",
			Labels: []metrics.Label{metrics.L("outcome", "queued", "dropped")}, Debug: true,
		}),
	}
	if dsn == "" {
		return r, nil
	}
	if _, err := url.Parse(dsn); err != nil {
		return nil, errors.New("--sentry-dsn is no URL (want https://KEY@HOST/PROJECT)") // err quotes the key
	}
	client, err := sentry.NewClient(sentry.ClientOptions{
		Dsn: dsn, Release: release, AttachStacktrace: true, ServerName: "addons",
		HTTPTransport: reg.Transport("sentry", nil),
	})
	if err != nil {
		return nil, fmt.Errorf("--sentry-dsn %s is no Sentry DSN (want https://KEY@HOST/PROJECT): %w", redact(dsn), err)
	}
	r.sentry = client
	return r, nil
}

// redact hides the key in a DSN, which is the user of its URL.
func redact(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "(not a URL)"
	}
	u.User = nil
	return u.String()
}

// Error records an error. Cancelled requests are nobody's fault and are left out.
func (r *Recorder) Error(ctx context.Context, where string, err error) {
	if r == nil || err == nil || errors.Is(err, context.Canceled) {
		return
	}
	r.errors.With(where).Inc()
	e := r.keep(ctx, Event{Kind: "error", Where: where, Type: cause(err), Message: err.Error()})
	r.log.ErrorContext(ctx, "fault", "where", where, "error", err, "trace", e.TraceID)
	if r.sentry != nil {
		r.send(r.sentry.EventFromException(err, sentry.LevelError), e)
	}
}

// Panic records a recovered panic with its stack (debug.Stack).
func (r *Recorder) Panic(ctx context.Context, where string, value any, stack []byte) {
	if r == nil {
		return
	}
	r.panics.With(where).Inc()
	e := r.keep(ctx, Event{Kind: "panic", Where: where, Type: fmt.Sprintf("%T", value), Message: fmt.Sprint(value), Stack: string(stack)})
	r.log.ErrorContext(ctx, "panic", "where", where, "value", e.Message, "trace", e.TraceID, "stack", e.Stack)
	if r.sentry != nil {
		r.send(r.sentry.EventFromException(fmt.Errorf("panic: %v", value), sentry.LevelFatal), e)
	}
}

// cause is the type of the innermost error, which groups better than its text.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return reflect.TypeOf(err).String()
		}
		err = inner
	}
}

// keep adds e to its group and returns e with its trace id.
func (r *Recorder) keep(ctx context.Context, e Event) Event {
	if l := metrics.From(ctx); l != nil {
		e.TraceID = l.TraceID
	}
	e.Last, e.Count = time.Now().UTC(), 1
	e.First = e.Last
	id := strings.Join([]string{e.Kind, e.Where, e.Type}, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.groups[id]; old != nil {
		e.Count, e.First = old.Count+1, old.First
	} else if len(r.groups) >= groups {
		delete(r.groups, r.oldest())
	}
	kept := e
	r.groups[id] = &kept
	return e
}

// oldest is the id of the group seen longest ago; the caller holds the lock.
func (r *Recorder) oldest() string {
	var id string
	for i, e := range r.groups {
		if id == "" || e.Last.Before(r.groups[id].Last) {
			id = i
		}
	}
	return id
}

// send hands an event to the Sentry client, which queues it without waiting. No
// request data goes along: headers and query strings can hold secrets.
func (r *Recorder) send(event *sentry.Event, e Event) {
	event.Tags = map[string]string{"where": e.Where, "trace_id": e.TraceID}
	event.Transaction = e.Where
	if r.sentry.CaptureEvent(event, nil, nil) == nil {
		r.sent.With("dropped").Inc()
		return
	}
	r.sent.With("queued").Inc()
}

// Recent lists the groups, the latest first.
func (r *Recorder) Recent() []Event {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	events := make([]Event, 0, len(r.groups))
	for _, e := range r.groups {
		events = append(events, *e)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Where, b.Where)) })
	return events
}

// Close waits until what was queued has reached Sentry or ctx is done.
func (r *Recorder) Close(ctx context.Context) error {
	if r == nil || r.sentry == nil {
		return nil
	}
	defer r.sentry.Close()
	if !r.sentry.FlushWithContext(ctx) {
		return errors.New("sentry: some events were not delivered in time")
	}
	return nil
}
