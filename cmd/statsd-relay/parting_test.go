package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"addons/statsd-relay/handover"
)

// ledger is a carbon that adds up how many values of LCP relays have told it of.
type ledger struct {
	listener net.Listener
	read     sync.WaitGroup
	values   atomic.Int64
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &ledger{listener: l}
	c.read.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.read.Go(func() {
				defer conn.Close()
				for s := bufio.NewScanner(conn); s.Scan(); {
					if text, ok := strings.CutPrefix(s.Text(), "stats.timers.rum.home.lcp.count "); ok {
						n, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
						c.values.Add(n)
					}
				}
			})
		}
	})
	return c
}

// total is all of it, once nobody sends any more.
func (c *ledger) total() int64 {
	c.listener.Close()
	c.read.Wait()
	return c.values.Load()
}

// Beacons of one LCP: one that counts at once, and one that may be told anew, of an id.
const (
	atOnce   = `{"page":"home","vitals":{"LCP":1200}}`
	toldAnew = `{"name":"LCP","value":1200,"id":%q,"navigationURL":"https://addons.example/de/firefox/"}`
)

// visitors send beacons until they are stopped.
type visitors struct {
	t        *testing.T
	url      string
	stop     chan struct{}
	sending  sync.WaitGroup
	answered atomic.Int64 // 2xx
}

// startVisitors has some that keep their connection, as a proxy does, and some that make one
// for each beacon. Every other beacon has values that wait to be told anew.
func startVisitors(t *testing.T, address string) *visitors {
	v := &visitors{t: t, url: "http://" + address + "/rum", stop: make(chan struct{})}
	for i := range 8 {
		v.sending.Go(func() {
			v.send(i, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}})
		})
	}
	return v
}

