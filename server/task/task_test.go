package task_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/streadway/amqp"
	"go.uber.org/goleak"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/task"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("TASK_TEST_WORKER"); url != "" {
		doomedWorker(url, os.Getenv("TASK_TEST_DATABASE"))
	}
	goleak.VerifyTestMain(m)
}

// place is where a test's jobs wait: a database and, with amqp, a queue of its own.
type place struct {
	database string // URL
	queue    string // URL
}

// drivers runs the test over every driver.
func drivers(t *testing.T, run func(t *testing.T, p place)) {
	t.Run("database", func(t *testing.T) {
		t.Parallel()
		run(t, place{sqliteFile(t), "database:?poll=20ms&backoff=20ms&lease=2s"})
	})
	t.Run("amqp", func(t *testing.T) {
		t.Parallel()
		run(t, place{sqliteFile(t), amqpQueue(t, enginetest.URL(t, "AMQP"))})
	})
}

func sqliteFile(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "addons.db") + "?readers=2"
}

// amqpQueue names a queue of the test's own, and deletes it afterwards.
func amqpQueue(t *testing.T, broker string) string {
	name := fmt.Sprintf("test.%x", rand.Uint64())
	t.Cleanup(func() {
		withChannel(t, broker, func(ch *amqp.Channel) {
			ch.QueueDelete(name, false, false, false)
			ch.QueueDelete(name+".dead", false, false, false)
		})
	})
	// A confirm that comes too late would have the job run twice.
	return broker + "?confirm=1m&sweep=20ms&backoff=20ms&queue=" + name
}

// withChannel talks to the broker directly.
func withChannel(t testing.TB, broker string, call func(*amqp.Channel)) {
	t.Helper()
	address, _, _ := strings.Cut(broker, "?")
	conn, err := amqp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	call(ch)
}

func (p place) name() string {
	_, name, _ := strings.Cut(p.queue, "queue=")
	return name
}

// site is one process's queue.
type site struct {
	*task.Queue
	db     *store.DB
	reg    *metrics.Registry
	faults *faults
}

// faults keeps what it is told.
type faults struct {
	mu     sync.Mutex
	errors []string
	panics []string
}

func (f *faults) Error(_ context.Context, where string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, where+": "+err.Error())
}

func (f *faults) Panic(_ context.Context, where string, value any, stack []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(stack) > 0 {
		f.panics = append(f.panics, fmt.Sprintf("%s: %v", where, value))
	}
}

func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}

func open(t testing.TB, p place) *site {
	t.Helper()
	s := &site{reg: metrics.New(nil), faults: &faults{}}
	var err error
	if s.db, err = store.Open(t.Context(), p.database, s.reg, quiet()); err != nil {
		t.Fatal(err)
	}
	if s.Queue, err = task.Open(t.Context(), p.queue, s.db, s.reg, s.faults, quiet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// work starts a worker, and returns what stops it and waits for it.
func (s *site) work(t testing.TB, workers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, workers) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// wait polls for what has no event. Its limit is above moveLease.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	const limit = 2 * time.Minute
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// drained waits until no job is left, alive.
func (s *site) drained(t testing.TB) {
	t.Helper()
	wait(t, "the queue is empty", func() bool {
		st, err := s.Stats(t.Context())
		return err == nil && st.Waiting == 0 && st.Leased == 0
	})
}

// totals are the counts of a kind by outcome.
func (s *site) totals(t testing.TB, kind string) map[string]int {
	t.Helper()
	got := map[string]int{}
	all, err := s.reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if n := int(m.GetCounter().GetValue()); f.GetName() == "addons_task_total" && labels["kind"] == kind && n > 0 {
				got[labels["outcome"]] = n
			}
		}
	}
	return got
}

// ids collects what handlers were given.
type ids struct {
	mu  sync.Mutex
	got map[int]int
}

func (i *ids) add(n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.got == nil {
		i.got = map[int]int{}
	}
	i.got[n]++
}

func (i *ids) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.got)
}

type payload struct {
	IDs  []int64
	Note string
}

