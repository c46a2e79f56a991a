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

// ramps are the rates tried in turn, in lines a second.
func ramps() map[string][]int {
	return map[string][]int{
		"packed": {100_000, 200_000, 300_000, 500_000, 750_000, 1_000_000, 1_250_000, 1_500_000, 2_000_000, 2_500_000},
		"single": {25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 250_000, 300_000},
	}
}

// ramp raises the rate until lines are lost twice in a row at it.
func (b *bench) ramp(ctx context.Context, t *trial, shape string) error {
	var best sent
	var bestCPU float64
	lost := "none of those tried"
	for _, rate := range ramps()[shape] {
		s, cpu, missing, err := b.hold(ctx, t, shape == "packed", rate)
		if err == nil && missing > lossless { // once may be the machine's fault
			s, cpu, missing, err = b.hold(ctx, t, shape == "packed", rate)
		}
		if err != nil {
			return err
		}
		b.say("%s %s at %d lines/s: %.2f %% lost, %.2f CPU s/M", t.peer.name, shape, int(s.rate()), missing, cpu)
		if missing > lossless {
			lost = fmt.Sprintf("%d (%.2f %%)", int(s.rate()), missing)
			break
		}
		if s.rate() < .97*float64(rate) {
			best, bestCPU, lost = s, cpu, "none: the generator's limit"
			break
		}
		best, bestCPU = s, cpu
	}
	held := 0.0
	if best.Lines > 0 {
		held = best.rate()
	}
	b.add("ramp", t.peer.name, shape+" lines/s held", held)
	b.add("ramp", t.peer.name, shape+" CPU s/M there", bestCPU)
	b.note("ramp", t.peer.name, shape+" first rate lost at", lost)
	return nil
}

// hold sends at a rate for a while and judges by what came out.
func (b *bench) hold(ctx context.Context, t *trial, packed bool, rate int) (s sent, cpu, missing float64, err error) {
	g, err := t.prepare(ctx, plan{Load: "site", Packed: packed, Rate: rate, Lines: int(rampHold.Seconds() * float64(rate))})
	if err != nil {
		return s, 0, 0, err
	}
	defer g.close()
	had, err := t.total(ctx)
	if err != nil {
		return s, 0, 0, err
	}
	before, err := t.process.cpu()
	if err != nil {
		return s, 0, 0, err
	}
	s, err = g.send()
	if err != nil {
		return s, 0, 0, err
	}
	want := s
	want.Counted += int(had)
	total, err := t.output(ctx, want)
	if err != nil {
		return s, 0, 0, err
	}
	after, err := t.process.cpu()
	return s, perMillion(after-before, s, total-had), loss(s, total-had), err
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
