package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"addons/server/store"
)

// Going down takes at the most half a minute, the wait for the load balancer not
// counted. Each stage has its own share, so that a slow download or a long task
// leaves time to write down what was counted; what is not done by then is cut off.
const (
	answering = 10 * time.Second // requests that have begun
	finishing = 15 * time.Second // these, and tasks that have begun
	flushing  = 10 * time.Second // what was counted
	closing   = 5 * time.Second
)

// part is something that runs beside the listeners until it is stopped.
type part struct {
	name string
	stop context.CancelFunc
	done chan struct{}
	err  error // readable once done is closed
}

// begin starts a part. It outlives the signal that ends the platform: drain
// stops the parts one by one, in order.
func begin(ctx context.Context, name string, failed chan<- error, run func(context.Context) error) *part {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &part{name: name, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		err := run(ctx)
		switch {
		case err == nil || errors.Is(err, context.Canceled):
		case ctx.Err() == nil: // before its time: told at once, and not again by end
			failed <- fmt.Errorf("%s: %w", name, err)
		default:
			p.err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	return p
}

// end stops the part and waits for it. A nil part has ended.
func (p *part) end(ctx context.Context) error {
	if p == nil {
		return nil
	}
	p.stop()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("%s did not end in time", p.name)
	}
}

// parts are what Run has started.
type parts struct {
	public, admin, sidecar       *http.Server
	relay, tsdb, worker, loading *part
	notifier, updates, changes   *part
}

// Run serves until ctx is done or a part fails, then goes down in order (see drain). loaded is called once, when the
// catalogue is there; progress while it is loaded. Close is still the caller's.
func (s *Server) Run(ctx context.Context, progress Progress, loaded func()) error {
	pages, err := s.pages()
	if err != nil {
		return err
	}
	operators, err := s.operators()
	if err != nil {
		return err
	}
	if recipe, err := s.db.Unfinished(ctx); err == nil && recipe != "" { // not to know is no reason not to serve
		s.log.Warn("the catalogue is not loaded to its end, and slow until it is: run load again", "flags", recipe)
	}
	// Every listener and part reports at most one failure.
	failed := make(chan error, 10)
	// Copies that others have made are not believed before it is known what has changed
	// since. A database that is down is no reason not to start.
	if err := s.cache.CatchUp(ctx, s.db); err != nil {
		s.log.Warn("cache: the database's changes are not known yet", "error", err)
	}
	p := parts{
		changes: begin(ctx, "cache", failed, s.site.Follow),
		public:  s.serve(ctx, s.public, s.lastAnswers(pages), failed),
		admin:   s.serve(ctx, s.admin, fromHere(operators), failed),
		sidecar: s.serve(ctx, s.relayHTTP, fromHere(s.sidecar()), failed),
	}
	if s.updates != nil {
		p.updates = begin(ctx, "update checks", failed, s.updates.Run)
	}
	if s.relay != nil {
		p.relay = begin(ctx, "relay", failed, s.relay.Run)
	}
	if s.tsdb != nil {
		p.tsdb = begin(ctx, "prometheus", failed, s.tsdb.Run)
	}
	if s.notifier != nil {
		p.notifier = begin(ctx, "alert notifications", failed, s.notifier.Run)
	}
	if s.config.Worker {
		p.worker = begin(ctx, "worker", failed, func(ctx context.Context) error { return s.queue.Run(ctx, s.config.Workers) })
	}
	p.loading = begin(ctx, "sample catalogue", failed, func(ctx context.Context) error {
		ctx = store.Latest(ctx) // a replica that lags may look empty
		if err := s.sample(ctx, progress); err != nil {
			return err
		}
		if err := s.fillIndex(ctx); err != nil {
			return err
		}
		loaded()
		return nil
	})
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	return errors.Join(err, s.drain(ctx, p))
}

// serve answers on l with h; nil if there is no listener.
func (s *Server) serve(ctx context.Context, l net.Listener, h http.Handler, failed chan<- error) *http.Server {
	if l == nil {
		return nil
	}
	server := newHTTP(ctx, h, s.log)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return server
}

// lastAnswers has clients give up their connection with their next answer once
// the server is going down. http.Server.SetKeepAlivesEnabled would close idle
// connections at once, some of them with a request already on its way: it would
// be counted here, cut, and sent again by the client.
func (s *Server) lastAnswers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// drain takes the platform down in order: not ready, a wait for the load
// balancer, HTTP drained, begun tasks finished, counted downloads written, metrics
// flushed.
func (s *Server) drain(ctx context.Context, p parts) error {
	ctx = context.WithoutCancel(ctx)
	s.log.Info("going down", "wait", s.config.Drain)
	s.draining.Store(true)
	time.Sleep(s.config.Drain)
	return errors.Join(s.finish(ctx, p), s.flush(ctx, p))
}

// finish ends what makes new numbers: requests, loading, tasks.
func (s *Server) finish(ctx context.Context, p parts) error {
	ctx, cancel := context.WithTimeout(ctx, finishing)
	defer cancel()
	s.stop(ctx, "site", p.public)
	return errors.Join(p.updates.end(ctx), p.loading.end(ctx), p.worker.end(ctx), p.changes.end(ctx))
}

// flush brings what was counted to where it is kept: downloads to the database,
// statsd lines to the relay and its aggregates to Graphite, and all of it to the
// embedded Prometheus by a last scrape, for which the relay must still be there.
func (s *Server) flush(ctx context.Context, p parts) error {
	ctx, cancel := context.WithTimeout(ctx, flushing)
	defer cancel()
	all := []error{s.site.Close()}
	if s.statsd != nil {
		s.batch.Close()
		s.statsd.Close()
	}
	if s.beacons != nil {
		s.beacons.Flush()
	}
	if s.relay != nil {
		all = append(all, s.relay.Flush(ctx))
	}
	all = append(all, p.tsdb.end(ctx), p.notifier.end(ctx), p.relay.end(ctx))
	s.stop(ctx, "relay", p.sidecar)
	s.stop(ctx, "operators' pages", p.admin)
	return errors.Join(all...)
}

// stop drains a listener's requests. Those that take too long are cut: a download
// to a slow phone may go on for minutes.
func (s *Server) stop(ctx context.Context, name string, server *http.Server) {
	if server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.log.Warn("requests cut off", "listener", name, "error", err)
		server.Close()
	}
}

// Close closes what was opened, backwards. It is called once, after Run or instead of it.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closing)
	defer cancel()
	return s.opened.closeAll(ctx, s.log)
}
