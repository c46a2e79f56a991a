package task_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streadway/amqp"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/store"
	"addons/server/task"
)

// weather is a place whose broker is behind a Front.
func weather(t *testing.T) (*enginetest.Front, place) {
	t.Helper()
	broker := enginetest.URL(t, "AMQP")
	address, _, _ := strings.Cut(broker, "?")
	uri, err := amqp.ParseURI(address)
	if err != nil {
		t.Fatal(err)
	}
	p := place{sqliteFile(t), amqpQueue(t, address)}
	f := enginetest.NewFront(t, fmt.Sprintf("%s:%d", uri.Host, uri.Port))
	p.queue = strings.Replace(p.queue, "confirm=1m&", "", 1)
	p.queue = strings.Replace(p.queue, fmt.Sprintf("%s:%d", uri.Host, uri.Port), f.Addr, 1)
	if !strings.Contains(p.queue, f.Addr) {
		t.Fatalf("ADDONS_TEST_AMQP must have host:port, is %s", address)
	}
	return f, p
}

func (s *site) connected(t testing.TB) {
	t.Helper()
	wait(t, "the broker is connected to", func() bool { return s.Check(t.Context()) == nil })
}

func TestACheckRightAfterTheStartSaysHowTheBrokerIs(t *testing.T) {
	t.Parallel()
	_, p := weather(t)
	for range 10 {
		s := open(t, p)
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionsCutInMidRunLoseNothing(t *testing.T) {
	t.Parallel()
	const jobs = 1500
	f, p := weather(t)
	s := open(t, p)
	var got ids
	send := task.Register(s.Queue, task.Kind[int]{Name: "many", Run: func(_ context.Context, n int) error {
		time.Sleep(time.Millisecond)
		got.add(n)
		return nil
	}})
	s.work(t, 8)
	s.connected(t)
	stop := make(chan struct{})
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for range 8 {
			select {
			case <-stop:
				return
			case <-time.After(rand.N(600 * time.Millisecond)):
				// The client has a data race of its own if it is cut while it connects.
				if gauge(t, s, "addons_task_broker_connected") == 2 {
					f.Cut()
				}
			}
		}
	})
	var senders sync.WaitGroup
	for start := range 8 {
		senders.Go(func() {
			for n := start; n < jobs; n += 8 {
				if err := send.Send(t.Context(), n); err != nil {
					t.Errorf("Send: %v", err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	senders.Wait()
	close(stop)
	cutter.Wait()
	wait(t, "every job has run", func() bool { return got.len() == jobs })
	s.drained(t)
	if n := gauge(t, s, "addons_task_broker_reconnects_total"); n == 0 {
		t.Error("no reconnect was counted: the connections were not cut")
	}
}

// gauge sums a metric's series.
func gauge(t testing.TB, s *site, name string) (sum float64) {
	t.Helper()
	all, err := s.reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func TestWhileTheBrokerIsDownJobsWaitInTheDatabase(t *testing.T) {
	t.Parallel()
	const jobs = 40
	f, p := weather(t)
	f.Down()
	s := open(t, p)
	var got ids
	send := task.Register(s.Queue, task.Kind[int]{Name: "patient", Run: func(_ context.Context, n int) error { got.add(n); return nil }})
	s.work(t, 4)
	begun := time.Now()
	var rows []store.Job
	for n := range jobs {
		if n%2 == 0 {
			rows = append(rows, send.Job(t.Context(), n))
		} else if err := send.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Push(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("%d jobs took %v to send: a page would wait for the broker", jobs, took)
	}
	if err := s.Check(t.Context()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("Check = %v, want ErrUnavailable", err)
	}
	if err := s.Flush(t.Context()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("Flush = %v, want ErrUnavailable", err)
	}
	if waiting, _, _, _, err := s.db.Depth(t.Context()); err != nil || waiting != jobs {
		t.Errorf("%d jobs wait in the database (%v), want %d", waiting, err, jobs)
	}
	if st, err := s.Stats(t.Context()); !errors.Is(err, catalog.ErrUnavailable) || st.Waiting != jobs || st.Oldest.IsZero() {
		t.Errorf("Stats = %+v, %v, want %d waiting and ErrUnavailable", st, err, jobs)
	}
	wait(t, "the gauges show what waits", func() bool {
		return gauge(t, s, "addons_task_queue_jobs") == jobs && gauge(t, s, "addons_task_oldest_age_seconds") > 0
	})
	f.Up(t)
	wait(t, "every job has run", func() bool { return got.len() == jobs })
	s.drained(t)
}

func TestAFrozenBrokerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	f, p := weather(t)
	s := open(t, p)
	var got ids
	send := task.Register(s.Queue, task.Kind[int]{Name: "frozen", Run: func(_ context.Context, n int) error { got.add(n); return nil }})
	s.work(t, 2)
	s.connected(t)
	if err := send.Send(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	f.Freeze()
	begun := time.Now()
	for n := 1; n <= 3; n++ {
		if err := send.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("three jobs took %v to send to a frozen broker, want about half a second each", took)
	}
	f.Thaw()
	wait(t, "every job has run", func() bool { return got.len() == 4 })
	s.drained(t)
}

func TestAStopWithAFrozenBrokerEnds(t *testing.T) {
	t.Parallel()
	f, p := weather(t)
	s := open(t, p)
	begun, gate := make(chan struct{}), make(chan struct{})
	send := task.Register(s.Queue, task.Kind[int]{Name: "stuck", Run: func(context.Context, int) error {
		close(begun)
		<-gate
		return nil
	}})
	stop := s.work(t, 2)
	s.connected(t)
	if err := send.Send(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	<-begun
	f.Freeze()
	close(gate)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop()
		s.Close()
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("after 20 s the queue of a frozen broker is still closing")
	}
}

func TestWhatWasDeliveredButNotBegunGoesBack(t *testing.T) {
	t.Parallel()
	f, p := weather(t)
	s := open(t, p)
	begun, gate := make(chan struct{}, 2), make(chan struct{})
	var runs atomic.Int32
	send := task.Register(s.Queue, task.Kind[int]{Name: "back", Run: func(context.Context, int) error {
		runs.Add(1)
		begun <- struct{}{}
		<-gate
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, 1) }()
	s.connected(t)
	if err := send.Send(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	<-begun
	f.Cut() // so that it is delivered again while the only slot is taken
	wait(t, "the job is delivered again", func() bool { return gauge(t, s, "addons_task_broker_redelivered_total") == 1 })
	cancel()
	wait(t, "the second delivery goes back", func() bool { st, err := s.Stats(t.Context()); return err == nil && st.Waiting == 1 })
	close(gate)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if dead, err := s.Dead(t.Context(), 10); err != nil || len(dead) != 0 || runs.Load() != 1 {
		t.Errorf("ran %d times; dead: %v, %v; want one run and none dead", runs.Load(), dead, err)
	}
	s.work(t, 1)
	<-begun
	s.drained(t)
}

func TestAQueueThatWasDeletedIsMadeAgain(t *testing.T) {
	t.Parallel()
	_, p := weather(t)
	s := open(t, p)
	var got ids
	send := task.Register(s.Queue, task.Kind[int]{Name: "deleted", Run: func(_ context.Context, n int) error { got.add(n); return nil }})
	s.work(t, 2)
	s.connected(t)
	withChannel(t, enginetest.URL(t, "AMQP"), func(ch *amqp.Channel) {
		if _, err := ch.QueueDelete(p.name(), false, false, false); err != nil {
			t.Fatal(err)
		}
	})
	for n := range 5 {
		if err := send.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "every job has run", func() bool { return got.len() == 5 })
}

func TestAMessageThatKillsItsWorkersDies(t *testing.T) {
	t.Parallel()
	_, p := weather(t)
	s := open(t, p)
	var ran atomic.Bool
	send := task.Register(s.Queue, task.Kind[int]{Name: "poison", Run: func(context.Context, int) error { ran.Store(true); return nil }})
	s.connected(t)
	if err := send.Send(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for range 11 {
		withChannel(t, enginetest.URL(t, "AMQP"), func(ch *amqp.Channel) {
			wait(t, "the message is there", func() bool {
				_, ok, err := ch.Get(p.name(), false)
				return err == nil && ok
			})
		}) // the connection ends, and with it the worker
	}
	s.work(t, 1)
	if job := s.waitDead(t, 1)[0]; ran.Load() || !strings.Contains(job.Reason, "never ended") {
		t.Errorf("ran: %v; the dead job is %+v", ran.Load(), job)
	}
}

func TestAForeignMessageDiesQuietly(t *testing.T) {
	t.Parallel()
	_, p := weather(t)
	s := open(t, p)
	s.connected(t)
	withChannel(t, enginetest.URL(t, "AMQP"), func(ch *amqp.Channel) {
		msg := amqp.Publishing{Body: []byte("hello"), Headers: amqp.Table{"attempt": "many", "due": 3.5, "trace": int32(1)}}
		if err := ch.Publish("", p.name(), false, false, msg); err != nil {
			t.Fatal(err)
		}
	})
	s.work(t, 1)
	if job := s.waitDead(t, 1)[0]; string(job.Payload) != "hello" {
		t.Errorf("the dead job is %+v", job)
	}
}
