// Package carbon brings batches of points to one or several of Graphite's carbons,
// each once at least, and keeps them through an outage.
//
// A point belongs to one carbon by consistent hashing, as carbon-relay has it.
// Each carbon has a backlog of its own: what it has yet to get waits in order, in
// memory and, with a spool folder, on disk, where it survives the process. A carbon
// that is down, or slow, costs no other anything.
//
// What is new goes out first; what waited follows at a bounded rate, oldest first
// and each with its own time. Whisper keeps the last value that comes for a slot,
// so after an outage the first minute of what was new is sent once more behind
// what waited: in a slot of up to a minute the later value wins.
package carbon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"addons/server/metrics"
)

// Config says which carbons there are and what may wait for them.
type Config struct {
	Addresses []string // host:port or host:port:instance, in the order of carbon-relay's DESTINATIONS
	Protocol  string   // "plaintext" or "pickle"; "" is plaintext
	Hash      string   // "carbon_ch" or "fnv1a_ch" (ROUTER_HASH_TYPE); "" is carbon_ch
	Memory    int64    // bytes of batches that each carbon's backlog may hold in memory; 0 is 64 MiB

	SpoolDir   string // folder for what waits; "" keeps it in memory alone
	SpoolLimit int64  // bytes on disk for each carbon; 0 is 1 GiB
	ReplayRate int    // points a second of what waited, for each carbon; 0 is 20,000, negative is unbounded
}

// Check fills what is left zero, and refuses what can't be done.
func (c Config) Check() (Config, error) {
	c.Protocol = cmp.Or(c.Protocol, "plaintext")
	c.Hash = cmp.Or(c.Hash, carbonHash)
	c.Memory = cmp.Or(c.Memory, 64<<20)
	c.SpoolLimit = cmp.Or(c.SpoolLimit, 1<<30)
	c.ReplayRate = cmp.Or(c.ReplayRate, 20_000) // what a carbon-cache on one core takes beside its own load
	switch {
	case c.Protocol != "plaintext" && c.Protocol != "pickle":
		return c, fmt.Errorf("graphite protocol %q: it is plaintext or pickle", c.Protocol)
	case c.Hash != carbonHash && c.Hash != fnvHash:
		return c, fmt.Errorf("graphite hash %q: it is %s or %s", c.Hash, carbonHash, fnvHash)
	case c.Memory < 0:
		return c, fmt.Errorf("graphite memory of %d bytes: it can't be negative", c.Memory)
	case c.SpoolLimit < spoolMin:
		return c, fmt.Errorf("spool limit of %d bytes: give %d at least", c.SpoolLimit, spoolMin)
	}
	_, err := c.nodes()
	return c, err
}