func TestWhatIsSentIsDoneWithTheSendersTrace(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		type seen struct {
			Payload payload
			Trace   string
		}
		got := make(chan seen, 1)
		send := task.Register(s.Queue, task.Kind[payload]{Name: "index", Run: func(ctx context.Context, p payload) error {
			got <- seen{p, metrics.From(ctx).TraceID}
			return nil
		}})
		ctx, ledger := metrics.Begin(t.Context(), "")
		want := seen{payload{IDs: []int64{1, 1 << 60}, Note: "näher\n"}, ledger.TraceID}
		if err := send.Send(ctx, want.Payload); err != nil {
			t.Fatal(err)
		}
		s.work(t, 2)
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Error(diff)
		}
		s.drained(t)
		if diff := cmp.Diff(map[string]int{"sent": 1, "done": 1}, s.totals(t, "index")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatFailsIsRetriedThenDeadThenReplayed(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		var broken atomic.Bool
		broken.Store(true)
		var runs atomic.Int32
		done := make(chan struct{}, 1)
		send := task.Register(s.Queue, task.Kind[string]{Name: "flaky", Attempts: 3, Run: func(context.Context, string) error {
			runs.Add(1)
			if broken.Load() {
				return errors.New("the index is locked")
			}
			done <- struct{}{}
			return nil
		}})
		if err := send.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		s.work(t, 2)
		dead := s.waitDead(t, 1)[0]
		if runs.Load() != 3 || dead.Kind != "flaky" || dead.Reason != "the index is locked" || string(dead.Payload) != `"x"` {
			t.Errorf("after %d runs the dead job is %+v, want 3 runs and the reason", runs.Load(), dead)
		}
		wait(t, "it is counted", func() bool { return s.totals(t, "flaky")["dead"] == 1 })
		if diff := cmp.Diff(map[string]int{"sent": 1, "failed": 3, "retried": 2, "dead": 1}, s.totals(t, "flaky")); diff != "" {
			t.Error(diff)
		}
		if got := s.faults.errors; !slices.Equal(got, []string{"task flaky: the index is locked"}) {
			t.Errorf("faults = %q, want one, when it died", got)
		}
		if err := s.Replay(t.Context(), "no such job"); !errors.Is(err, catalog.ErrNotFound) {
			t.Errorf("Replay of an unknown id: %v, want ErrNotFound", err)
		}
		broken.Store(false)
		if err := s.Replay(t.Context(), dead.ID); err != nil {
			t.Fatal(err)
		}
		<-done
		s.drained(t)
		if jobs, err := s.Dead(t.Context(), 10); err != nil || len(jobs) != 0 {
			t.Errorf("after Replay Dead = %v, %v", jobs, err)
		}
	})
}

// waitDead waits for n dead jobs.
func (s *site) waitDead(t testing.TB, n int) (jobs []store.Job) {
	t.Helper()
	wait(t, fmt.Sprint(n, " dead jobs"), func() bool {
		var err error
		jobs, err = s.Dead(t.Context(), 10)
		return err == nil && len(jobs) == n
	})
	return jobs
}

func TestWhatCannotSucceedIsDeadAtOnce(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		send := task.Register(s.Queue, task.Kind[string]{Name: "strict", Run: func(context.Context, string) error {
			return fmt.Errorf("%w: no such add-on", catalog.ErrInvalid)
		}})
		if err := send.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Push(t.Context(), store.Job{Kind: "strict", Payload: []byte("{not JSON")}); err != nil {
			t.Fatal(err)
		}
		s.work(t, 2)
		for _, job := range s.waitDead(t, 2) {
			if !strings.Contains(job.Reason, "invalid") {
				t.Errorf("reason = %q", job.Reason)
			}
		}
		wait(t, "both are counted", func() bool { return s.totals(t, "strict")["dead"] == 2 })
		if got := s.totals(t, "strict"); got["failed"] != 2 || got["retried"] != 0 {
			t.Errorf("totals = %v, want 2 attempts and no retry", got)
		}
	})
}

