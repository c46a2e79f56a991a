package update

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

const (
	// Behind bounds how old what a process answers by can be: an add-on that was
	// committed before that, by whatever process, is in its answers. It is some rounds
	// of the feed, of which each looks for what was committed since the last.
	Behind = 5 * time.Second

	every    = time.Second // a round
	patience = 2 * time.Second
	// recent is how many of the last changes a process that starts reads: so that it
	// doesn't believe a sheet in the shared cache that one of them has outdated.
	recent = 10_000
	chunk  = 1000   // changes a query
	fill   = 10_000 // ids a query
	// reread is how old a page gets before it is read anew, in the background: the
	// feed tells of changes; this is for what was written past the platform.
	reread = time.Hour
	// readers read pages anew, and waiting is how many may wait for them: beyond, a
	// page waits for the next check of it.
	readers = 2
	waiting = 256
	// anewMax is how many add-ons of a round are read at once; pages of further ones
	// are read when they are asked for.
	anewMax = 200
)

// feed is what a Service knows of the store's changes.
type feed struct {
	seq      atomic.Int64 // the last change that was taken in
	asOf     atomic.Int64 // a metrics.Moment: all that was committed before is taken in; 0: the feed never ran
	complete atomic.Bool  // every id is in the set
	restarts int          // Run's own
	asked    chan asked

	known, bytes, behind *metrics.Gauge
}

// asked is a page to be read anew.
type asked struct {
	p *page
	r Request
}

func newFeed(reg *metrics.Registry) feed {
	return feed{
		asked: make(chan asked, waiting),
		known: reg.Gauge(metrics.Desc{
			Name: "addons_update_known_addons", Help: "Add-ons in the set by which update checks of unknown ones are answered.", Debug: true,
		}).With(),
		bytes: reg.Gauge(metrics.Desc{
			Name: "addons_update_memory_bytes", Help: "Memory of the set of known add-ons and of the answers that lie ready.",
		}).With(),
		behind: reg.Gauge(metrics.Desc{
			Name: "addons_update_behind_seconds", Help: "Age of what update checks are answered by: time since all changes were last taken in.",
		}).With(),
	}
}

func (f *feed) runs() bool { return f.asOf.Load() != 0 }

// state says whether what is in memory is right as of Behind ago, or else whether it
// is good enough while the database is down.
func (f *feed) state(now metrics.Moment, keep time.Duration) (current, stale bool) {
	asOf := metrics.Moment(f.asOf.Load())
	age := time.Duration(now - asOf)
	switch {
	case asOf == 0:
		return false, false
	case age < Behind:
		return true, false
	}
	return false, age < keep
}

// ask has a page read anew, if it is not under way and somebody has time.
func (f *feed) ask(p *page, r Request) {
	if !p.asking.CompareAndSwap(false, true) {
		return
	}
	select {
	case f.asked <- asked{p, r}:
	default:
		p.asking.Store(false)
	}
}

// Run follows the store's changes until ctx is done. Until it runs, and should it not
// be able to, the Service asks the cache and the database for everything.
func (s *Service) Run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	for range readers {
		wait.Go(func() { s.readAnew(ctx) })
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round takes in what was committed since the last one. An error of the store's is
// counted and told of by the store; what it means here is that asOf stays.
func (s *Service) round(ctx context.Context) {
	if err := s.follow(ctx); err == nil && !s.feed.complete.Load() {
		s.fill(ctx)
	}
	ids, setBytes := s.known.size()
	_, frontBytes := s.front.size()
	s.feed.known.Set(float64(ids))
	s.feed.bytes.Set(float64(setBytes + frontBytes))
	if asOf := metrics.Moment(s.feed.asOf.Load()); asOf != 0 {
		s.feed.behind.Set(asOf.Since().Seconds())
	}
}

// follow takes in the changes.
func (s *Service) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ctx, _ = metrics.Begin(ctx, "") // by which fetch learns that a copy is stale
	asOf := metrics.Now()           // before the query: a later commit may not be in it
	clock, err := s.db.Clock(ctx)
	if err != nil {
		return err
	}
	if seq := s.feed.seq.Load(); !s.feed.runs() {
		err = s.start(ctx, clock)
	} else if clock < seq { // another database, or an old copy of it
		err = catalog.ErrBehind
	} else if clock > seq {
		err = s.take(ctx, seq, clock)
	}
	if errors.Is(err, catalog.ErrBehind) {
		s.restart(clock)
		err = nil
	}
	if err == nil {
		s.feed.asOf.Store(int64(asOf))
	}
	return err
}

