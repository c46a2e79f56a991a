package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"addons/server/metrics"
)

// Event is something that happened to a key in this process.
type Event struct {
	At    time.Time
	Cache string // the family's name
	Key   string
	What  string
}

const (
	// eventsMax is how many events are kept of each family, some 300 bytes each: one
	// that is written to all the time leaves the others theirs.
	eventsMax = 200
	// eventKey is as much of a key as an event tells: lists have long ones.
	eventKey = 300
)

// events are the last ones, in a ring.
type events struct {
	mu   sync.Mutex
	ring []Event
	next int
}

func (e *events) add(cache, key, what string) {
	ev := Event{time.Now(), cache, strings.Clone(clipped(key)), what}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ring) < eventsMax {
		e.ring = append(e.ring, ev)
		return
	}
	e.ring[e.next] = ev
	e.next = (e.next + 1) % eventsMax
}

func clipped(key string) string { return key[:min(len(key), eventKey)] }

func (e *events) all() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ring)
}

// Events returns the last things that happened to keys in this process, the latest
// first: loads, and what ended copies. At most 200 are kept of each family.
func (c *Cache) Events() []Event {
	var all []Event
	for _, name := range c.names() {
		h, _ := c.handles.Load(name)
		all = append(all, h.(*Handle).events.all()...)
	}
	slices.SortStableFunc(all, func(a, b Event) int { return b.At.Compare(a.At) })
	return all
}

// Explanation is what is known of one key.
type Explanation struct {
	Cache   string
	Key     string
	Stored  string   // the key as the backend has it
	Copies  []Copy   // the in-process layer's first, if there is one
	History []Event  // what lately happened to it in this process, the latest first
	Feed    FeedInfo // what this process knows of changes
}

// FeedInfo is how far a process follows the database's changes.
type FeedInfo struct {
	Change  int64         // the last one taken in
	Behind  time.Duration // since all were taken in; 0: it does not follow
	Objects int           // that are told apart
	Floor   int64         // changes up to it are not
}

// Copy is what one backend has under a key.
type Copy struct {
	Backend string
	// State is what would become of a request for it: none, fresh, negative, stale
	// (past its time), outdated (by a change), filling (somebody has the lease), unreadable, or
	// unavailable (the backend does not answer).
	State    string
	Filled   time.Time // zero if it never was
	Fresh    time.Time // until then it answers
	Dead     time.Time // until then it answers if the load is unavailable
	Took     time.Duration
	Database time.Duration // of Took
	By       string        // the process that filled it
	Queries  []string
	Bytes    int
	Change   int64    // all changes up to it are in the copy
	Any      bool     // any change ends it
	Objects  []string // a change of one of them ends it
	Ended    string   // by what it is outdated
	Last     string   // the last known change of what it is made of
}

// Explain tells what there is under "NAME:KEY", such as "addon:some-slug", with
// NAME a family's and KEY what Fetch was called with. It changes nothing.
func (c *Cache) Explain(ctx context.Context, name string) (Explanation, error) {
	family, key, ok := strings.Cut(name, ":")
	h, known := c.handles.Load(family)
	if !ok || !known {
		return Explanation{}, fmt.Errorf("%q: write NAME:KEY, with NAME one of %s", name, strings.Join(c.names(), ", "))
	}
	gen, err := h.(*Handle).refresh(ctx, c)
	x := Explanation{Cache: family, Key: key, Stored: c.key(Family{Name: family}, gen, key), Feed: c.feed.info()}
	for _, l := range []*layer{c.near, c.far} {
		if l != nil {
			x.Copies = append(x.Copies, c.copy(ctx, l, x.Stored))
		}
	}
	if err != nil {
		x.Copies[len(x.Copies)-1].State = "unavailable"
	}
	for _, e := range c.Events() {
		if e.Cache == family && e.Key == clipped(key) {
			x.History = append(x.History, e)
		}
	}
	return x, nil
}

