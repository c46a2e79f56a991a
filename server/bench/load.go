package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// LoadConfig is what Load asks, and whom.
type LoadConfig struct {
	Backends
	Binary  string        // this program: what is measured when URL is ""
	URL     string        // the site's, http://host:port
	Admin   string        // its operators' pages, http://host:port: what it counts itself is compared
	Rate    float64       // checks a second, however fast they are answered
	For     time.Duration // counted
	Warm    time.Duration // before, not counted
	Conns   int           // connections: as many checks are under way at the most
	Cold    float64       // share of checks of any add-on, each as likely; the others are by popularity
	Unknown float64       // share of checks of add-ons that there aren't
	Beside  float64       // detail pages a second beside the checks, and as many API searches
	Say     func(string)
}

// LoadReport is what Load found.
type LoadReport struct {
	Machine   Machine          `json:"machine"`
	Rate      float64          `json:"rate"`
	Seconds   float64          `json:"seconds"`
	Warm      float64          `json:"seconds_before"`
	Conns     int              `json:"connections"`
	Cold      float64          `json:"cold_share"`
	Unknown   float64          `json:"unknown_share"`
	Sent      int64            `json:"sent"`
	Held      float64          `json:"per_second"`
	Answers   map[int]int64    `json:"answers"`
	Failed    int64            `json:"failed"`
	Error     string           `json:"error,omitempty"`
	Quantiles map[string]int64 `json:"latency_nanoseconds"` // from when the check was due
	Outcomes  map[string]int64 `json:"server_outcomes"`
	ServerCPU float64          `json:"server_cpu_seconds_per_1000"` // 0 if the server is elsewhere
	DBCPU     float64          `json:"database_cpu_seconds_per_1000"`
	Resident  float64          `json:"resident_mib"`
	Compared  []Comparison     `json:"compared"`
	Beside    []Beside         `json:"beside,omitempty"`
}

// Comparison is one number as the generator and as the server has it.
type Comparison struct {
	What      string `json:"what"`
	Generator int64  `json:"generator"`
	Server    int64  `json:"server"`
}

// Differs says whether the server counted anything else than was asked.
func (r *LoadReport) Differs() bool {
	return slices.ContainsFunc(r.Compared, func(c Comparison) bool { return c.Generator != c.Server })
}

// Load asks at a given rate, and compares what it has counted with what the server has.
// A check's time is counted from when it was due, not from when a connection was free
// for it: a server that stands still can't hide it (coordinated omission).
func Load(ctx context.Context, c LoadConfig) (*LoadReport, error) {
	db, err := openStore(ctx, c.Database)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	q, err := newQuestions(ctx, db)
	if err != nil {
		return nil, err
	}
	r := &LoadReport{Machine: machine(), Rate: c.Rate, Seconds: c.For.Seconds(), Warm: c.Warm.Seconds(), Conns: c.Conns, Cold: c.Cold, Unknown: c.Unknown}
	pids := [2]int{}
	if pids[0], r.Machine.Database, err = databasePID(ctx, c.Database); err != nil {
		return nil, err
	}
	r.Machine.Addons = len(q.guids)
	server := 0
	if c.URL == "" {
		p, err := launchPlatform(ctx, c.Backends, c.Binary)
		if err != nil {
			return nil, err
		}
		defer p.close()
		c.URL, c.Admin, server = "http://"+p.address, "http://"+p.admin, p.pid()
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" {
		return nil, errors.New("--url: want http://host:port")
	}
	c.Say("drawing questions")
	requests := c.draw(u.Host, q)
	pages, err := c.drawPages(ctx, db, q)
	if err != nil {
		return nil, err
	}
	c.Say(fmt.Sprintf("%.0f checks a second for %v, after %v that are not counted", c.Rate, c.For, c.Warm))
	if err := c.run(ctx, r, u.Host, requests, pages, server, pids); err != nil {
		return nil, err
	}
	return r, nil
}

// draw draws more different questions than the front of a platform keeps.
func (c LoadConfig) draw(host string, q *questions) [][]byte {
	n := max(1000, min(int(c.Rate*(c.For+c.Warm).Seconds()), 400_000))
	all := make([][]byte, n)
	for i := range all {
		query := ""
		switch share := q.rng.Float64(); {
		case share < c.Unknown:
			query = q.unknown()
		case share < c.Unknown+c.Cold:
			query = q.any()
		default:
			query = q.popular()
		}
		all[i] = request(host, query)
	}
	return all
}

