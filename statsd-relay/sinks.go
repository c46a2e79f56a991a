package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"addons/statsd-relay/carbon"
)

// sinkKind is one kind of sink. A Relay has at most one sink of each.
type sinkKind struct {
	name     string   // of its sinks
	sections []string // of the settings that it is made of; a running Relay can change them
	wanted   func(Config) bool
	make     func(Config, *self, *slog.Logger) (sink, error)
}

// sinkKinds are those that there are.
func sinkKinds() []sinkKind {
	return []sinkKind{
		{"graphite", []string{"graphite"}, func(c Config) bool { return len(c.Graphite.Addresses) > 0 },
			func(c Config, self *self, log *slog.Logger) (sink, error) { return newGraphite(c, self, log) }},
		{"ganglia", []string{"ganglia"}, func(c Config) bool { return len(c.Ganglia.To) > 0 },
			func(c Config, self *self, log *slog.Logger) (sink, error) { return newGanglia(c, self, log), nil }},
		{"console", []string{"console"}, func(c Config) bool { return c.Console != "" },
			func(c Config, self *self, _ *slog.Logger) (sink, error) { return newPrinter(c, self, os.Stdout), nil }},
	}
}

// owns says whether a setting is the kind's.
func (k sinkKind) owns(path string) bool {
	return slices.ContainsFunc(k.sections, func(s string) bool { return path == s || strings.HasPrefix(path, s+".") })
}

// heir is a sink that can take over what waits in another of its kind, in this
// process or in a predecessor. The other one does not run any more, and the new one
// not yet.
type heir interface {
	sink
	leave() []carbon.Waiting
	take([]carbon.Waiting)
}

// outlet is a sink that runs.
type outlet struct {
	stop context.CancelFunc // has it deliver what waits, and end
	cut  context.CancelFunc // has it end
	done chan error
}

func runSink(s sink) *outlet {
	ctx, stop := context.WithCancel(context.Background())
	drain, cut := context.WithCancel(context.Background())
	o := &outlet{stop, cut, make(chan error, 1)}
	go func() { o.done <- s.run(ctx, drain) }()
	return o
}

// end returns when the sink has delivered what waits, or when the time is over
// and it has given up. The error is the sink's.
func (o *outlet) end(within time.Duration) error {
	defer o.cut()
	late := time.AfterFunc(within, o.cut)
	defer late.Stop()
	o.stop()
	return <-o.done
}

