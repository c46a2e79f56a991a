package carbon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// spools are the two ways of waiting, in memory alone and on disk.
func spools(t *testing.T, f func(t *testing.T, dir string)) {
	t.Run("memory", func(t *testing.T) { t.Parallel(); f(t, "") })
	t.Run("disk", func(t *testing.T) { t.Parallel(); f(t, t.TempDir()) })
}

func TestAllOfAnOutageArrivesWithItsOwnTimesAndTheNewestFirst(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir})
		run(t, c)
		sendBatches(c, 0, 1)
		eventually(t, "the first", func() bool { return m.value(t, "sent") == 1 && carbon.has(t, 0, 1) })
		carbon.Down()
		eventually(t, "the outage to be seen", func() bool { return m.value(t, "up") == 0 })
		sendBatches(c, 1, 500)
		if dir != "" {
			eventually(t, "all to be on disk", func() bool { return c.dests[0].unsafe() == 0 })
		}
		m.expect(t, map[string]float64{"waiting": 500, "oldest": 1000, "sent": 1, "dropped": 0})
		carbon.Up()
		eventually(t, "all of them", func() bool { return m.value(t, "waiting") == 0 && carbon.has(t, 0, 500) })
		if back := carbon.Lines()[1:4]; !slices.Equal(back, []string{"a 498 1498", "a 499 1499", "a 0 1000"}) {
			t.Errorf("after the outage came %q first, want the two newest and then the oldest", back)
		}
		m.expect(t, map[string]float64{"sent": 500, "sent_points": 500, "dropped": 0, "resent": 3, "oldest": 0})
		// What is new goes out as before.
		sendBatches(c, 500, 501)
		eventually(t, "one more", func() bool { return carbon.has(t, 500, 501) })
	})
}

// unsafe is how many batches wait that are not on disk.
func (d *destination) unsafe() int {
	c, _, _ := d.backlog.size()
	return c.unsafe
}

func TestNewBatchesDoNotWaitForTheReplay(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		carbon.Down()
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: 20})
		run(t, c)
		sendBatches(c, 0, 1000)
		carbon.Up()
		eventually(t, "the replay to begin", func() bool { return m.value(t, "replayed_points") >= 2 })
		start := time.Now()
		for i := 1000; i < 1020; i++ {
			sendBatches(c, i, i+1)
			eventually(t, "a new one", func() bool { return carbon.has(t, i, i+1) })
		}
		took := time.Since(start)
		waiting := m.value(t, "waiting")
		if waiting < 900 {
			t.Errorf("%v wait after %v, want 20 fewer a second", waiting, took)
		}
		if rate := c.Status()[0].ReplayRate; rate <= 0 || rate > 100 {
			t.Errorf("the replay is at %v points a second, want some 20", rate)
		}
	})
}

func TestTheLaterValueWinsInASlotOfAMinute(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir})
		run(t, c)
		next := 0
		send := func(n int) {
			for range n {
				c.Send(batchAt(next, int64(6000+10*next)))
				next++
			}
		}
		for range 5 { // outages and connections in between, none on a minute
			send(4)
			eventually(t, "all sent", func() bool { return m.value(t, "waiting") == 0 })
			carbon.Down()
			eventually(t, "the outage to be seen", func() bool { return m.value(t, "up") == 0 })
			send(7)
			carbon.Up()
			send(2)
		}
		eventually(t, "all sent", func() bool { return m.value(t, "waiting") == 0 })
		held := carbon.holds(t, "a", 60)
		for at, got := range held {
			if want := min(next-1, int(at-6000)/10+5); got != want {
				t.Errorf("the slot at %d holds %d, want the last of its minute, %d", at, got, want)
			}
		}
		if len(held) != (next+5)/6 {
			t.Errorf("%d slots, want %d", len(held), (next+5)/6)
		}
	})
}