func TestAPanicIsRecordedAndRetried(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		var runs atomic.Int32
		send := task.Register(s.Queue, task.Kind[string]{Name: "shaky", Run: func(context.Context, string) error {
			if runs.Add(1) == 1 {
				panic("nil map")
			}
			return nil
		}})
		if err := send.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		s.work(t, 1)
		wait(t, "it is done", func() bool { return s.totals(t, "shaky")["done"] == 1 })
		if got := s.faults.panics; !slices.Equal(got, []string{"task shaky: nil map"}) {
			t.Errorf("panics recorded: %q", got)
		}
	})
}

func TestAKindThatIsUnknownHereWaitsAndDies(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		if err := s.db.Push(t.Context(), store.Job{ID: "from-the-future", Kind: "newer", Payload: []byte("1")}); err != nil {
			t.Fatal(err)
		}
		s.work(t, 1)
		if job := s.waitDead(t, 1)[0]; job.Kind != "newer" || !strings.Contains(job.Reason, "no such kind") {
			t.Errorf("the dead job is %+v", job)
		}
	})
}

func TestAnAttemptHasItsKindsDeadline(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		left := make(chan time.Duration, 1)
		send := task.Register(s.Queue, task.Kind[string]{Name: "slow", Timeout: 50 * time.Millisecond, Attempts: 1, Run: func(ctx context.Context, _ string) error {
			begun := time.Now()
			<-ctx.Done()
			left <- time.Since(begun)
			return ctx.Err()
		}})
		if err := send.Send(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		s.work(t, 1)
		if d := <-left; d < 40*time.Millisecond {
			t.Errorf("the deadline came after %v, want 50ms", d)
		}
		s.waitDead(t, 1)
	})
}

func TestEveryJobRunsAndNeverMoreAtATimeThanWorkers(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		const jobs, workers = 300, 8
		s := open(t, p)
		var got ids
		var now, most atomic.Int32
		send := task.Register(s.Queue, task.Kind[int]{Name: "many", Run: func(_ context.Context, n int) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Millisecond)
			now.Add(-1)
			got.add(n)
			return nil
		}})
		s.work(t, workers)
		var rows []store.Job
		for n := range jobs {
			if n%2 == 0 {
				rows = append(rows, send.Job(t.Context(), n))
			} else if err := send.Send(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.db.Push(t.Context(), rows...); err != nil { // as store.Save does
			t.Fatal(err)
		}
		if err := s.Flush(t.Context()); err != nil && !errors.Is(err, catalog.ErrUnavailable) {
			t.Error(err)
		}
		wait(t, "every job has run", func() bool { return got.len() == jobs })
		s.drained(t)
		if most.Load() > workers {
			t.Errorf("%d ran at a time, want at the most %d", most.Load(), workers)
		}
		// At least once: what a slow broker confirms too late runs again.
		if all := s.totals(t, "many"); all["sent"] != jobs || all["done"] < jobs {
			t.Errorf("%v, want %d sent and no fewer done", all, jobs)
		}
	})
}

func TestAStopFinishesWhatWasBegunAndLosesNothing(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		const jobs, workers = 12, 3
		s := open(t, p)
		begun, gate := make(chan int, jobs), make(chan struct{})
		var got ids
		send := task.Register(s.Queue, task.Kind[int]{Name: "stop", Run: func(ctx context.Context, n int) error {
			begun <- n
			<-gate
			got.add(n)
			return ctx.Err()
		}})
		for n := range jobs {
			if err := send.Send(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, workers) }()
		for range workers {
			<-begun
		}
		cancel()
		select {
		case err := <-ended:
			t.Fatalf("Run returned (%v) before what was begun had ended", err)
		case <-time.After(100 * time.Millisecond):
		}
		close(gate)
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if got.len() != workers || s.totals(t, "stop")["done"] != workers {
			t.Errorf("after the stop %d jobs were done, want the %d begun", got.len(), workers)
		}
		s.work(t, workers)
		wait(t, "the rest is done by the next worker", func() bool { return got.len() == jobs })
		s.drained(t)
		for n, times := range got.got {
			if times != 1 {
				t.Errorf("job %d ran %d times, want once", n, times)
			}
		}
	})
}