// start takes in the last changes before clock, as far back as they are known.
func (s *Service) start(ctx context.Context, clock int64) error {
	s.feed.seq.Store(clock)
	after := max(0, clock-recent)
	s.front.clear(after)
	for after < clock {
		guids, err := s.changes(ctx, after)
		if err != nil {
			return err
		}
		for _, guid := range guids {
			after++
			s.front.changed(s.known.hash(guid), after)
		}
	}
	return nil
}

// changes returns some of the changes after a number that is not the last.
func (s *Service) changes(ctx context.Context, after int64) ([]string, error) {
	guids, err := s.db.Changes(ctx, after, chunk)
	if err == nil && len(guids) == 0 {
		err = catalog.ErrBehind
	}
	return guids, err
}

// restart forgets everything: what has changed is not known.
func (s *Service) restart(clock int64) {
	s.feed.restarts++
	s.feed.complete.Store(false)
	s.feed.seq.Store(clock)
	s.front.clear(clock)
}

// take takes in the changes after seq up to clock at least.
func (s *Service) take(ctx context.Context, seq, clock int64) error {
	for seq < clock {
		guids, err := s.changes(ctx, seq)
		if err != nil {
			return err
		}
		for i, guid := range guids {
			hash := s.known.hash(guid)
			s.known.add(hash)
			s.front.changed(hash, seq+int64(i)+1)
		}
		seq += int64(len(guids))
		s.feed.seq.Store(seq) // after the notes: a page that is read from here on has seen them
		s.bring(ctx, guids)
	}
	return nil
}

// bring replaces what is kept of add-ons that have changed: first the shared copies
// go, then the pages that lie ready are read anew, which were served until then.
func (s *Service) bring(ctx context.Context, guids []string) {
	var keys []string
	seen := make(map[string]bool, len(guids))
	for _, guid := range guids {
		if !seen[guid] {
			seen[guid] = true
			keys = append(keys, Keys(guid)...)
		}
	}
	_ = s.cache.Invalidate(ctx, s.family, keys...) // else this process uses none of the copies, and counts it
	for guid := range seen {
		hash := s.known.hash(guid)
		for _, r := range requests(guid) {
			p := s.front.get(hash, guid, r.App.Slug)
			if p == nil {
				continue
			}
			if len(seen) > anewMax {
				p.outdated.Store(true)
				continue
			}
			s.readPage(ctx, p, r, hash)
		}
	}
}

// readPage replaces a page of the front; one that can't be replaced is not to be
// served any more, but while the database is down.
func (s *Service) readPage(ctx context.Context, p *page, r Request, hash uint64) {
	if _, outcome, err := s.fetch(ctx, r, hash); err != nil || outcome == Stale {
		p.outdated.Store(true)
	}
}

// readAnew reads pages that are old, until ctx is done.
func (s *Service) readAnew(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-s.feed.asked:
			ctx, cancel := context.WithTimeout(ctx, patience)
			if raw, err := s.load(ctx, a.r); err == nil { // past the cache, which may have the same old copy
				if p, ok := newPage(raw, a.r.GUID, a.r.App); ok {
					s.front.put(s.known.hash(a.r.GUID), p)
				}
			}
			cancel()
			a.p.asking.Store(false)
		}
	}
}

// fill puts every id into the set, and follows the changes meanwhile. It ends early
// if the store does not answer: the next round tries again.
func (s *Service) fill(ctx context.Context) {
	restarts, last := s.feed.restarts, metrics.Now()
	for after := ""; ; {
		guids, err := s.guids(ctx, after)
		if err != nil {
			return
		}
		if len(guids) == 0 {
			break
		}
		for _, guid := range guids {
			s.known.add(s.known.hash(guid))
		}
		after = guids[len(guids)-1]
		if last.Since() > every {
			if s.follow(ctx) != nil || s.feed.restarts > restarts {
				return
			}
			last = metrics.Now()
		}
	}
	s.feed.complete.Store(true)
}

func (s *Service) guids(ctx context.Context, after string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.db.GUIDs(ctx, after, fill)
}