func (c LoadConfig) run(ctx context.Context, r *LoadReport, host string, requests [][]byte, pages []page, server int, pids [2]int) error {
	if c.Warm > 0 {
		warming := c
		warming.For = c.Warm
		warming.ask(ctx, host, requests[len(requests)/2:], pages)
	}
	before, err := c.counted(ctx)
	if err != nil {
		return err
	}
	used, err := cpus(server, pids)
	if err != nil {
		return err
	}
	began := time.Now()
	seen, beside := c.ask(ctx, host, requests, pages)
	took := time.Since(began)
	after, err := c.counted(ctx)
	if err != nil {
		return err
	}
	usedAfter, err := cpus(server, pids)
	if errors.Is(err, fs.ErrNotExist) { // the database was started anew: what it used is not known
		used[1], used[2] = 0, 0
		usedAfter, err = cpus(server, [2]int{})
	}
	if err != nil {
		return err
	}
	n := seen.answered()
	r.Sent, r.Held, r.Answers, r.Failed, r.Error = n+seen.Failed, float64(n)/took.Seconds(), seen.Answers, seen.Failed, seen.Error
	r.ServerCPU = (usedAfter[0] - used[0]).Seconds() / float64(max(1, n)) * 1000
	r.DBCPU = (usedAfter[1] - used[1]).Seconds() / float64(max(1, n)) * 1000
	if server != 0 {
		if r.Resident, err = residentOf(server); err != nil {
			return err
		}
	}
	r.Quantiles, r.Beside = seen.quantiles(), beside
	r.compare(seen, before, after)
	return nil
}

// ask asks for all: checks, and what is beside them.
func (c LoadConfig) ask(ctx context.Context, host string, requests [][]byte, pages []page) (checks *tally, beside []Beside) {
	var asking sync.WaitGroup
	beside = make([]Beside, len(pages))
	for i, p := range pages {
		asking.Go(func() {
			seen := openLoop(ctx, c.For, c.Beside, besideConns, func(context.Context) (asker, error) { return newVisitor(host, p.paths), nil })
			beside[i] = Beside{p.name, seen.answered() + seen.Failed, seen.Failed, seen.Error, seen.Answers, seen.quantiles()}
		})
	}
	checks = openLoop(ctx, c.For, c.Rate, c.Conns, func(ctx context.Context) (asker, error) {
		conn, err := dial(ctx, host)
		return checker{conn, requests}, err
	})
	asking.Wait()
	return checks, beside
}

// asker is a connection to the server.
type asker interface {
	ask(n int) (answer, error) // after an error it is of no more use
	close()
}

// checker asks for update checks.
type checker struct {
	*client
	requests [][]byte
}

func (c checker) ask(n int) (answer, error) { return c.do(c.requests[n%len(c.requests)]) }

// openLoop asks at a rate for a time: each connection has its share of it as a Poisson
// process, so that all together are one too.
func openLoop(ctx context.Context, during time.Duration, rate float64, conns int, connect func(context.Context) (asker, error)) *tally {
	all := newTally()
	var wait sync.WaitGroup
	begin := time.Now().Add(100 * time.Millisecond)
	gap := float64(conns) / rate * float64(time.Second)
	for i := range conns {
		wait.Go(func() { all.add(connection(ctx, begin, during, gap, i, conns, connect)) })
	}
	wait.Wait()
	return all
}

// connection is one connection's share. After a failure it connects anew; what is due
// meanwhile is late, and counted so.
func connection(ctx context.Context, begin time.Time, during time.Duration, gap float64, i, step int, connect func(context.Context) (asker, error)) *tally {
	own := newTally()
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	var conn asker
	defer func() {
		if conn != nil {
			conn.close()
		}
	}()
	due := begin
	for n := i; ctx.Err() == nil; n += step {
		due = due.Add(time.Duration(rng.ExpFloat64() * gap))
		if due.Sub(begin) > during {
			return own
		}
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		if conn == nil {
			fresh, err := connect(ctx)
			if err != nil {
				own.record(answer{}, 0, err)
				continue
			}
			conn = fresh
		}
		a, err := conn.ask(n)
		own.record(a, time.Since(due), err)
		if err != nil {
			conn.close()
			conn = nil
		}
	}
	return own
}

// counted is what the server has counted so far; nil without Admin.
func (c LoadConfig) counted(ctx context.Context) (map[string]float64, error) {
	if c.Admin == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.Admin, "/")+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("--admin: %s says %s", req.URL, resp.Status)
	}
	return series(io.LimitReader(resp.Body, 64<<20))
}

