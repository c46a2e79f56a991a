package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// shutdown is how long going down may take in all; what is not done by then is cut off.
const shutdown = 30 * time.Second

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
		if err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("%s: %w", name, err)
		}
		if !errors.Is(err, context.Canceled) {
			p.err = err
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
	notifier                     *part
}

// Run serves until ctx is done or a part fails, then goes down in order: not
// ready, a wait for the load balancer, HTTP drained, begun tasks finished,
// counted downloads written, metrics flushed. loaded is called once, when the
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
	// Every listener and part reports at most one failure.
	failed := make(chan error, 8)
	p := parts{
		public:  s.serve(ctx, s.public, pages, failed),
		admin:   s.serve(ctx, s.admin, operators, failed),
		sidecar: s.serve(ctx, s.relayHTTP, s.sidecar(), failed),
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
	server := newHTTP(h, ctx, s.log)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	}()
	return server
}

// drain takes the platform down in order, within one deadline.
func (s *Server) drain(ctx context.Context, p parts) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	s.log.Info("going down", "wait", s.config.Drain)
	s.draining.Store(true)
	if p.public != nil {
		// Kept connections are given up after their next answer, so that none is
		// cut while a request is on its way.
		p.public.SetKeepAlivesEnabled(false)
	}
	select {
	case <-time.After(s.config.Drain):
	case <-ctx.Done():
	}
	var all []error
	step := func(err error) { all = append(all, err) }
	step(stop(ctx, p.public))
	step(p.loading.end(ctx))
	step(p.worker.end(ctx))
	step(s.flushMetrics(ctx))
	step(p.tsdb.end(ctx))
	step(p.notifier.end(ctx))
	step(p.relay.end(ctx))
	step(stop(ctx, p.sidecar))
	step(stop(ctx, p.admin))
	return errors.Join(all...)
}

// stop drains a listener's requests.
func stop(ctx context.Context, server *http.Server) error {
	if server == nil {
		return nil
	}
	return server.Shutdown(ctx)
}

// flushMetrics sends what was counted until now on its way: statsd lines to the
// relay, the relay's aggregates to Graphite. The embedded Prometheus scrapes once
// more when it is ended, after this.
func (s *Server) flushMetrics(ctx context.Context) error {
	if err := s.site.Close(); err != nil {
		return err
	}
	if s.statsd != nil {
		s.statsd.Close()
	}
	if s.relay == nil {
		return nil
	}
	return s.relay.Flush(ctx)
}

// Close closes what was opened, backwards. It is called once, after Run or instead of it.
func (s *Server) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdown)
	defer cancel()
	return s.opened.closeAll(ctx, s.log)
}
