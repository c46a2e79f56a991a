//go:build linux

// Command relaybench measures statsd-relay side by side with the statsd servers
// that it can replace: processor time of a million lines, the highest rate without
// loss, memory with many keys, and how exact percentiles are.
//
//	go run ./cmd/relaybench                                  # all of it, medians of five
//	go run ./cmd/relaybench -only statsd-relay -quick cpu memory
//	go run ./cmd/relaybench -quick ramp/single
//
// Everything stays on the loopback interface. Losses are judged by what peers put
// out, never by what they say of themselves.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == generator {
		if err := generate(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	only := flag.String("only", "", "measure these peers alone: a comma-separated `list`; \"ours\" is statsd-relay")
	quick := flag.Bool("quick", false, "each measure once, and shorter: for a look, not for a table")
	runs := flag.Int("n", 5, "take medians of so many `runs`")
	profiles := flag.String("profile", "", "have statsd-relay profile itself under each cpu load, into this `folder`: go tool pprof -http=: FILE draws the flame graph")
	file := flag.String("json", "", "write the figures to this `file` too")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: relaybench [flags] [PART…]\nparts: cpu, ramp, memory, quantile, all if none is given; or one cell of a part, as cpu/packed-100k")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *quick {
		*runs = 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{quick: *quick, runs: max(1, *runs), profiles: *profiles}
	err := b.all(ctx, strings.ReplaceAll(*only, "ours", "statsd-relay"), flag.Args())
	fmt.Println(b.markdown())
	if *file != "" {
		err = errors.Join(err, b.writeJSON(*file))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "relaybench:", err)
		os.Exit(1)
	}
}

// cell is one measure of one peer.
type cell struct {
	part, name string
	flush      time.Duration
	quantiles  []float64
	once       bool // its outcome does not depend on chance
	measure    func(ctx context.Context, t *trial) error
}

// path is what the command line calls the cell.
func (c cell) path() string { return strings.TrimSuffix(c.part+"/"+c.name, "/") }

func (b *bench) cells() []cell {
	var all []cell
	for _, c := range cpuCells() {
		all = append(all, cell{part: "cpu", name: c.name, flush: flush, measure: func(ctx context.Context, t *trial) error { return b.cpu(ctx, t, c) }})
	}
	for _, shape := range []string{"packed", "single"} {
		all = append(all, cell{part: "ramp", name: shape, flush: rampFlush, measure: func(ctx context.Context, t *trial) error { return b.ramp(ctx, t, shape) }})
	}
	return append(all,
		cell{part: "memory", flush: flush, measure: b.memory},
		cell{part: "quantile", flush: quantileFlush, quantiles: percentiles, once: true, measure: b.quantile})
}

// all runs the parts that are asked for, each peer in turn and that over and over,
// so that what else the machine does falls on all of them alike.
func (b *bench) all(ctx context.Context, only string, parts []string) error {
	cells, err := b.choose(parts)
	if err != nil {
		return err
	}
	chosen, err := choosePeers(only)
	if err != nil {
		return err
	}
	paths, err := b.install(ctx, chosen)
	if err != nil {
		return err
	}
	for run := range b.runs {
		for _, c := range cells {
			for _, p := range chosen {
				if paths[p.name] == "" || c.once && run > 0 {
					continue
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				b.say("run %d of %d: %s of %s", run+1, b.runs, c.path(), p.name)
				if err := b.trial(ctx, p, paths[p.name], c); err != nil {
					b.note(c.part, p.name, "remarks", err.Error())
				}
			}
		}
	}
	return nil
}

// trial is one cell of one peer, in a process of its own.
func (b *bench) trial(ctx context.Context, p peer, path string, c cell) error {
	release, err := b.machine(ctx)
	if err != nil {
		return err
	}
	defer release()
	t, err := start(p, path, c.flush, c.quantiles)
	if err != nil {
		return err
	}
	defer t.close()
	return c.measure(ctx, t)
}

// choose returns the cells that are named, by part or by path; all for none.
func (b *bench) choose(names []string) ([]cell, error) {
	all := b.cells()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []cell
	for _, n := range names {
		before := len(chosen)
		for _, c := range all {
			if c.part == n || c.path() == n {
				chosen = append(chosen, c)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("no part %q: there are cpu, ramp, memory, quantile", n)
		}
	}
	return chosen, nil
}

func choosePeers(only string) ([]peer, error) {
	all := peers()
	if only == "" {
		return all, nil
	}
	var chosen []peer
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(p peer) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no peer %q: see the table in peer.go", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// install has every peer ready, and returns where. One that can't be had is left
// out with a remark; without ours there is nothing to compare.
func (b *bench) install(ctx context.Context, chosen []peer) (map[string]string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "addons-relaybench")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	paths := map[string]string{}
	for _, p := range chosen {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
		path, err := p.install(ctx, cache)
		cancel()
		if err != nil {
			b.say("%s is left out: %v", p.name, err)
			b.missing = append(b.missing, fmt.Sprintf("%s %s: %v", p.name, p.version, err))
			continue
		}
		paths[p.name] = path
	}
	if len(paths) == 0 {
		return nil, errors.New("no peer could be installed: " + strings.Join(b.missing, "; "))
	}
	return paths, nil
}