func TestNothingIsLostByACarbonThatResetsInMidFlush(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
		run(t, c)
		const series = 20_000
		var all []byte
		for i := range series {
			all = fmt.Appendf(all, "some.path.of.a.series.%06d 1 1000\n", i)
		}
		c.Send(Batch{At: time.Unix(1000, 0), Lines: all, Points: series})
		for range 5 {
			eventually(t, "some lines", func() bool { return len(carbon.Lines()) > 0 || m.value(t, "sent") > 0 })
			carbon.Down()
			carbon.Up()
		}
		c.Send(batch(1)) // the break is seen at the latest with it
		eventually(t, "every line", func() bool { return m.value(t, "waiting") == 0 && carbon.distinct() == series+1 })
		m.expect(t, map[string]float64{"sent": 2, "sent_points": series + 1, "dropped": 0})
	})
}

// stuck is a carbon that accepts and never reads, until it is released.
func stuck(t *testing.T) (carbon fakeCarbon, release func()) {
	carbon = newFakeCarbon(t)
	carbon.Down()
	never := make(chan struct{})
	carbon.Serve(func(net.Conn) { <-never })
	release = sync.OnceFunc(func() { close(never) })
	t.Cleanup(release)
	return carbon, release
}

// large is a batch of some 6 MB, more than a connection's buffers take.
func large(i int) Batch {
	b := Batch{At: time.Unix(int64(1000+i), 0)}
	for n := range 60_000 {
		b.Lines = fmt.Appendf(b.Lines, "some.long.path.so.that.buffers.are.full.soon.even.if.the.kernel.lets.them.grow.%06d %d %d\n", n, i, 1000+i)
		b.Points++
	}
	return b
}

func TestACarbonThatNeverReadsCostsOnlyTheMemoryItMayTake(t *testing.T) {
	t.Parallel()
	carbon, _ := stuck(t)
	const limit = 20 << 20
	c, m := open(t, Config{Addresses: []string{carbon.Address}, Memory: limit})
	d := c.dests[0]
	d.timeout = 200 * time.Millisecond
	stop := run(t, c)
	for i := range 10 {
		c.Send(large(i))
	}
	eventually(t, "writes to fail", func() bool { return m.value(t, "write_errors") >= 2 })
	if bytes := m.value(t, "memory"); bytes > limit {
		t.Errorf("%v bytes wait, the limit is %d", bytes, limit)
	}
	dropped, waiting := m.value(t, "dropped"), m.value(t, "waiting")
	if dropped < 1 || dropped+waiting != 10 || m.value(t, "dropped_points") != 60_000*dropped {
		t.Errorf("%v dropped and %v waiting, want 10 in all, and the points of the former", dropped, waiting)
	}
	if err := c.Status()[0].Err; err == nil || m.value(t, "up") != 0 {
		t.Errorf("it is up, want down: %v", err)
	}
	if err := stop(); err == nil || !strings.Contains(err.Error(), "could not be sent") {
		t.Errorf("at the end it says %v", err)
	}
}

func TestWhatACarbonDoesNotReadIsOnDisk(t *testing.T) {
	t.Parallel()
	carbon, release := stuck(t)
	dir := t.TempDir()
	c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, Memory: 20 << 20, ReplayRate: -1})
	c.dests[0].timeout = 200 * time.Millisecond
	stop := run(t, c)
	for i := range 10 {
		c.Send(large(i))
		eventually(t, "it to be on disk", func() bool { return c.dests[0].unsafe() == 0 })
	}
	m.expect(t, map[string]float64{"waiting": 10, "dropped": 0})
	if bytes := m.value(t, "memory"); bytes > 13<<20 {
		t.Errorf("%v bytes wait in memory, want the newest two batches alone", bytes)
	}
	if err := stop(); err != nil {
		t.Errorf("all is on disk, yet it says %v", err)
	}
	release()
	carbon.Down()
	carbon.Up()
	c, m = open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
	m.expect(t, map[string]float64{"waiting": 10})
	run(t, c)
	eventually(t, "all", func() bool { return m.value(t, "waiting") == 0 && carbon.distinct() == 600_000 })
}

func TestOneCarbonOfThreeThatIsDownCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	var carbons []fakeCarbon
	var addresses []string
	for i := range 3 {
		f := newFakeCarbon(t)
		carbons = append(carbons, f)
		addresses = append(addresses, fmt.Sprintf("%s:%c", f.Address, 'a'+i))
	}
	carbons[1].Down()
	c, m := open(t, Config{Addresses: addresses, SpoolDir: t.TempDir()})
	run(t, c)
	const series, rounds = 300, 5
	for i := range rounds {
		b := Batch{At: time.Unix(int64(1000+i), 0), Points: series}
		for n := range series {
			b.Lines = fmt.Appendf(b.Lines, "series.%d %d %d\n", n, i, 1000+i)
		}
		c.Send(b)
	}
	ring := c.ring
	share := [3]int{}
	for n := range series {
		share[ring.node(fmt.Sprintf("series.%d", n))]++
	}
	for _, i := range []int{0, 2} {
		eventually(t, "all of one that is up", func() bool { return carbons[i].distinct() == rounds*share[i] })
	}
	eventually(t, "the other to be seen", func() bool { return c.Status()[1].Waiting == rounds })
	status := c.Status()
	if status[0].Err != nil || status[1].Err == nil || status[2].Err != nil || status[1].Waiting != rounds || status[1].Points != rounds*share[1] {
		t.Errorf("the status is %+v", status)
	}
	eventually(t, "their acknowledgements", func() bool { return m.value(t, "waiting") == rounds })
	m.expect(t, map[string]float64{"up": 2, "dropped": 0})
	carbons[1].Up()
	eventually(t, "what waited", func() bool { return carbons[1].distinct() == rounds*share[1] })
}

func TestStepsOfTheClockChangeNoOrder(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		carbon.Down()
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
		run(t, c)
		stamps := []int64{5000, 5010, 90_000, 90_010, 4000, 4010, 4010, 5000, 5010} // forwards, back, and over the same again
		for i, at := range stamps {
			c.Send(batchAt(i, at))
		}
		carbon.Up()
		eventually(t, "all", func() bool { return m.value(t, "waiting") == 0 })
		eventually(t, "the last of each time", func() bool {
			held := carbon.holds(t, "a", 1)
			return len(held) == 6 && held[5000] == 7 && held[5010] == 8 && held[90_000] == 2 && held[90_010] == 3 && held[4000] == 4 && held[4010] == 6
		})
		m.expect(t, map[string]float64{"sent": 9, "dropped": 0})
	})
}

func TestWaitReturnsWhenWhatIsNewIsSentOrSafe(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	dir := t.TempDir()
	for _, spool := range []string{"", dir} {
		c, _ := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: spool})
		run(t, c)
		c.Send(batch(0))
		if err := c.Wait(t.Context()); err != nil || !carbon.has(t, 0, 1) {
			eventually(t, "it to be read", func() bool { return carbon.has(t, 0, 1) })
			if err != nil {
				t.Errorf("waiting says %v", err)
			}
		}
		carbon.Down()
		eventually(t, "the outage to be seen", func() bool { return c.Status()[0].Err != nil })
		c.Send(batch(1))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := c.Wait(ctx)
		if spool == "" && (err == nil || !strings.Contains(err.Error(), carbon.Address+": 2 flushes wait")) {
			t.Errorf("without a spool it says %v", err)
		}
		if spool != "" {
			if err := c.Wait(t.Context()); err != nil {
				t.Errorf("with a spool it says %v", err)
			}
		}
		carbon.Up()
	}
}

// A process of ours for the tests that kill it: it keeps what is told to it.
const asRelayVariable = "CARBON_TEST_AS_RELAY"

// asRelay is that process: it sends a batch for each number that it reads, and
// says so once that is sent or on disk.
func asRelay() bool {
	dir, address, ok := strings.Cut(os.Getenv(asRelayVariable), " ")
	if !ok {
		return false
	}
	c, err := New(Config{Addresses: []string{address}, SpoolDir: dir}, newMeters().of, quiet())
	if err != nil {
		fmt.Println(err)
		return true
	}
	go c.Run(context.Background(), context.Background())
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		n, err := strconv.Atoi(s.Text())
		if err != nil {
			fmt.Println(err)
			return true
		}
		c.Send(batch(n))
		fmt.Println(c.Wait(context.Background()), n)
	}
	return true
}

