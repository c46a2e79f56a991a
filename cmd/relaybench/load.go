//go:build linux

package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
)

// plan is what the generator sends. Everything in it is decided by the bench, so
// that the generator's process needs no flags of its own.
type plan struct {
	Addr   string // of the peer, for UDP
	Load   string // a name in loads
	Packed bool   // as many lines as go into packet bytes; else each its own datagram
	Rate   int    // lines a second
	Lines  int    // in all
}

// sent is what the generator did.
type sent struct {
	Lines   int
	Counted int     // of them those whose number a peer's output tells: counters and timers
	Seconds float64 // from the first line to the last
}

// rate is what was sent, in lines a second.
func (s sent) rate() float64 { return float64(s.Lines) / s.Seconds }

// packet = 1500 − IP and UDP headers − room for a tunnel: what clients pack.
const packet = 1432

// pool is how many lines of the site's load are rendered, and then sent again and
// again: enough that nearly all of its keys are among them.
const pool = 400_000

// line is one line of a load.
type line struct {
	text    []byte // without the end of line
	counted bool
}

// loads are the traffics, each a function that makes the lines to send in turn.
// They are the same at every run.
var loads = map[string]func(lines int) []line{
	"site":     site,
	"keys":     manyKeys,
	"quantile": quantileLines,
}

// Keys of the site's load: half of the lines are timers, four in ten counters,
// the rest gauges, and so are the keys.
const (
	timerKeys   = 5000
	counterKeys = 4000
	gaugeKeys   = 1000
)

// site is a service's traffic: 10,000 keys, a few of them busy, Zipf 1.1 within
// each type; times are lognormal.
func site(lines int) []line {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := func(keys uint64) *rand.Zipf { return rand.NewZipf(rng, 1.1, 1, keys-1) }
	timer, counter, gauge := zipf(timerKeys), zipf(counterKeys), zipf(gaugeKeys)
	all := make([]line, 0, min(lines, pool))
	for len(all) < cap(all) {
		switch n := rng.IntN(10); {
		case n < 5:
			all = append(all, line{fmt.Appendf(nil, "bench.t.k%05d.api.request_time:%.2f|ms", timer.Uint64(), math.Exp(4+rng.NormFloat64())), true})
		case n < 9:
			all = append(all, line{fmt.Appendf(nil, "bench.c.k%05d.api.requests:1|c", counter.Uint64()), true})
		default:
			all = append(all, line{fmt.Appendf(nil, "bench.g.k%05d.api.in_use:%d|g", gauge.Uint64(), rng.IntN(100)), false})
		}
	}
	return all
}

// manyKeys goes over distinctKeys timers, one sample each, again and again.
func manyKeys(lines int) []line {
	rng := rand.New(rand.NewPCG(3, 4))
	all := make([]line, lines)
	for i := range all {
		all[i] = line{fmt.Appendf(nil, "bench.m.k%06d.api.request_time:%.2f|ms", i%distinctKeys, math.Exp(4+rng.NormFloat64())), true}
	}
	return all
}

// quantileLines has the samples of all distributions in turn, each as a timer.
func quantileLines(int) []line {
	shapes := distributions()
	all := make([]line, 0, len(shapes)*samples)
	for i := range samples {
		for _, d := range shapes {
			text := append([]byte("bench.q."+d.name+":"), strconv.AppendFloat(nil, d.values[i], 'f', 3, 64)...)
			all = append(all, line{append(text, "|ms"...), true})
		}
	}
	return all
}

// datagram is a payload and how many lines are in it.
type datagram struct {
	payload        []byte
	lines, counted int
}

// datagrams puts lines into datagrams.
func datagrams(lines []line, packed bool) []datagram {
	var all []datagram
	var d datagram
	for _, l := range lines {
		if d.lines > 0 && (!packed || len(d.payload)+1+len(l.text) > packet) {
			all = append(all, d)
			d = datagram{}
		}
		if d.lines > 0 {
			d.payload = append(d.payload, '\n')
		}
		d.payload = append(d.payload, l.text...)
		d.lines++
		if l.counted {
			d.counted++
		}
	}
	return append(all, d)
}
