package site_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/site"
	"addons/server/store"
)

// asChild makes this test binary one of the processes of a run, as its value says.
const asChild = "ADDONS_TEST_HISTORY"

func TestMain(m *testing.M) {
	if task := os.Getenv(asChild); task != "" {
		if err := child(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// rows are the add-ons that are written and read; each belongs to one writer, which
// numbers what it writes of it.
const (
	historyRows    = 12
	historyWriters = 2
	historyReaders = 3
)

// childTask is what a process of the run does.
type childTask struct {
	Database, Cache string
	Writer          int // from 0; -1: it reads
	For             time.Duration
}

// reading is a value of a row, or of "list", as somebody saw it.
type reading struct {
	Row   string
	Value int
}

// childReport is what a process has seen or done, with times as Unix nanoseconds: the
// processes are of one machine, with one clock.
type childReport struct {
	Commits  []commit
	Seen     []sight
	Reads    int // without those marked as stale
	Marked   int
	Compared int64
	Mismatch int64
}

// commit is when a value was committed at the latest.
type commit struct {
	reading
	At int64
}

// sight is when the last read began that brought a value without a mark.
type sight struct {
	reading
	Began int64
}

func child(raw string) error {
	var task childTask
	if err := json.Unmarshal([]byte(raw), &task); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), task.For)
	defer cancel()
	reg, log := metrics.New(nil), slog.New(slog.DiscardHandler)
	db, err := store.Open(ctx, task.Database, reg, log)
	if err != nil {
		return err
	}
	defer db.Close()
	var report childReport
	if task.Writer >= 0 {
		report, err = write(ctx, db, task.Writer)
	} else {
		report, err = read(ctx, db, task.Cache, reg, log)
	}
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(report))
}

func rowName(i int) string { return fmt.Sprintf("row-%d", i) }

// numbered is a row's add-on with a number to be seen in it, and in lists.
func numbered(row string, n int) store.Import {
	in := clock()
	in.Addon.GUID, in.Addon.Slug, in.Addon.Tags = row+"@example.org", row, []string{"seen"}
	in.Addon.Summary = catalog.Text{"en-US": strconv.Itoa(n)}
	in.Versions[0].File.Name = row + ".xpi"
	return in
}

// write commits a new value of one of its rows, or a new add-on, again and again.
func write(ctx context.Context, db *store.DB, writer int) (childReport, error) {
	var report childReport
	next := map[string]int{}
	for listed := 1; pace(ctx, 60*time.Millisecond); {
		row := rowName(writer + historyWriters*rand.N(historyRows/historyWriters))
		if writer == 0 && rand.N(5) == 0 { // one more add-on that belongs in the list
			row = fmt.Sprintf("new-%d", listed)
		}
		next[row]++
		if _, err := db.Save(context.WithoutCancel(ctx), numbered(row, next[row])); err != nil {
			return report, fmt.Errorf("%s: %w", row, err)
		}
		at := time.Now().UnixNano()
		if strings.HasPrefix(row, "new-") {
			report.Commits = append(report.Commits, commit{reading{"list", historyRows + listed}, at})
			listed++
			continue
		}
		report.Commits = append(report.Commits, commit{reading{row, next[row]}, at})
	}
	return report, nil
}

// read reads rows and the list by way of the cache, which follows what is committed.
func read(ctx context.Context, db *store.DB, cacheURL string, reg *metrics.Registry, log *slog.Logger) (report childReport, err error) {
	c, err := cache.Open(cacheURL, reg, log)
	if err != nil {
		return report, err
	}
	defer c.Close()
	s := &site.Site{Deps: site.Deps{DB: db, Cache: c}} // reads need no more
	if err := c.CatchUp(ctx, db); err != nil {
		return report, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	all.Go(func() { s.Follow(following) })
	var readers sync.WaitGroup
	var mu sync.Mutex
	seen := map[reading]int64{}
	look := func(list bool) error {
		ctx, ledger := metrics.Begin(context.WithoutCancel(ctx), "")
		began := time.Now().UnixNano()
		got, err := readings(ctx, s, list)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			return err
		}
		if ledger.Count("stale") > 0 {
			report.Marked++
			return nil
		}
		report.Reads++
		for _, r := range got {
			seen[r] = max(seen[r], began)
		}
		return nil
	}
	for i := range 4 {
		readers.Go(func() {
			for pace(ctx, 2*time.Millisecond) {
				if failed := look(i == 0); failed != nil {
					mu.Lock()
					err = errors.Join(err, failed)
					mu.Unlock()
					return
				}
			}
		})
	}
	readers.Wait()
	stop()
	all.Wait()
	for r, began := range seen {
		report.Seen = append(report.Seen, sight{r, began})
	}
	for _, r := range c.Report() {
		report.Compared += r.Compared
		report.Mismatch += r.Mismatches
	}
	return report, err
}

// readings reads the list with all that is on it, or one row.
func readings(ctx context.Context, s *site.Site, list bool) ([]reading, error) {
	if !list {
		row := rowName(rand.N(historyRows))
		a, err := s.Addon(ctx, row)
		if err != nil {
			return nil, err
		}
		return []reading{valueOf(a)}, nil
	}
	page, err := s.Browse(ctx, store.Browse{Tag: "seen", Sort: "created", Limit: 50})
	if err != nil {
		return nil, err
	}
	all := []reading{{"list", page.Total}}
	for _, a := range page.Addons {
		if strings.HasPrefix(a.Slug, "row-") {
			all = append(all, valueOf(a))
		}
	}
	return all, nil
}

func valueOf(a *catalog.Addon) reading {
	n, err := strconv.Atoi(a.Summary["en-US"])
	if err != nil {
		n = -1 // which nobody committed
	}
	return reading{a.Slug, n}
}

