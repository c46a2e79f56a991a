//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// rampFlush and rampHold: a flush falls into each step, for it is during a flush
// that peers lose lines.
const (
	rampFlush = 5 * time.Second
	rampHold  = 6 * time.Second
)

// lossless is the loss, in percent, up to which a rate counts as held.
const lossless = .1

// behind is how long a peer may work on after the last line. One that takes in
// faster than it works holds a rate only until its memory is full.
const behind = time.Second

// ramps are the rates tried in turn, in lines a second.
func ramps() map[string][]int {
	return map[string][]int{
		"packed": {100_000, 200_000, 300_000, 500_000, 750_000, 1_000_000, 1_250_000, 1_500_000, 2_000_000, 2_500_000},
		"single": {25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 250_000, 300_000},
	}
}

// step is a rate that was tried.
type step struct {
	sent
	cpu  float64 // seconds for a million lines
	lost string  // why the rate was not held; "" if it was
}

// ramp raises the rate until it is not held twice in a row.
func (b *bench) ramp(ctx context.Context, t *trial, shape string) error {
	var best step
	lost := "none of those tried"
	for _, rate := range ramps()[shape] {
		s, err := b.hold(ctx, t, shape == "packed", rate)
		if err == nil && s.lost != "" { // once may be the machine's fault
			s, err = b.hold(ctx, t, shape == "packed", rate)
		}
		if err != nil {
			return err
		}
		b.say("%s %s at %d lines/s: %.2f CPU s/M %s", t.peer.name, shape, int(s.rate()), s.cpu, s.lost)
		if s.lost != "" {
			lost = fmt.Sprintf("%d (%s)", int(s.rate()), s.lost)
			break
		}
		best = s
		if s.rate() < .97*float64(rate) {
			lost = "none: the generator's limit"
			break
		}
	}
	held := 0.0
	if best.Lines > 0 {
		held = best.rate()
	}
	b.add("ramp", t.peer.name, shape+" lines/s held", held)
	b.add("ramp", t.peer.name, shape+" CPU s/M there", best.cpu)
	b.note("ramp", t.peer.name, shape+" first rate lost at", lost)
	return nil
}

// hold sends at a rate for a while and judges by what came out.
func (b *bench) hold(ctx context.Context, t *trial, packed bool, rate int) (s step, err error) {
	g, err := t.prepare(ctx, plan{Load: "site", Packed: packed, Rate: rate, Lines: int(rampHold.Seconds() * float64(rate))})
	if err != nil {
		return s, err
	}
	defer g.close()
	had, err := t.total(ctx)
	if err != nil {
		return s, err
	}
	before, err := t.process.cpu()
	if err != nil {
		return s, err
	}
	if s.sent, err = g.send(); err != nil {
		return s, err
	}
	want := s.sent
	want.Counted += int(had)
	total, err := t.output(ctx, want)
	if err != nil {
		return s, err
	}
	after, err := t.process.cpu()
	s.cpu = perMillion(after-before, s.sent, total-had)
	switch missing := loss(s.sent, total-had); {
	case missing > lossless:
		s.lost = fmt.Sprintf("%.2f %% lost", missing)
	case t.behind > behind:
		s.lost = fmt.Sprintf("%.0f s behind", t.behind.Seconds())
	}
	return s, err
}

// total is how many lines have come out so far.
func (t *trial) total(ctx context.Context) (float64, error) {
	if t.peer.scraped {
		all, err := t.scrape(ctx)
		return all.total, err
	}
	total, _ := t.carbon.state()
	return total, nil
}
