package tsdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// pipes are the targets' servers, reached by connections in memory: a port of
// our own could be taken, scanned, or firewalled.
type pipes struct {
	listeners map[string]*pipeListener
	servers   []*http.Server
	serving   sync.WaitGroup
}

// address names the i-th target on our in-memory network.
func address(i int) string { return fmt.Sprintf("target-%d:80", i) }

func listen(targets []Target) *pipes {
	p := &pipes{listeners: map[string]*pipeListener{}}
	for i, t := range targets {
		l := &pipeListener{name: address(i), conns: make(chan net.Conn), closed: make(chan struct{})}
		s := &http.Server{Handler: metricsOnly(t.Handler), ReadHeaderTimeout: 10 * time.Second}
		p.listeners[l.name] = l
		p.servers = append(p.servers, s)
		p.serving.Go(func() { s.Serve(l) })
	}
	return p
}

// Dial connects to a target.
func (p *pipes) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	l, ok := p.listeners[address]
	if !ok {
		return nil, fmt.Errorf("no target %s", address)
	}
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the servers and their connections.
func (p *pipes) Close() error {
	var errs []error
	for _, s := range p.servers {
		errs = append(errs, s.Close())
	}
	p.serving.Wait()
	return errors.Join(errs...)
}

type pipeListener struct {
	name   string
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr  { return l }
func (l *pipeListener) Network() string { return "pipe" }
func (l *pipeListener) String() string  { return l.name }
