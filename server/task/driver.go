package task

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"addons/server/store"
)

// driver is where jobs wait.
type driver interface {
	name() string
	// send returns nil once the job is on disk.
	send(ctx context.Context, job store.Job) error
	// receive gives jobs that are due to run, at the most as many at a time as the
	// pool has slots, until ctx ends. It returns after the last of them.
	receive(ctx context.Context, pool *pool, run func(delivery))
	flush(ctx context.Context) error
	stats(ctx context.Context) (Stats, error)
	dead(ctx context.Context, limit int) ([]store.Job, error)
	replay(ctx context.Context, id string) error
	check(ctx context.Context) error
	close() error
}

// delivery is a job in a worker's hands. One of its calls returns nil in the end,
// or giveUp is called, or the worker dies and another one gets the job.
type delivery struct {
	job  store.Job // Attempt counts this one: 1 is the first
	lost int       // how many workers had it and were not heard of again
	done func(ctx context.Context) error
	// retry has it delivered again at the time, as one attempt more.
	retry  func(ctx context.Context, at time.Time, reason string) error
	dead   func(ctx context.Context, reason string) error
	giveUp func()
}

// pool is how many jobs may run at a time.
type pool struct{ slots chan struct{} }

func newPool(workers int) *pool { return &pool{make(chan struct{}, workers)} }

func (p *pool) size() int { return cap(p.slots) }

// acquire waits for a slot; false if ctx ended first.
func (p *pool) acquire(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case p.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *pool) tryAcquire() bool {
	select {
	case p.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *pool) release() { <-p.slots }

// backoff is how long to wait before trying again.
type backoff struct{ base, longest time.Duration }

// after returns the wait after the attempt of the number, from 1: base, doubled
// each time up to longest, less up to a half at random, so that what failed
// together is not tried again together.
func (b backoff) after(attempt int) time.Duration {
	d := b.longest
	if attempt < 16 {
		d = min(d, b.base<<(attempt-1))
	}
	return d/2 + rand.N(d/2+1)
}

// options is a queue's URL, read.
type options struct {
	scheme  string
	address string // the URL without its parameters; a password may be in it
	queue   string
	poll    time.Duration
	lease   time.Duration // 0: by the kinds
	sweep   time.Duration
	confirm time.Duration
	backoff time.Duration
}

// known lists the schemes with their parameters.
func known() map[string][]string {
	amqp := []string{"backoff", "confirm", "queue", "sweep"}
	return map[string][]string{"database": {"backoff", "lease", "poll"}, "amqp": amqp, "amqps": amqp}
}

// parse reads the URL. Errors don't quote it, because a password may be in it.
func parse(rawURL string) (options, error) {
	address, query, _ := strings.Cut(rawURL, "?")
	scheme, rest, _ := strings.Cut(address, ":")
	o := options{
		scheme: scheme, address: address, queue: "addons",
		poll: time.Second, sweep: time.Second, confirm: 500 * time.Millisecond, backoff: time.Second,
	}
	params, ok := known()[scheme]
	if !ok {
		return o, fmt.Errorf("task: unknown scheme %q: use database: or amqp://user:password@host:port/vhost", scheme)
	}
	if scheme == "database" && rest != "" {
		return o, fmt.Errorf("task: database: takes no address, because it is the site's database; got %q", rest)
	}
	if scheme != "database" {
		if err := checkAddress(address); err != nil {
			return o, err
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("task: parameters of %s: %w", scheme, err)
	}
	for name, v := range values {
		if !slices.Contains(params, name) {
			return o, fmt.Errorf("task: %s: has no parameter %q: use %s", scheme, name, strings.Join(params, ", "))
		}
		if err := o.parameter(name, v[0]); err != nil {
			return o, fmt.Errorf("task: %s: parameter %s: %w", scheme, name, err)
		}
	}
	return o, nil
}

func (o *options) parameter(name, value string) error {
	if name == "queue" {
		// The limit is AMQP's 255, less the ".dead".
		if value == "" || len(value) > 200 {
			return fmt.Errorf("%q is no name: use 1 to 200 characters", value)
		}
		o.queue = value
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no time above zero: write it as 1s", value)
	}
	map[string]func(){
		"poll":    func() { o.poll = d },
		"lease":   func() { o.lease = d },
		"sweep":   func() { o.sweep = d },
		"confirm": func() { o.confirm = d },
		"backoff": func() { o.backoff = d },
	}[name]()
	return nil
}

// open returns the driver. ctx bounds nothing that outlives the call.
func (o options) open(ctx context.Context, q *Queue) driver {
	if o.scheme == "database" {
		return newDatabase(o, q)
	}
	return newBroker(ctx, o, q)
}
