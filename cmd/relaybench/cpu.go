//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// flush is the interval of statsd's default.
const flush = 10 * time.Second

// cpuCell is a load at a fixed rate.
type cpuCell struct {
	name   string
	packed bool
	rate   int
}

func cpuCells() []cpuCell {
	return []cpuCell{
		{"packed-100k", true, 100_000},
		{"single-50k", false, 50_000},
		{"packed-750k", true, 750_000},
	}
}

// cpu measures what a million lines cost at a fixed rate, from the first line to
// the end of the flush that has the last one, and what is lost.
func (b *bench) cpu(ctx context.Context, t *trial, c cpuCell) error {
	intervals := 2
	if b.quick {
		intervals = 1
	}
	// A bit short of whole intervals, so that the last line does not fall behind
	// the flush that it is awaited in.
	lasts := time.Duration(intervals)*flush - 500*time.Millisecond
	g, err := t.prepare(ctx, plan{Load: "site", Packed: c.packed, Rate: c.rate, Lines: int(lasts.Seconds() * float64(c.rate))})
	if err != nil {
		return err
	}
	defer g.close()
	before, err := t.process.cpu()
	if err != nil {
		return err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- b.profile(ctx, t, c.name, lasts+flush/5) }() // so that the last flush is in it
	s, err := g.send()
	if err != nil {
		return errors.Join(err, <-profiled)
	}
	total, err := t.output(ctx, s)
	if err := errors.Join(err, <-profiled); err != nil {
		return err
	}
	after, err := t.process.cpu()
	if err != nil {
		return err
	}
	resident, err := t.process.memory("VmRSS")
	if err != nil {
		return err
	}
	b.add("cpu", t.peer.name, c.name+" CPU s/M", perMillion(after-before, s, total))
	b.add("cpu", t.peer.name, c.name+" loss %", loss(s, total))
	b.add("cpu", t.peer.name, c.name+" RSS MiB", resident)
	b.add("cpu", t.peer.name, c.name+" lines/s", s.rate())
	return nil
}

// profile asks ours for a profile of that length, if one is wanted.
func (b *bench) profile(ctx context.Context, t *trial, name string, long time.Duration) error {
	if b.profiles == "" || t.peer.name != "statsd-relay" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
	defer cancel()
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.setup.http, int(long.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(b.profiles, name+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// perMillion is processor time in seconds for a million of the lines that came
// out: those that were lost cost next to nothing, and are no merit.
func perMillion(cpu time.Duration, s sent, total float64) float64 {
	taken := float64(s.Lines) * (1 - loss(s, total)/100)
	if taken == 0 {
		return 0
	}
	return cpu.Seconds() / taken * 1e6
}

// loss is what of the lines sent is missing in the output, in percent.
func loss(s sent, total float64) float64 {
	return 100 * max(0, 1-total/float64(s.Counted))
}