// series reads Prometheus' text format: sums by name and the labels that are compared.
func series(r io.Reader) (map[string]float64, error) {
	all := map[string]float64{}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		name, rest, ok := strings.Cut(s.Text(), "{")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		labels, value, ok := strings.Cut(rest, "} ")
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, " ") // a timestamp or an exemplar
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%.200s: %w", s.Text(), err)
		}
		of := strings.Contains(labels, `http_route="`+path+`"`)
		switch {
		case name == "addons_update_checks_total", name == "addons_update_check_seconds_count":
			all[name+" "+label(labels, "outcome")] += n
		case of && name == "http_server_request_duration_seconds_count":
			all[name+" "+label(labels, "http_response_status_code")] += n
		case of && name == "http_server_response_body_size_bytes_sum":
			all[name] += n
		}
	}
	return all, s.Err()
}

func label(labels, name string) string {
	_, after, _ := strings.Cut(labels, name+`="`)
	value, _, _ := strings.Cut(after, `"`)
	return value
}

// compare holds what was asked against what the server has counted.
func (r *LoadReport) compare(seen *tally, before, after map[string]float64) {
	if after == nil {
		return
	}
	sum := func(prefix string) (n int64) {
		for name := range after {
			if strings.HasPrefix(name, prefix) {
				n += int64(math.Round(after[name] - before[name]))
			}
		}
		return n
	}
	r.Outcomes = map[string]int64{}
	const outcomes = "addons_update_checks_total "
	for name := range after {
		if outcome, ok := strings.CutPrefix(name, outcomes); ok {
			r.Outcomes[outcome] = sum(name)
		}
	}
	r.Compared = []Comparison{
		{"checks: addons_update_checks_total", seen.answered(), sum(outcomes)},
		{"checks timed: addons_update_check_seconds_count", seen.answered(), sum("addons_update_check_seconds_count ")},
		{"bytes of bodies: http_server_response_body_size_bytes_sum", seen.Bytes, sum("http_server_response_body_size_bytes_sum")},
	}
	const answers = "http_server_request_duration_seconds_count "
	statuses := map[string]bool{}
	for status := range seen.Answers {
		statuses[strconv.Itoa(status)] = true
	}
	for name := range after {
		if status, ok := strings.CutPrefix(name, answers); ok && after[name] != before[name] {
			statuses[status] = true
		}
	}
	var all []string
	for status := range statuses {
		all = append(all, status)
	}
	slices.Sort(all)
	for _, status := range all {
		code, _ := strconv.Atoi(status)
		r.Compared = append(r.Compared, Comparison{"answers of " + status + ": http_server_request_duration_seconds_count", seen.Answers[code], sum(answers + status)})
	}
}

// Markdown is the report for people.
func (r *LoadReport) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nOpen loop, %.0f checks/s (Poisson) for %.0f s, after %.0f s that are not counted, over %d connections; %.0f %% of any add-on, %.0f %% of unknown ones, the others by popularity (Zipf %.2f). "+
		"Times are from when a check was due.\n\n", r.Machine, r.Rate, r.Seconds, r.Warm, r.Conns, 100*r.Cold, 100*r.Unknown, exponent)
	fmt.Fprintf(&b, "| sent | answered/s | failed | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms | CPU server, s for 1,000 | CPU database | MiB |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	fmt.Fprintf(&b, "| %d | %.0f | %d %s| %.4f | %.4f | %.0f |\n", r.Sent, r.Held, r.Failed, cells(r.Quantiles), r.ServerCPU, r.DBCPU, r.Resident)
	if r.Error != "" {
		fmt.Fprintf(&b, "\nThe last failure: %s\n", r.Error)
	}
	r.besides(&b)
	if r.Outcomes == nil {
		return b.String()
	}
	b.WriteString("\n| outcome | checks | share |\n|---|---:|---:|\n")
	for _, outcome := range []string{"hit", "miss", "negative", "stale", "bad", "error"} {
		fmt.Fprintf(&b, "| %s | %d | %.1f %% |\n", outcome, r.Outcomes[outcome], 100*float64(r.Outcomes[outcome])/float64(max(1, r.Sent)))
	}
	b.WriteString("\n| counted | generator | server | difference |\n|---|---:|---:|---:|\n")
	for _, c := range r.Compared {
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", c.What, c.Generator, c.Server, c.Server-c.Generator)
	}
	return b.String()
}
