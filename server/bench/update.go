package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what Update measures.
type Config struct {
	Backends
	Binary  string        // this program
	Without string        // one that was built with -tags uninstrumented, "" for none
	Only    []string      // names of tiers; empty: all
	Runs    int           // of each tier, in turns
	For     time.Duration // one run
	Conns   int           // connections, each with one request at a time
	Say     func(string)  // is told of progress
}

// Figure is one run of one tier.
type Figure struct {
	PerSecond   float64 `json:"per_second"`
	ServerCPU   float64 `json:"server_cpu_seconds_per_1000"`
	DatabaseCPU float64 `json:"database_cpu_seconds_per_1000"`
	CacheCPU    float64 `json:"cache_cpu_seconds_per_1000"`
	P50         float64 `json:"p50_milliseconds"`
	P99         float64 `json:"p99_milliseconds"`
	Resident    float64 `json:"resident_mib"`
	Failed      int64   `json:"failed"`
}

// Row is a tier with its runs.
type Row struct {
	Tier string   `json:"tier"`
	What string   `json:"what"`
	Talk string   `json:"talk,omitempty"`
	Runs []Figure `json:"runs"`
	Note string   `json:"note,omitempty"`
}

// Report is what Update found.
type Report struct {
	Machine Machine `json:"machine"`
	Seconds float64 `json:"seconds_a_run"`
	Conns   int     `json:"connections"`
	Rows    []*Row  `json:"rows"`
}

const (
	drawn = 20_000 // questions in a run
	// mixed questions of Mix are more than a run asks: each is raw only once.
	mixed   = 200_000
	checked = 200 // answers of each tier that are compared with the reference
	// withoutInstruments is the platform of another build.
	withoutInstruments = "platform-uninstrumented"
)

// Update measures the tiers, each in turn and that over and over, so that what else
// the machine does falls on all of them alike.
func Update(ctx context.Context, c Config) (*Report, error) {
	db, err := openStore(ctx, c.Database)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	q, err := newQuestions(ctx, db)
	if err != nil {
		return nil, err
	}
	queries := make([]string, drawn)
	for i := range queries {
		queries[i] = q.popular()
	}
	mix := make([]string, mixed)
	for i := range mix {
		if mix[i] = q.popular(); i%5 == 0 {
			mix[i] = q.any()
		}
	}
	constant, err := reference(ctx, db, queries[0])
	if err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, query := range queries[:checked] {
		if want[query], err = reference(ctx, db, query); err != nil {
			return nil, err
		}
	}
	r := &Report{Machine: machine(), Seconds: c.For.Seconds(), Conns: c.Conns}
	pids := [2]int{}
	if pids[0], r.Machine.Database, err = databasePID(ctx, c.Database); err != nil {
		return nil, err
	}
	if pids[1], err = memcachedPID(c.Cache); err != nil {
		return nil, err
	}
	r.Machine.Addons = len(q.guids)
	tiers, err := c.tiers()
	if err != nil {
		return nil, err
	}
	for _, t := range tiers {
		r.Rows = append(r.Rows, &Row{Tier: t.Name, What: t.What, Talk: t.Talk})
	}
	for run := range c.Runs {
		for i, t := range tiers {
			c.Say(fmt.Sprintf("run %d of %d: %s", run+1, c.Runs, t.Name))
			during := queries
			if t.Name == Mix {
				during = mix
			}
			f, err := c.measure(ctx, t, queries, during, want, constant, pids)
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			if err != nil {
				r.Rows[i].Note = err.Error()
				c.Say("  " + err.Error())
				continue
			}
			r.Rows[i].Runs = append(r.Rows[i].Runs, f)
			c.Say(fmt.Sprintf("  %.0f/s, %.1f ms of processor for 1,000, p99 %.1f ms", f.PerSecond, 1000*f.ServerCPU, f.P99))
		}
	}
	return r, nil
}

// tiers are those that are asked for and possible.
func (c Config) tiers() ([]Tier, error) {
	all := Tiers()
	if c.Without != "" {
		if _, err := os.Stat(c.Without); err != nil {
			return nil, fmt.Errorf("--without: %w: make it by go build -tags uninstrumented -o FILE ./cmd/addons", err)
		}
		all = append(all, Tier{Name: withoutInstruments, What: "the same, its instruments compiled to nothing"})
	}
	var chosen []Tier
	for _, t := range all {
		if len(c.Only) > 0 && !slices.Contains(c.Only, t.Name) {
			continue
		}
		if t.cache && !strings.HasPrefix(c.Cache, "memcache:") {
			continue
		}
		chosen = append(chosen, t)
	}
	for _, name := range c.Only {
		if !slices.ContainsFunc(chosen, func(t Tier) bool { return t.Name == name }) {
			return nil, fmt.Errorf("--only %s: there is no such tier, or it needs --cache memcache://… or --without: see the table", name)
		}
	}
	return chosen, nil
}