// makeSinks makes the sinks that cfg asks for; with an error, those made before.
func (r *Relay) makeSinks(cfg Config) (all []sink, err error) {
	for _, k := range sinkKinds() {
		if !k.wanted(cfg) {
			continue
		}
		s, err := k.make(cfg, r.self, r.log)
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}

// closeSink frees what a sink holds that does not run.
func closeSink(s sink) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// addSinks makes the sinks that are configured.
func (r *Relay) addSinks() error {
	all, err := r.makeSinks(*r.cfg.Load())
	r.sinks = append(r.sinks, all...)
	return err
}

// closeSinks frees what the sinks hold that do not run.
func (r *Relay) closeSinks() error {
	var errs []error
	for _, s := range r.currentSinks() {
		errs = append(errs, closeSink(s))
	}
	return errors.Join(errs...)
}

// startSinks runs the sinks that there are.
func (r *Relay) startSinks() {
	r.sinksMu.Lock()
	defer r.sinksMu.Unlock()
	r.running = map[sink]*outlet{}
	for _, s := range r.sinks {
		r.running[s] = runSink(s)
	}
}

// endSinks has all of them deliver what waits.
func (r *Relay) endSinks() error {
	r.reloading.Lock() // no reload starts one after this
	defer r.reloading.Unlock()
	r.sinksMu.Lock()
	running := r.running
	r.running = nil
	r.sinksMu.Unlock()
	var ending errgroup.Group
	for _, o := range running {
		ending.Go(func() error { return o.end(shutdown) })
	}
	return ending.Wait()
}

// currentSinks are those that flushes go to.
func (r *Relay) currentSinks() []sink {
	r.sinksMu.RLock()
	defer r.sinksMu.RUnlock()
	return slices.Clone(r.sinks)
}

// renewSink replaces the sink of kind k by what cfg makes of it; if that can't be
// had, by what old makes of it again. Flushes are held up meanwhile: for no time
// worth mentioning if the sink is an heir, else while the old one delivers. A sink
// without a successor is returned as leaving: it gets no more flushes, and release
// has it deliver what waits, which need not hold up any.
func (r *Relay) renewSink(k sinkKind, old, cfg Config) (leaving sink, err error) {
	gone := r.takeSink(k.name)
	if !k.wanted(cfg) {
		return gone, nil
	}
	if gone != nil {
		within := shutdown
		if _, ok := gone.(heir); ok {
			within = 0
		}
		r.stopSink(gone, within)
	}
	s, err := k.make(cfg, r.self, r.log)
	if err != nil && gone != nil {
		var again error
		if s, again = k.make(old, r.self, r.log); again != nil {
			return nil, errors.Join(err, again)
		}
	} else if err != nil {
		return nil, err
	}
	if h, ok := s.(heir); ok && gone != nil {
		h.take(gone.(heir).leave())
		r.forgetLabels(gone, s)
	}
	r.putSink(s)
	return nil, err
}

// takeSink takes the sink of that name out, so that it gets no more flushes; nil
// if there is none.
func (r *Relay) takeSink(name string) sink {
	r.sinksMu.Lock()
	defer r.sinksMu.Unlock()
	at := slices.IndexFunc(r.sinks, func(s sink) bool { return s.name() == name })
	if at < 0 {
		return nil
	}
	s := r.sinks[at]
	r.sinks = slices.Delete(slices.Clone(r.sinks), at, at+1)
	return s
}

// putSink adds s, which runs if the Relay does.
func (r *Relay) putSink(s sink) {
	r.sinksMu.Lock()
	defer r.sinksMu.Unlock()
	r.sinks = append(slices.Clone(r.sinks), s)
	if r.running != nil {
		r.running[s] = runSink(s)
	}
}

// stopSink ends a sink that was taken out.
func (r *Relay) stopSink(s sink, within time.Duration) error {
	r.sinksMu.Lock()
	o := r.running[s]
	delete(r.running, s)
	r.sinksMu.Unlock()
	if o == nil {
		return closeSink(s)
	}
	return o.end(within)
}

// release lets a sink go that has no successor, once it has delivered what waits
// or the time is over.
func (r *Relay) release(s sink) {
	if err := r.stopSink(s, shutdown); err != nil {
		r.log.Warn("a sink that was taken out has lost what still waited", "sink", s.name(), "error", err)
	}
	r.forgetLabels(s, nil)
}

// forgetLabels drops the gauges of a sink that its successor, if there is one, does
// not have.
func (r *Relay) forgetLabels(gone, successor sink) {
	var still []string
	if successor != nil {
		still = sinkLabels(successor)
	}
	for _, label := range sinkLabels(gone) {
		if !slices.Contains(still, label) {
			r.self.forgetSink(label)
		}
	}
}

// sinkLabels are what a sink is called in metrics: its name, or those of its parts.
func sinkLabels(s sink) []string {
	if many, ok := s.(interface{ labels() []string }); ok {
		return many.labels()
	}
	return []string{s.name()}
}

// suspended is a sink that has been stopped for a successor, and what waited in it.
type suspended struct {
	kind sinkKind
	left []carbon.Waiting
}

// suspend takes out the sinks whose waiting flushes a successor can take over.
func (r *Relay) suspend() (all []suspended) {
	for _, k := range sinkKinds() {
		if h, ok := r.sinkOf(k.name).(heir); ok {
			r.takeSink(k.name)
			r.stopSink(h, 0) // what it could not send is what it leaves
			all = append(all, suspended{k, h.leave()})
		}
	}
	return all
}

// resume makes them again. A successor that has died may still hold the spool for a
// moment; one that hangs does for longer, and the relay goes on without: a reload then
// has the spool again.
func (r *Relay) resume(all []suspended) error {
	for _, s := range all {
		again, err := s.kind.make(*r.cfg.Load(), r.self, r.log)
		for end := time.Now().Add(resumePatience); err != nil && time.Now().Before(end); {
			time.Sleep(resumePause)
			again, err = s.kind.make(*r.cfg.Load(), r.self, r.log)
		}
		if err != nil {
			r.log.Error("flushes wait in memory until the configuration is reloaded", "sink", s.kind.name, "error", err)
			cfg := *r.cfg.Load()
			cfg.Graphite.Spool.Dir = ""
			r.cfg.Store(&cfg)
			again, err = s.kind.make(cfg, r.self, r.log)
		}
		if err != nil {
			return err
		}
		again.(heir).take(s.left)
		r.putSink(again)
	}
	return nil
}

const (
	resumePatience = 2 * time.Second // in which nobody reads
	resumePause    = 10 * time.Millisecond
)

// sinkOf returns the sink of that name, nil if there is none.
func (r *Relay) sinkOf(name string) sink {
	r.sinksMu.RLock()
	defer r.sinksMu.RUnlock()
	for _, s := range r.sinks {
		if s.name() == name {
			return s
		}
	}
	return nil
}
