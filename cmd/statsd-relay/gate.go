package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// gate is the listener of an HTTP server that can rest: connections on which no request has
// begun are then had back from it, for a successor or for itself later, and to clients it is
// no more than a pause. The server's ConnState is the gate's state. A request that is sent
// before the one before is answered may be lost, but none may be behind a POST
// (RFC 9112, section 9.3.2).
type gate struct {
	net.Listener

	mu        sync.Mutex
	changed   *sync.Cond
	accepting bool
	resting   bool
	closed    bool
	served    map[*gated]struct{} // connections that the server has
	kept      []net.Conn          // and those that it will have
}

// newGate returns a gate whose server gets the connections kept, beside those that come to l.
func newGate(l net.Listener, kept []net.Conn) *gate {
	g := &gate{Listener: l, served: map[*gated]struct{}{}, kept: kept}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// longAgo is a deadline that ends what waits.
var longAgo = time.Unix(1, 0)

func (g *gate) Accept() (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.closed {
			return nil, net.ErrClosed
		}
		if g.resting {
			g.changed.Wait()
			continue
		}
		if n := len(g.kept); n > 0 {
			conn := g.kept[n-1]
			g.kept = g.kept[:n-1]
			return g.admit(conn), nil
		}
		conn, err := g.accept()
		if err == nil {
			return g.admit(conn), nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) { // which rest has set
			return nil, err
		}
	}
}

// accept waits for a connection, without the lock meanwhile.
func (g *gate) accept() (net.Conn, error) {
	g.accepting = true
	g.mu.Unlock()
	conn, err := g.Listener.Accept()
	g.mu.Lock()
	g.accepting = false
	g.changed.Broadcast()
	return conn, err
}

func (g *gate) admit(conn net.Conn) *gated {
	c := &gated{Conn: conn, gate: g}
	g.served[c] = struct{}{}
	c.wait()
	return c
}

// rest has the server take nothing more until wake, and finish what has begun; what takes
// longer than patience is cut off. It returns the connections that are left, which are still
// the gate's.
func (g *gate) rest(patience time.Duration) []net.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.resting = true
	g.Listener.(*net.TCPListener).SetDeadline(longAgo)
	for c := range g.served {
		if c.idle {
			c.wait()
		}
	}
	cut := time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for c := range g.served {
			if !c.idle {
				c.Conn.Close() // the server sees an error, and gives it up
			}
		}
	})
	defer cut.Stop()
	for g.accepting || len(g.served) > 0 {
		g.changed.Wait()
	}
	return g.kept
}

// wake ends a rest.
func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.resting = false
	g.Listener.(*net.TCPListener).SetDeadline(time.Time{})
	g.changed.Broadcast()
}

// Close closes the listener, and the connections that the server does not have.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, conn := range g.kept {
		conn.Close()
	}
	g.kept = nil
	g.changed.Broadcast()
	return g.Listener.Close()
}

// state is told by the server of each connection's.
func (g *gate) state(conn net.Conn, s http.ConnState) {
	if s == http.StateIdle {
		g.mu.Lock()
		defer g.mu.Unlock()
		if c := conn.(*gated); !c.ahead {
			c.wait()
		}
	}
}

// gated is a connection that the server has.
type gated struct {
	net.Conn
	gate *gate

	// Under the gate's lock:
	idle  bool      // no byte of a request has come
	ahead bool      // a byte has come since the last that was written: it is the next request's
	until time.Time // the server's deadline for reading
}

// wait begins the wait for a request, which a rest ends. The gate is locked.
func (c *gated) wait() {
	c.idle = true
	if c.gate.resting {
		c.Conn.SetReadDeadline(longAgo)
	}
}

func (c *gated) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.begin()
	}
	return n, err
}

// Write notes that what comes from now on is no longer of the request that this answers: a
// client that is quick sends its next one before the server calls the connection idle, and
// the server, which watches for the client's end while it answers, has read of it then.
func (c *gated) Write(b []byte) (int, error) {
	c.gate.mu.Lock()
	c.ahead = false
	c.gate.mu.Unlock()
	return c.Conn.Write(b)
}

// begin is called when bytes have come: a rest that has begun meanwhile waits for them.
func (c *gated) begin() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.idle && c.gate.resting {
		c.Conn.SetReadDeadline(c.until)
	}
	c.idle, c.ahead = false, true
}

func (c *gated) SetReadDeadline(t time.Time) error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.until = t
	if c.idle && c.gate.resting {
		t = longAgo
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection, unless the server gives up only because of a rest.
func (c *gated) Close() error {
	g := c.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.served[c]; !ok {
		return net.ErrClosed
	}
	delete(g.served, c)
	g.changed.Broadcast()
	if !c.idle || !g.resting || g.closed {
		return c.Conn.Close()
	}
	g.kept = append(g.kept, c.Conn)
	return c.Conn.SetDeadline(time.Time{})
}