// measure is one run of one tier in a process of its own: the questions once to warm
// it and to compare its answers, then as many as it answers.
func (c Config) measure(ctx context.Context, t Tier, queries, during []string, want map[string]string, constant string, pids [2]int) (f Figure, err error) {
	p, err := launch(ctx, c, t, constant)
	if err != nil {
		return f, err
	}
	defer p.close()
	warm, requests := onTheWire(p.address, queries), onTheWire(p.address, during)
	if t.Name != "bare" && t.Name != "thin" {
		if err := compare(ctx, p.address, want); err != nil {
			return f, err
		}
	}
	if t.Name == "connect" { // has nothing to warm but the database
		warm = warm[:len(warm)/20]
	}
	if _, err := ask(ctx, p.address, warm, c.Conns, 0); err != nil {
		return f, err
	}
	before, err := cpus(p.pid(), pids)
	if err != nil {
		return f, err
	}
	began := time.Now()
	seen, err := ask(ctx, p.address, requests, c.Conns, c.For)
	if err != nil {
		return f, err
	}
	took := time.Since(began)
	after, err := cpus(p.pid(), pids)
	if err != nil {
		return f, err
	}
	n := float64(seen.answered())
	if bad := seen.answered() - seen.Answers[200]; n == 0 || bad > 0 || seen.Failed > 0 {
		return f, fmt.Errorf("%d answers, of which %d are no 200, and %d requests failed: %s", seen.answered(), bad, seen.Failed, seen.Error)
	}
	per := func(i int) float64 { return (after[i] - before[i]).Seconds() / n * 1000 }
	f = Figure{PerSecond: n / took.Seconds(), ServerCPU: per(0), DatabaseCPU: per(1), CacheCPU: per(2), P50: seen.millis(50), P99: seen.millis(99)}
	f.Resident, err = residentOf(p.pid())
	return f, err
}

func onTheWire(address string, queries []string) [][]byte {
	all := make([][]byte, len(queries))
	for i, query := range queries {
		all[i] = request(address, query)
	}
	return all
}

func cpus(server int, others [2]int) (all [3]time.Duration, err error) {
	for i, pid := range []int{server, others[0], others[1]} {
		if all[i], err = cpuOf(pid); err != nil {
			return all, err
		}
	}
	return all, nil
}

// compare holds a tier's answers against the reference's.
func compare(ctx context.Context, address string, want map[string]string) error {
	c, err := dial(ctx, address)
	if err != nil {
		return err
	}
	defer c.close()
	for query, body := range want {
		got, err := c.do(request(address, query))
		if err != nil {
			return err
		}
		if got.status != 200 || string(got.body) != body {
			return fmt.Errorf("wrong answer to %s: %d %s, want %s", query, got.status, got.body, body)
		}
	}
	return nil
}

// ask sends the requests over and over for a while, or once if it is 0, each
// connection one after the other as fast as they are answered.
func ask(ctx context.Context, address string, requests [][]byte, conns int, during time.Duration) (*tally, error) {
	all := newTally()
	var wait sync.WaitGroup
	errs := make([]error, conns)
	end := time.Now().Add(during)
	for i := range conns {
		wait.Go(func() {
			c, err := dial(ctx, address)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.close()
			own := newTally()
			defer func() { all.add(own) }()
			// Each connection begins elsewhere, so that they don't ask for the same at once.
			for n := i; ; n += conns {
				if during == 0 && n >= len(requests) || during > 0 && (time.Now().After(end) || ctx.Err() != nil) {
					return
				}
				began := time.Now()
				a, err := c.do(requests[n%len(requests)])
				own.record(a, time.Since(began), err)
				if err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	wait.Wait()
	return all, errors.Join(errs...)
}

// Markdown is the table, with medians of the runs.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d runs of %.0f s each, %d connections, add-ons by their popularity (Zipf %.2f), every answer compared with the rule's first; medians. "+
		"CPU is seconds for 1,000 checks, user and system.\n\n", r.Machine, r.runs(), r.Seconds, r.Conns, exponent)
	fmt.Fprintf(&b, "| tier | what | the talk, checks/s | checks/s | CPU server | CPU database | CPU memcached | p50 ms | p99 ms | MiB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, row := range r.Rows {
		if len(row.Runs) == 0 {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | | | | | | |\n", row.Tier, row.What, row.Talk, strings.ReplaceAll(row.Note, "|", "\\|"))
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %.4f | %.4f | %.4f | %.2f | %.1f | %.0f |\n", row.Tier, row.What, row.Talk,
			row.median(func(f Figure) float64 { return f.PerSecond }), row.median(func(f Figure) float64 { return f.ServerCPU }),
			row.median(func(f Figure) float64 { return f.DatabaseCPU }), row.median(func(f Figure) float64 { return f.CacheCPU }),
			row.median(func(f Figure) float64 { return f.P50 }), row.median(func(f Figure) float64 { return f.P99 }),
			row.median(func(f Figure) float64 { return f.Resident }))
	}
	for _, ratio := range [][2]string{{Platform, "bare"}, {Platform, "thin"}, {Platform, withoutInstruments}} {
		if a, b2 := r.row(ratio[0]), r.row(ratio[1]); a != nil && b2 != nil {
			fmt.Fprintf(&b, "\nCPU of %s ÷ %s: %.2f (median of the rounds' own).", ratio[0], ratio[1], ratioOf(a, b2))
		}
	}
	return b.String() + "\n"
}

func (r *Report) runs() (n int) {
	for _, row := range r.Rows {
		n = max(n, len(row.Runs))
	}
	return n
}

// row is the tier's, nil if it has no runs.
func (r *Report) row(tier string) *Row {
	i := slices.IndexFunc(r.Rows, func(row *Row) bool { return row.Tier == tier && len(row.Runs) > 0 })
	if i < 0 {
		return nil
	}
	return r.Rows[i]
}

// ratioOf is the median of what a run cost against the other's of the same round.
func ratioOf(a, b *Row) float64 {
	var all []float64
	for i := range min(len(a.Runs), len(b.Runs)) {
		all = append(all, a.Runs[i].ServerCPU/b.Runs[i].ServerCPU)
	}
	return median(all)
}

func (r *Row) median(of func(Figure) float64) float64 {
	var all []float64
	for _, f := range r.Runs {
		all = append(all, of(f))
	}
	return median(all)
}

// median is the middle one; of an even number, the mean of the two.
func median(all []float64) float64 {
	slices.Sort(all)
	n := len(all)
	return (all[n/2] + all[(n-1)/2]) / 2
}

// Executable is this program's file.
func Executable() (string, error) {
	file, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(file)
}
