// Package carbontest is a carbon for tests, which goes down and comes back as they say.
package carbontest

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Carbon keeps the lines that it reads. Its methods are safe for concurrent use,
// but for Up, Down and Serve, which are the test's.
type Carbon struct {
	Address string // host:port, the same for good

	t        testing.TB
	served   sync.WaitGroup
	mu       sync.Mutex
	lines    []string
	listener net.Listener // nil while it is down
	conns    []net.Conn
}

// New returns one that is up until the test ends.
func New(t testing.TB) *Carbon {
	// An address of its own, so that no other test gets the port while it is down.
	c := &Carbon{t: t, Address: fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))}
	c.Up()
	t.Cleanup(c.Down)
	return c
}

// Up listens.
func (c *Carbon) Up() { c.Serve(c.keep) }

// Serve listens, and has each connection served otherwise.
func (c *Carbon) Serve(serve func(net.Conn)) {
	c.t.Helper()
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Address, c.listener = listener.Addr().String(), listener
	c.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			down := c.listener != listener
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			if down {
				reset(conn)
				return
			}
			c.served.Go(func() { serve(conn) })
		}
	})
}

func (c *Carbon) keep(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil { // a line without an end is none, as carbon has it
			return
		}
		c.mu.Lock()
		c.lines = append(c.lines, strings.TrimSuffix(line, "\n"))
		c.mu.Unlock()
	}
}

// Down resets all connections and refuses new ones. It returns when they have been
// served.
func (c *Carbon) Down() {
	c.mu.Lock()
	if c.listener == nil {
		c.mu.Unlock()
		return
	}
	c.listener.Close()
	c.listener = nil
	for _, conn := range c.conns {
		reset(conn)
	}
	c.conns = nil
	c.mu.Unlock()
	c.served.Wait()
}

func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// Lines are those that came, in the order of arrival.
func (c *Carbon) Lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}
