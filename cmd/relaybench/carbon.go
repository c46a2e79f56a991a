//go:build linux

package main

import (
	"bufio"
	"bytes"
	"net"
	"strconv"
	"sync"
	"time"
)

// carbon takes what peers send to Graphite, and adds up the counts that tell how
// many lines arrived: the output is what a loss is judged by.
type carbon struct {
	listener net.Listener
	readers  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	total float64            // Σ counters and Σ timers' counts
	last  time.Time          // when a line came
	kept  map[string]float64 // the latest points of the quantiles' keys
}

func newCarbon() (*carbon, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &carbon{listener: l, conns: map[net.Conn]bool{}, kept: map[string]float64{}}
	c.readers.Go(c.accept)
	return c, nil
}

func (c *carbon) addr() string { return c.listener.Addr().String() }

func (c *carbon) close() {
	c.listener.Close()
	c.mu.Lock()
	for conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.readers.Wait()
}

func (c *carbon) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns[conn] = true
		c.mu.Unlock()
		c.readers.Go(func() { c.read(conn) })
	}
}

func (c *carbon) read(conn net.Conn) {
	defer func() {
		conn.Close()
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
	}()
	for s := bufio.NewScanner(bufio.NewReaderSize(conn, 1<<20)); s.Scan(); {
		c.point(s.Bytes())
	}
}

var (
	counts    = []byte("stats_counts.bench.")
	timers    = []byte("stats.timers.bench.")
	quantiles = []byte("stats.timers.bench.q.")
	count     = []byte(".count")
)

// point takes "path value time".
func (c *carbon) point(line []byte) {
	path, rest, _ := bytes.Cut(line, []byte{' '})
	value, _, _ := bytes.Cut(rest, []byte{' '})
	counted := bytes.HasPrefix(path, counts) || bytes.HasPrefix(path, timers) && bytes.HasSuffix(path, count)
	kept := bytes.HasPrefix(path, quantiles)
	var v float64
	if counted || kept {
		v, _ = strconv.ParseFloat(string(value), 64) // what is no number counts as nothing: a loss
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	if counted {
		c.total += v
	}
	if kept && v != 0 { // a flush of the silence afterwards takes nothing back
		c.kept[string(path)] = v
	}
}

// state is the total so far and when the last line came.
func (c *carbon) state() (total float64, last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, c.last
}

// value is the latest point of a path, 0 if there was none.
func (c *carbon) value(path string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[path]
}