// pace waits for up to twice d; false once ctx has ended. It keeps the run from taking
// the whole machine.
func pace(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(rand.N(2 * d)):
		return true
	case <-ctx.Done():
		return false
	}
}

// Processes of their own write and read rows and a list, while the cache's engine is
// killed, comes back empty or with what it had, and stands still; readers stand still too.
// Nobody reads without a mark what was overtaken longer than cache.Behind before, and no
// comparison finds a copy that the process does not know to be outdated.
func TestNoReaderOfAnyProcessSeesAValueOlderThanTheBound(t *testing.T) {
	history(t, 10*time.Second)
}

func history(t *testing.T, length time.Duration) {
	for name, start := range map[string]func(testing.TB) (*enginetest.Process, string){
		"memcache": func(t testing.TB) (*enginetest.Process, string) {
			e := enginetest.Memcached(t)
			return e, "memcache://" + e.Addr
		},
		"redis that comes back with what it had": func(t testing.TB) (*enginetest.Process, string) {
			e := enginetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
			return e, "redis://" + e.Addr + "/0"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine, cacheURL := start(t)
			database := ownDatabase(t)
			db, err := store.Open(t.Context(), database, metrics.New(nil), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for i := range historyRows {
				if _, err := db.Save(t.Context(), numbered(rowName(i), 0)); err != nil {
					t.Fatal(err)
				}
			}
			run := newRun(t, childTask{Database: database, Cache: cacheURL + "?shadow=0.05", For: length})
			run.judge(t, run.storm(t, engine, length >= time.Minute))
		})
	}
}

// ownDatabase is an empty MariaDB database.
func ownDatabase(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")/")
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("history_%x", rand.Uint64())
	if _, err := server.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Exec("DROP DATABASE " + name)
		server.Close()
	})
	u.Path = "/" + name
	return u.String()
}

// processes are those of a run.
type processes struct {
	readers []*exec.Cmd
	ended   chan struct{}
	reports []childReport
	errs    []error
}

// newRun starts writers and readers, and collects their reports.
func newRun(t *testing.T, task childTask) *processes {
	t.Helper()
	r := &processes{ended: make(chan struct{})}
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range historyWriters + historyReaders {
		task.Writer = i
		if i >= historyWriters {
			task.Writer = -1
		}
		raw, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), asChild+"="+string(raw))
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if task.Writer < 0 {
			r.readers = append(r.readers, cmd)
		}
		all.Go(func() {
			var report childReport
			err := json.NewDecoder(bufio.NewReader(out)).Decode(&report)
			err = errors.Join(err, cmd.Wait())
			mu.Lock()
			defer mu.Unlock()
			r.reports = append(r.reports, report)
			if err != nil {
				r.errs = append(r.errs, fmt.Errorf("process %d: %w: %s", i, err, said.String()))
			}
		})
	}
	go func() {
		all.Wait()
		close(r.ended)
	}()
	return r
}

// storm lets things go wrong, one after the other, until the processes have ended. If it
// is a long one, a reader stands still for longer than the bound, too.
func (r *processes) storm(t *testing.T, engine *enginetest.Process, long bool) (faults int) {
	kinds := 4
	if long {
		kinds++
	}
	for {
		length := 100*time.Millisecond + rand.N(1500*time.Millisecond)
		frozen := r.readers[rand.N(len(r.readers))].Process
		fault := []struct{ begin, end func() }{
			{engine.Kill, func() { engine.Start(t) }},
			{engine.Kill, func() { engine.Start(t) }},
			{engine.Freeze, engine.Thaw},
			{func() { frozen.Signal(syscall.SIGSTOP) }, func() { frozen.Signal(syscall.SIGCONT) }},
			{func() { length = cache.Behind + time.Second; frozen.Signal(syscall.SIGSTOP) }, func() { frozen.Signal(syscall.SIGCONT) }},
		}[rand.N(kinds)]
		if !r.during(500*time.Millisecond + rand.N(time.Second)) {
			return faults
		}
		fault.begin()
		goOn := r.during(length)
		fault.end()
		faults++
		if !goOn {
			return faults
		}
	}
}

// during waits; false if the processes have ended.
func (r *processes) during(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.ended:
		return false
	}
}

// judge looks at what was seen when, in the light of what was committed when.
func (r *processes) judge(t *testing.T, faults int) {
	<-r.ended
	for _, err := range r.errs {
		t.Error(err)
	}
	overtaken := map[reading]int64{} // when the next value of the row was committed
	var total childReport
	for _, report := range r.reports {
		for _, c := range report.Commits {
			overtaken[reading{c.Row, c.Value - 1}] = c.At
		}
		total.Reads += report.Reads
		total.Marked += report.Marked
		total.Compared += report.Compared
		total.Mismatch += report.Mismatch
	}
	var worst time.Duration
	for _, report := range r.reports {
		for _, s := range report.Seen {
			at, ok := overtaken[s.reading]
			if !ok {
				continue
			}
			age := time.Duration(s.Began - at)
			worst = max(worst, age)
			if age > cache.Behind {
				t.Errorf("%s was read as %d %v after that was overtaken", s.Row, s.Value, age)
			}
		}
	}
	t.Logf("%d faults, %d commits, %d reads and %d marked as stale; the oldest value was read %v after it was overtaken; %d compared, %d mismatches",
		faults, len(overtaken), total.Reads, total.Marked, worst, total.Compared, total.Mismatch)
	if total.Mismatch != 0 {
		t.Errorf("%d comparisons found a stale read", total.Mismatch)
	}
	if faults == 0 || len(overtaken) < 20 || total.Reads < 500 || total.Compared == 0 {
		t.Error("too little happened: nothing was shown")
	}
}
