//go:build linux

// Command rumbench measures how statsd-relay takes browsers' beacons, side by side with
// django-statsd, which is there from PyPI: beacons a second, how long one waits, processor
// time of a thousand, and memory.
//
//	go run ./cmd/rumbench                  # medians of three
//	go run ./cmd/rumbench -n 1 -for 2s     # a look
//
// Everything stays on the loopback interface, and the sender shares the processors.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	runs := flag.Int("n", 3, "take medians of so many `runs`")
	lasts := flag.Duration("for", 5*time.Second, "send for so `long` in each run")
	conns := flag.Int("c", 8, "send over so many `connections`, each the next beacon when the last is answered")
	only := flag.String("only", "", "measure those rows alone whose server or beacon has this `word` in its name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, *only, max(1, *runs), *lasts, *conns); err != nil {
		fmt.Fprintln(os.Stderr, "rumbench:", err)
		os.Exit(1)
	}
}

// figures of one run.
type figures struct {
	perSecond, p50, p99 float64 // the latter in milliseconds
	cpu                 float64 // seconds for a thousand beacons, of the peer alone
	idle, after         float64 // MiB resident, before and after
}

// row of the table: a peer with a kind of beacon.
type row struct {
	peer   peer
	beacon beacon
	runs   []figures
	remark string
}

// bench runs every row in turn and that over and over, so that what else the machine
// does falls on all of them alike.
func bench(ctx context.Context, only string, runs int, lasts time.Duration, conns int) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "addons-rumbench")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	var rows []*row
	for _, p := range peers {
		path, err := p.install(ctx, cache)
		for _, b := range beacons {
			if !slices.Contains(p.takes, b.name) || !strings.Contains(p.name+" "+b.name, only) {
				continue
			}
			r := &row{peer: p, beacon: b}
			if err != nil {
				r.remark = "left out: " + err.Error()
			}
			r.peer.path = path
			rows = append(rows, r)
		}
	}
	for n := range runs {
		for _, r := range rows {
			if r.remark != "" {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s run %d of %d: %s, %s\n", time.Now().Format(time.TimeOnly), n+1, runs, r.peer.name, r.beacon.name)
			f, err := r.measure(ctx, lasts, conns)
			if err != nil {
				r.remark = err.Error()
				continue
			}
			r.runs = append(r.runs, f)
		}
	}
	fmt.Printf("%d processors shared with the sender, %d connections, medians of %d runs of %v.\n\n", runtime.NumCPU(), conns, runs, lasts)
	fmt.Println("| server | beacon | beacons/s | p50 ms | p99 ms | CPU s/1,000 | MiB idle | MiB after |\n|---|---|---:|---:|---:|---:|---:|---:|")
	for _, r := range rows {
		fmt.Println(r)
	}
	return ctx.Err()
}

// measure starts the peer, warms it up, and sends.
func (r *row) measure(ctx context.Context, lasts time.Duration, conns int) (f figures, err error) {
	p, err := r.peer.start(ctx)
	if err != nil {
		return f, err
	}
	defer p.stop()
	if f.idle, err = p.memory(); err != nil {
		return f, err
	}
	if _, err := send(ctx, p.address, r.beacon.request(p.address), conns, lasts/5); err != nil {
		return f, err
	}
	before, err := p.cpu()
	if err != nil {
		return f, err
	}
	took, err := send(ctx, p.address, r.beacon.request(p.address), conns, lasts)
	if err != nil {
		return f, err
	}
	after, err := p.cpu()
	if err != nil {
		return f, err
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	f.perSecond = float64(len(took)) / lasts.Seconds()
	f.p50, f.p99 = ms(took[len(took)/2]), ms(took[len(took)*99/100])
	f.cpu = (after - before).Seconds() / float64(len(took)) * 1000
	f.after, err = p.memory()
	return f, err
}

// String is the row as Markdown has it.
func (r *row) String() string {
	if r.remark != "" {
		return fmt.Sprintf("| %s | %s | %s |", r.peer.name, r.beacon.name, strings.ReplaceAll(r.remark, "\n", " "))
	}
	median := func(of func(figures) float64) float64 {
		var all []float64
		for _, f := range r.runs {
			all = append(all, of(f))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return fmt.Sprintf("| %s | %s | %.0f | %.2f | %.2f | %.3f | %.0f | %.0f |", r.peer.name, r.beacon.name,
		median(func(f figures) float64 { return f.perSecond }), median(func(f figures) float64 { return f.p50 }), median(func(f figures) float64 { return f.p99 }),
		median(func(f figures) float64 { return f.cpu }), median(func(f figures) float64 { return f.idle }), median(func(f figures) float64 { return f.after }))
}