// doomedWorker is a process of its own that takes a job, says so, and never ends it.
func doomedWorker(queue, database string) {
	reg := metrics.New(nil)
	db, err := store.Open(context.Background(), database, reg, quiet())
	if err != nil {
		panic(err)
	}
	q, err := task.Open(context.Background(), queue, db, reg, nil, quiet())
	if err != nil {
		panic(err)
	}
	task.Register(q, task.Kind[int]{Name: "killed", Run: func(context.Context, int) error {
		fmt.Println("begun")
		select {}
	}})
	panic(q.Run(context.Background(), 1))
}

func TestTheJobOfAWorkerThatWasKilledRunsAgain(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		s := open(t, p)
		done := make(chan int, 1)
		send := task.Register(s.Queue, task.Kind[int]{Name: "killed", Run: func(_ context.Context, n int) error {
			done <- n
			return nil
		}})
		if err := send.Send(t.Context(), 42); err != nil {
			t.Fatal(err)
		}
		worker := exec.Command(os.Args[0])
		worker.Env = append(os.Environ(), "TASK_TEST_WORKER="+p.queue, "TASK_TEST_DATABASE="+p.database)
		t.Cleanup(func() { worker.Process.Kill() })
		out, err := worker.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := worker.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 6)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "begun\n" {
			t.Fatalf("the doomed worker said %q, %v", line, err)
		}
		worker.Process.Kill()
		worker.Wait()
		s.work(t, 1)
		if n := <-done; n != 42 {
			t.Errorf("job %d ran again, want 42", n)
		}
		s.drained(t)
	})
}

func TestAScheduleRunsOnceForAllProcesses(t *testing.T) {
	drivers(t, func(t *testing.T, p place) {
		var got [2]atomic.Int32
		var sites [2]*site
		for i := range sites {
			sites[i] = open(t, p)
			err := sites[i].Schedule("@every 1s", "tick", func(context.Context) error { got[i].Add(1); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		for _, s := range sites {
			s.work(t, 1)
		}
		total := func() int { return int(got[0].Load() + got[1].Load()) }
		wait(t, "three ticks", func() bool { return total() >= 3 })
		if most := int(time.Since(begun)/time.Second) + 1; total() > most {
			t.Errorf("%d ticks in %v by two processes, want at the most %d", total(), time.Since(begun), most)
		}
	})
}

func TestAScheduleThatIsNoneSaysSo(t *testing.T) {
	s := open(t, place{"sqlite::memory:", "database:"})
	if err := s.Schedule("at noon", "x", nil); err == nil || !strings.Contains(err.Error(), "schedule x") {
		t.Errorf("Schedule: %v", err)
	}
}

func TestALargePayloadIsRefused(t *testing.T) {
	s := open(t, place{"sqlite::memory:", "database:"})
	send := task.Register(s.Queue, task.Kind[string]{Name: "large", Run: func(context.Context, string) error { return nil }})
	if err := send.Send(t.Context(), strings.Repeat("x", 1<<20)); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("Send of a megabyte: %v, want ErrInvalid", err)
	}
}

func TestChunkLosesNothing(t *testing.T) {
	got := task.Chunk([]int{1, 2, 3, 4, 5}, 2)
	if diff := cmp.Diff([][]int{{1, 2}, {3, 4}, {5}}, got); diff != "" {
		t.Error(diff)
	}
	if got := task.Chunk([]int(nil), 2); len(got) != 0 {
		t.Errorf("Chunk of nothing = %v", got)
	}
}

func TestOpenListsWhatItKnows(t *testing.T) {
	for url, want := range map[string]string{
		"rabbit://h":                  `unknown scheme "rabbit": use database: or amqp://user:password@host:port/vhost`,
		"database:x":                  "takes no address",
		"database:?pol=1s":            `has no parameter "pol": use backoff, lease, poll`,
		"database:?poll=often":        `"often" is no time above zero`,
		"amqp://u:secret@h/?poll=1s":  `has no parameter "poll": use backoff, confirm, queue, sweep`,
		"amqp://u:secret@h:port/":     "the address is not of the form",
		"amqp://u:secret@h/?queue=":   `"" is no name`,
		"amqp://u:secret@h/?sweep=-1": "is no time above zero",
	} {
		_, err := task.Open(t.Context(), url, nil, metrics.New(nil), nil, quiet())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q): %v, want it to say: %s", url, err, want)
		}
	}
}
