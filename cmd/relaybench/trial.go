//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// trial is a peer that runs, with a carbon of its own.
type trial struct {
	peer    peer
	process *process
	carbon  *carbon
	setup   setup
	behind  time.Duration // that the last output took a scraped peer after the last line
}

const (
	startup = 30 * time.Second       // until the first flush, beside the interval
	quiet   = time.Second            // without a line a flush is over
	look    = 20 * time.Millisecond  // between two looks at what came
	idle    = 400 * time.Millisecond // without using a processor a peer has no work left
	patient = 30 * time.Second       // for what is still in a peer's queues
	scrape  = time.Minute            // for an answer at /metrics
)

// start runs p for as long as a trial takes, until close.
func start(p peer, path string, flush time.Duration, quantiles []float64) (t *trial, err error) {
	t = &trial{peer: p, setup: setup{flush: flush, quantiles: quantiles}}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.setup.dir, err = os.MkdirTemp("", "relaybench-"); err != nil {
		return nil, err
	}
	if t.carbon, err = newCarbon(); err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	t.setup.udp, t.setup.http, t.setup.carbon = ports[0], ports[1], t.carbon.addr()
	cmd, err := p.command(path, t.setup)
	if err != nil {
		return nil, err
	}
	t.process, err = launch(p.name, cmd, t.setup.dir)
	return t, err
}

func (t *trial) close() {
	if t.process != nil {
		t.process.stop()
	}
	if t.carbon != nil {
		t.carbon.close()
	}
	os.RemoveAll(t.setup.dir)
}

// prepare has a generator ready for p, at a moment of which begin tells.
func (t *trial) prepare(ctx context.Context, p plan) (*sender, error) {
	p.Addr = t.setup.udp
	g, err := prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := t.begin(ctx); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

// begin returns when the peer is up and a flush is just over, so that each
// measure has as many flushes.
func (t *trial) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startup+2*t.setup.flush) // gostatsd's first flush has nothing, not even about itself
	defer cancel()
	asked := time.Now()
	return t.until(ctx, "its first output", func() (bool, error) {
		if t.peer.scraped {
			_, err := t.scrape(ctx)
			return err == nil, nil
		}
		_, last := t.carbon.state()
		return last.After(asked) && time.Since(last) > quiet/4, nil
	})
}

// until looks until ok.
func (t *trial) until(ctx context.Context, what string, ok func() (bool, error)) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if done, err := ok(); done || err != nil {
			return err
		}
		if err := t.process.alive(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %s did not come: %w", t.peer.name, what, ctx.Err())
		case <-tick.C:
		}
	}
}

// output waits until all of what was sent has come out, or as much as will, and
// returns how many lines that are.
func (t *trial) output(ctx context.Context, s sent) (float64, error) {
	if t.peer.scraped {
		end := time.Now()
		if err := t.rest(ctx); err != nil {
			return 0, err
		}
		t.behind = time.Since(end) - idle
		all, err := t.scrape(ctx)
		return all.total, err
	}
	end := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*t.setup.flush+patient)
	defer cancel()
	var total float64
	err := t.until(ctx, "its flush", func() (bool, error) {
		var last time.Time
		total, last = t.carbon.state()
		complete := total >= float64(s.Counted) && time.Since(last) > quiet/4
		flushed := time.Since(end) > t.setup.flush+quiet && last.After(end) && time.Since(last) > quiet
		return complete || flushed, nil
	})
	return total, err
}

// rest returns when the peer has no work left, or after a while.
func (t *trial) rest(ctx context.Context) error {
	deadline := time.Now().Add(patient)
	before, at := time.Duration(-1), time.Now()
	return t.until(ctx, "rest", func() (bool, error) {
		if time.Since(at) < idle && before >= 0 {
			return false, nil
		}
		used, err := t.process.cpu()
		busy := used-before > 2*10*time.Millisecond // two ticks of /proc
		before, at = used, time.Now()
		return !busy || time.Now().After(deadline), err
	})
}

// scraped is what /metrics tells.
type scraped struct {
	total  float64            // Σ counters and Σ timers' counts
	values map[string]float64 // the quantiles' series as they stand there
}

// scrape reads /metrics, in Prometheus' text format.
func (t *trial) scrape(ctx context.Context) (all scraped, err error) {
	ctx, cancel := context.WithTimeout(ctx, scrape)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.setup.http+"/metrics", nil)
	if err != nil {
		return all, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return all, err
	}
	defer resp.Body.Close()
	all.values = map[string]float64{}
	s := bufio.NewScanner(resp.Body)
	for s.Scan() {
		series, value, ok := strings.Cut(s.Text(), " ")
		if !ok || !strings.HasPrefix(series, "bench_") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.Text(), err)
		}
		if strings.HasPrefix(series, "bench_c_") || strings.HasSuffix(series, "_count") {
			all.total += v
		}
		if strings.HasPrefix(series, "bench_q_") {
			all.values[series] = v
		}
	}
	return all, s.Err()
}