func (v *visitors) send(visitor int, client *http.Client) {
	defer client.CloseIdleConnections()
	for n := 0; ; n++ {
		beacon := atOnce
		if n%2 == 0 {
			beacon = fmt.Sprintf(toldAnew, fmt.Sprint(visitor, "-", n))
		}
		// A reader of no kind that net/http knows how to rewind: it can't send a beacon again.
		r, err := http.NewRequest("POST", v.url, io.MultiReader(strings.NewReader(beacon)))
		if err != nil {
			v.t.Error(err)
			return
		}
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")
		r.Header.Set("Accept-Language", "de")
		resp, err := client.Do(r)
		if err != nil {
			v.t.Errorf("beacon %d of visitor %d: %v", n, visitor, err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			v.t.Errorf("beacon %d of visitor %d: status %d", n, visitor, resp.StatusCode)
			return
		}
		v.answered.Add(1)
		select {
		case <-v.stop:
			return
		case <-time.After(time.Millisecond): // a pace at which a pause is met between beacons and in them
		}
	}
}

// more waits until n more beacons are answered.
func (v *visitors) more(n int64) {
	v.t.Helper()
	before := v.answered.Load()
	await(v.t, fmt.Sprintf("%d more beacons", n), func() bool { return v.t.Failed() || v.answered.Load() >= before+n })
}

// end stops them, and returns how many beacons were answered.
func (v *visitors) end() int64 {
	close(v.stop)
	v.sending.Wait()
	return v.answered.Load()
}

// takingBeacons are the arguments of a relay that takes beacons, and flushes to the ledger.
func takingBeacons(t *testing.T, to *ledger) (args []string, path string) {
	path = filepath.Join(t.TempDir(), "handover")
	free, err := net.Listen("tcp", "127.0.0.1:0") // a successor asks by the address as configured, and --http has port 0
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	return []string{"--statsd-udp=127.0.0.1:0", "--statsd-tcp=", "--http=127.0.0.1:0", "--beacons", free.Addr().String(), "--beacon-rate=1000000",
		"--flush=1s", "--graphite", to.listener.Addr().String(), "--handover", path}, path
}

// ends has a process stop, and waits until it and all that write to the same log have.
func (p *process) ends(pid int) {
	p.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	for p.log.Scan() {
	}
	if err := p.Wait(); err != nil {
		p.t.Errorf("the first ended with %v", err)
	}
}

func TestEveryBeaconThatIsAnsweredCountsOnceOverThreeHandOvers(t *testing.T) {
	t.Parallel()
	graphite := newLedger(t)
	args, _ := takingBeacons(t, graphite)
	first := startProcess(t, program(args...))
	visitors := startVisitors(t, field(first.says("statsd-relay started"), "beacons"))
	pid := first.Process.Pid
	for range 3 {
		visitors.more(200)
		if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		successor, err := strconv.Atoi(field(first.says("handed over"), "successor"))
		if err != nil || successor == pid {
			t.Fatalf("the successor is %d, %v", successor, err)
		}
		pid = successor
		defer syscall.Kill(pid, syscall.SIGKILL) // should the test end early
	}
	visitors.more(200)
	answered := visitors.end()
	first.ends(pid)
	t.Logf("%d beacons", answered)
	if counted := graphite.total(); counted != answered {
		t.Errorf("%d beacons were answered, and %d counted", answered, counted)
	}
}

func TestBeaconsGoOnWhereASuccessorFailsAtTheLastMoment(t *testing.T) {
	t.Parallel()
	graphite := newLedger(t)
	args, path := takingBeacons(t, graphite)
	first := startProcess(t, program(args...))
	visitors := startVisitors(t, field(first.says("statsd-relay started"), "beacons"))
	failure := errors.New("no more memory")
	for range 3 {
		visitors.more(100)
		p, err := handover.Dial(t.Context(), path)
		if err != nil || p == nil {
			t.Fatal(p, err)
		}
		came := 0
		err = p.Succeed(handover.Heir{Prepare: func(io.Reader) error { return nil }, Take: func(connections []handover.Socket, _ io.Reader) error {
			came = len(connections)
			handover.Close(connections)
			return failure
		}})
		if !errors.Is(err, failure) || came == 0 {
			t.Errorf("the hand-over ended with %v, of %d connections", err, came)
		}
		first.says("not handed over")
	}
	visitors.more(100)
	answered := visitors.end()
	first.ends(first.Process.Pid)
	if counted := graphite.total(); counted != answered {
		t.Errorf("%d beacons were answered, and %d counted", answered, counted)
	}
}

// TestAHalfBeaconHoldsUpAHandOverForTwoSeconds and no longer: it is cut off, and the
// connection that has sent nothing yet goes on.
func TestAHalfBeaconHoldsUpAHandOverForTwoSeconds(t *testing.T) {
	t.Parallel()
	graphite := newLedger(t)
	args, _ := takingBeacons(t, graphite)
	first := startProcess(t, program(args...))
	address := field(first.says("statsd-relay started"), "beacons")
	half, quiet := dialed(t, address), dialed(t, address)
	request := posted(atOnce)
	io.WriteString(half, request[:len(request)-5])
	io.WriteString(quiet, request)
	answers := bufio.NewReader(quiet)
	acknowledged(t, answers) // the half one has arrived by then too, or will be the successor's
	start := time.Now()
	if err := first.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(field(first.says("handed over"), "successor"))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	if took := time.Since(start); took > 4500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	if n, err := half.Read(make([]byte, 1)); err == nil {
		t.Errorf("the half beacon is answered: %d bytes", n)
	}
	io.WriteString(quiet, request)
	acknowledged(t, answers)
	first.ends(pid)
	if n := graphite.total(); n != 2 {
		t.Errorf("%d beacons counted, want 2", n)
	}
}

// posted is a request with a beacon.
func posted(beacon string) string {
	return fmt.Sprintf("POST /rum HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 Firefox/153.0\r\nAccept-Language: de\r\nContent-Length: %d\r\n\r\n%s", len(beacon), beacon)
}

func dialed(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// acknowledged reads the answer to a beacon that was taken.
func acknowledged(t *testing.T, answers *bufio.Reader) {
	t.Helper()
	resp, err := http.ReadResponse(answers, nil)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp, err)
	}
}

// TestSIGTERMCountsWhatWaitsToBeToldAnew has half a beacon hold up the end for two seconds,
// in which the relay may not have flushed for the last time.
func TestSIGTERMCountsWhatWaitsToBeToldAnew(t *testing.T) {
	t.Parallel()
	graphite := newLedger(t)
	args, _ := takingBeacons(t, graphite)
	first := startProcess(t, program(append(args, "--flush=1h")...))
	address := field(first.says("statsd-relay started"), "beacons")
	half, conn := dialed(t, address), dialed(t, address)
	request := posted(atOnce)
	io.WriteString(half, request[:len(request)-5])
	answers := bufio.NewReader(conn)
	const n = 300
	for i := range n {
		io.WriteString(conn, posted(fmt.Sprintf(toldAnew, fmt.Sprint(i))))
		acknowledged(t, answers)
	}
	first.ends(first.Process.Pid)
	if counted := graphite.total(); counted != n {
		t.Errorf("%d of %d values that waited are in Graphite", counted, n)
	}
}