// names are the known families', sorted.
func (c *Cache) names() []string {
	var all []string
	c.handles.Range(func(name, _ any) bool { all = append(all, name.(string)); return true })
	slices.Sort(all)
	return all
}

func (c *Cache) copy(ctx context.Context, l *layer, key string) Copy {
	raw, err := l.get(ctx, key)
	x := Copy{Backend: l.driver.name(), Bytes: len(raw)}
	switch e, ok := inspect(raw); {
	case errors.Is(err, errMiss):
		x.State = "none"
	case err != nil:
		x.State = "unavailable"
	case !ok:
		x.State = "unreadable"
	default:
		c.describe(&x, e)
	}
	return x
}

func (c *Cache) describe(x *Copy, e entry) {
	now, filled := time.Now(), e.fill.at.UnixNano() != 0
	by, queries, _ := strings.Cut(string(e.fill.by), "\n")
	if filled {
		x.Filled, x.Fresh, x.Dead = e.fill.at, e.fresh, e.dead
	}
	x.Took, x.Database, x.By, x.Queries = e.fill.took, e.fill.database, by, strings.FieldsFunc(queries, func(r rune) bool { return r == '\n' })
	x.Change, x.Any = e.made.seq, e.made.any
	for object := range e.made.each() {
		x.Objects = append(x.Objects, string(object))
	}
	if last := c.feed.lastChange(e.made); last.seq > 0 {
		x.Last = fmt.Sprintf("%s in change %d", last.object, last.seq)
	}
	v, ended := c.feed.judge(&e.made)
	switch {
	case v != current:
		x.State, x.Ended = "outdated", ended.String()
	case now.Before(e.until):
		x.State = "filling"
	case !now.Before(e.fresh):
		x.State = "stale"
	case e.negative:
		x.State = "negative"
	default:
		x.State = "fresh"
	}
}

func (ch change) String() string {
	if ch.object == "" {
		return fmt.Sprintf("change %d: it is a list, or what it lacks may be there now", ch.seq)
	}
	return fmt.Sprintf("change %d of %s", ch.seq, ch.object)
}

// Report is what one family has earned in this process since it started.
type Report struct {
	Cache       string
	Hits        int64
	Negative    int64 // hits of an empty result
	Revalidated int64 // hits of a copy past its time, which was renewed meanwhile
	Stale       int64 // hits of one while the database was down
	Misses      int64
	Errors      int64         // misses because the backend did not answer
	Waited      int64         // misses that another caller's or process's load answered
	Lost        int64         // loads that were not kept, because somebody wrote meanwhile
	Compared    int64         // hits that were compared with the database
	Mismatches  int64         // of these, stale reads
	Saved       time.Duration // time of the database that hits would have taken
}

// Report tells what each family has earned, by name.
func (c *Cache) Report() []Report {
	var all []Report
	for _, name := range c.names() {
		h, _ := c.handles.Load(name)
		all = append(all, h.(*Handle).report())
	}
	return all
}

func (h *Handle) report() Report {
	r := Report{
		Cache:  h.name,
		Waited: count(h.waits) + count(h.leases[leaseWaited]), Lost: count(h.leases[leaseLost]),
		Compared:   count(h.shadows[shadowMatch]) + count(h.shadows[shadowMismatch]) + count(h.shadows[shadowChanged]),
		Mismatches: count(h.shadows[shadowMismatch]), Saved: time.Duration(h.saved.Value() * float64(time.Second)),
	}
	layers := []results{h.far}
	if h.near != h.far {
		layers = append(layers, h.near)
	}
	for _, l := range layers {
		r.Hits += count(l.hit)
		r.Negative += count(l.negative)
		r.Revalidated += count(l.revalidated)
		r.Stale += count(l.stale)
		r.Misses += count(l.miss)
		r.Errors += count(l.err)
	}
	return r
}

func count(c *metrics.Counter) int64 { return int64(c.Value()) }