// nodes reads the addresses. Carbon tells nodes apart by host and instance alone.
func (c Config) nodes() ([]node, error) {
	var nodes []node
	for _, address := range c.Addresses {
		n, err := parseNode(address)
		if err != nil {
			return nil, err
		}
		for _, other := range nodes {
			if other.host == n.host && other.instance == n.instance {
				return nil, fmt.Errorf("graphite %s and %s: carbons on one host need instances, as %s:a", other, n, n.address)
			}
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// Batch is points of one time, or a part of them.
type Batch struct {
	At     time.Time
	More   bool   // a further part of the same time follows; the last counts for all
	Lines  []byte // "path value time\n" for each; tags are in the path as Graphite 1.1 has them
	Points int
}

// Metrics are a carbon's numbers.
type Metrics struct {
	SentBatches, ResentBatches, DroppedBatches *metrics.Counter
	SentPoints, ResentPoints, DroppedPoints    *metrics.Counter
	ReplayedPoints                             *metrics.Counter // of what had waited
	Bytes                                      *metrics.Counter // acknowledged
	ConnectErrors, WriteErrors                 *metrics.Counter
	SpoolErrors, SpoolCorrupt                  *metrics.Counter

	Up                 *metrics.Gauge
	Waiting            *metrics.Gauge // batches, not their parts
	Memory, Disk       *metrics.Gauge // bytes
	MemoryMax, DiskMax *metrics.Gauge
	Oldest             *metrics.Gauge // Unix time of the oldest that waits; 0 if none does
}

// Cluster is all carbons. Its methods are safe for concurrent use.
type Cluster struct {
	ring  *ring
	dests []*destination
	lock  *lock // nil without a spool

	mu       sync.Mutex
	dividing []Batch // by split
}

// New opens the spool, if there is one; an error says what to do about it. Each
// carbon's metrics are those that instruments returns for its address.
func New(cfg Config, instruments func(address string) Metrics, log *slog.Logger) (*Cluster, error) {
	cfg, err := cfg.Check()
	if err != nil {
		return nil, err
	}
	nodes, err := cfg.nodes()
	if err != nil {
		return nil, err
	}
	c := &Cluster{ring: newRing(nodes, cfg.Hash)}
	if cfg.SpoolDir != "" {
		if c.lock, err = lockSpool(cfg.SpoolDir, nodes, log); err != nil {
			return nil, err
		}
	}
	for _, n := range nodes {
		d, err := newDestination(n, cfg, instruments(n.String()), log)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.dests = append(c.dests, d)
	}
	return c, nil
}

// Send gives each carbon a copy of its part of b. It never waits.
func (c *Cluster) Send(b Batch) {
	c.divide(b, func(d *destination, part Batch) { d.push(part) })
}

// divide calls give with what of b each carbon gets; its lines are give's until it returns.
func (c *Cluster) divide(b Batch, give func(d *destination, part Batch)) {
	if len(c.dests) == 1 {
		give(c.dests[0], b)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, part := range c.split(b) {
		if part.Points > 0 || !part.More {
			give(c.dests[i], part)
		}
	}
}

// split parts b, in the memory of the batch before.
func (c *Cluster) split(b Batch) []Batch {
	if c.dividing == nil {
		c.dividing = make([]Batch, len(c.dests))
	}
	parts := c.dividing
	for i := range parts {
		parts[i] = Batch{At: b.At, More: b.More, Lines: parts[i].Lines[:0]}
	}
	for line := range bytes.Lines(b.Lines) {
		path, _, _ := bytes.Cut(line, []byte(" "))
		p := &parts[c.ring.node(string(path))]
		p.Lines = append(p.Lines, line...)
		p.Points++
	}
	return parts
}

// Room returns when no carbon that is well has more than bytes waiting in memory, or
// when ctx is done: whoever makes large batches may wait for it in between.
func (c *Cluster) Room(ctx context.Context, bytes int64) {
	for _, d := range c.dests {
		d.room(ctx, bytes)
	}
}

// Run delivers until ctx is done. Then, as long as drain is not, it delivers what
// still waits; with a spool only what is new, for the rest is safe. The error is
// about what was neither sent nor is on disk.
func (c *Cluster) Run(ctx, drain context.Context) error {
	defer c.Close()
	var group errgroup.Group
	errs := make([]error, len(c.dests))
	for i, d := range c.dests {
		group.Go(func() error {
			errs[i] = d.run(ctx, drain)
			return nil
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// Waiting is a batch that waits in memory alone.
type Waiting struct {
	Batch
	Resend bool // it was sent before; the connection broke
}

// Leave takes out what waits in the memory alone of a Cluster that does not run any
// more: what is on disk is found there.
func (c *Cluster) Leave() (all []Waiting) {
	for _, d := range c.dests {
		all = append(all, d.backlog.leave()...)
		d.measure()
	}
	return all
}

// Take adds what another Cluster has left, before c runs.
func (c *Cluster) Take(left []Waiting) {
	for _, w := range left {
		c.divide(w.Batch, func(to *destination, part Batch) { to.backlog.push(part, w.Resend) })
	}
	for _, d := range c.dests {
		d.measure()
	}
}

// Wait returns when every carbon has what was sent to it, or, while it is down,
// has it in its spool. What waited from before is not waited for. If ctx is done
// before, the error tells how much waits and why.
func (c *Cluster) Wait(ctx context.Context) error {
	errs := make([]error, len(c.dests))
	for i, d := range c.dests {
		errs[i] = d.wait(ctx)
	}
	return errors.Join(errs...)
}

// Status is how each carbon does, in the order of the addresses.
func (c *Cluster) Status() []Status {
	all := make([]Status, len(c.dests))
	for i, d := range c.dests {
		all[i] = d.status()
	}
	return all
}

// Close frees the spool of a Cluster that is not run; Run does so itself.
func (c *Cluster) Close() error {
	var errs []error
	for _, d := range c.dests {
		errs = append(errs, d.spool.close())
	}
	return errors.Join(append(errs, c.lock.release())...)
}