// killed has a process keep batches from..to−1 and kills it.
func killed(t *testing.T, dir, address string, from, to int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asRelayVariable+"="+dir+" "+address)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(out)
	for i := from; i < to; i++ {
		fmt.Fprintln(in, i)
		if !answers.Scan() || answers.Text() != fmt.Sprintf("<nil> %d", i) {
			t.Errorf("it says %q of %d", answers.Text(), i)
			break
		}
	}
	cmd.Process.Kill()
	io.Copy(io.Discard, out)
	cmd.Wait()
}

func TestWhatIsOnDiskSurvivesKill9(t *testing.T) {
	t.Parallel()
	carbon, dir := newFakeCarbon(t), t.TempDir()
	carbon.Down()
	for round := range 5 {
		killed(t, dir, carbon.Address, 20*round, 20*round+20)
	}
	carbon.Up()
	c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
	m.expect(t, map[string]float64{"waiting": 100, "corrupt": 0})
	run(t, c)
	eventually(t, "all hundred", func() bool { return m.value(t, "waiting") == 0 && carbon.has(t, 0, 100) })
	m.expect(t, map[string]float64{"sent": 100, "dropped": 0})
}

func TestAKillInMidReplayCostsNoMoreThanSendingAgain(t *testing.T) {
	t.Parallel()
	carbon, dir := newFakeCarbon(t), t.TempDir()
	carbon.Down()
	killed(t, dir, carbon.Address, 0, 50)
	carbon.Up()
	next := 50
	for range 5 {
		n := 1 + rand.IntN(10)
		killed(t, dir, carbon.Address, next, next+n)
		next += n
	}
	c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
	run(t, c)
	eventually(t, "all", func() bool { return m.value(t, "waiting") == 0 && carbon.has(t, 0, next) })
	m.expect(t, map[string]float64{"dropped": 0, "corrupt": 0})
}

func TestWhatWasSentIsNotSentAgainAfterAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	carbon, dir := newFakeCarbon(t), t.TempDir()
	cfg := Config{Addresses: []string{carbon.Address}, SpoolDir: dir}
	for i := range 3 {
		c, m := open(t, cfg)
		m.expect(t, map[string]float64{"waiting": 0})
		stop := run(t, c)
		sendBatches(c, 10*i, 10*i+10)
		eventually(t, "all sent", func() bool { return m.value(t, "sent") == 10 && m.value(t, "waiting") == 0 })
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "all read", func() bool { return carbon.has(t, 0, 30) })
	m := newMeters()
	c, err := New(cfg, m.of, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m.expect(t, map[string]float64{"waiting": 0})
	if segments, _ := filepath.Glob(filepath.Join(dir, "*", "*.segment")); len(segments) > 1 {
		t.Errorf("%d segments are left of nothing that waits", len(segments))
	}
}

func TestThePartsOfATimeCountAsOneBatchAndGoOutInOrder(t *testing.T) {
	spools(t, func(t *testing.T, dir string) {
		carbon := newFakeCarbon(t)
		carbon.Down()
		c, m := open(t, Config{Addresses: []string{carbon.Address}, SpoolDir: dir, ReplayRate: -1})
		run(t, c)
		const times, parts = 4, 30
		for at := range times {
			for part := range parts {
				c.Send(Batch{At: time.Unix(int64(1000+at), 0), More: part < parts-1, Lines: fmt.Appendf(nil, "p%d %d %d\n", part, at, 1000+at), Points: 1})
			}
		}
		if dir != "" {
			eventually(t, "all to be on disk", func() bool { return c.dests[0].unsafe() == 0 })
		}
		m.expect(t, map[string]float64{"waiting": times})
		carbon.Up()
		eventually(t, "all", func() bool { return m.value(t, "waiting") == 0 && carbon.distinct() == times*parts })
		m.expect(t, map[string]float64{"sent": times, "sent_points": times * parts, "resent": 2, "dropped": 0})
		got := carbon.Lines()
		for part := range 2 * parts { // the two newest times come first, in the order of their parts
			if want := fmt.Sprintf("p%d %d %d", part%parts, 2+part/parts, 1002+part/parts); got[part] != want {
				t.Fatalf("line %d is %q, want %q", part, got[part], want)
			}
		}
	})
}
