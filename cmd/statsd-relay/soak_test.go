//go:build soak

package main

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	soakRate  = 100_000 // lines a second
	soakFlush = 10      // seconds, and whisper's finest slot
	soakKeys  = 100     // counters, and as many timers
)

// TestSoakWhisperHoldsWhatWasFlushedThroughAnOutage stops a real carbon for OUTAGE
// (5m) under 100,000 lines a second, with the relay killed and started again in
// the middle of it. Then whisper holds every flush; lost is what the killed
// process had not flushed, and what came while there was none.
//
//	make soak-relay OUTAGE=5m
func TestSoakWhisperHoldsWhatWasFlushedThroughAnOutage(t *testing.T) {
	outage, err := time.ParseDuration(cmp.Or(os.Getenv("OUTAGE"), "5m"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	carbon := &soakCarbon{t: t, dir: filepath.Join(dir, "carbon"), port: freePort(t)}
	carbon.start()
	relay := &soakRelay{t: t, udp: "127.0.0.1:" + freePort(t), args: []string{"--statsd-tcp=", "--http=127.0.0.1:0", "--flush=10s",
		"--graphite=127.0.0.1:" + carbon.port, "--spool=" + filepath.Join(dir, "spool")}}
	relay.start()
	load := startLoad(t, relay.udp)

	pass(t, relay, 25*time.Second)
	t.Log("carbon stops")
	carbon.stop()
	pass(t, relay, outage/2)
	killed := time.Now()
	relay.kill()
	relay.start()
	back := time.Now()
	t.Logf("the relay was killed, and is back after %v", back.Sub(killed).Round(time.Millisecond))
	pass(t, relay, outage-outage/2-time.Since(killed))
	peak := relay.peak
	t.Logf("carbon starts; %v flushes wait, the spool has %v bytes", relay.metric("relay_sink_queue_flushes"), relay.metric("relay_spool_bytes"))
	carbon.start()
	returned := time.Now()
	for relay.metric("relay_sink_queue_flushes") > 0 {
		pass(t, relay, time.Second)
		if time.Since(returned) > outage+time.Minute {
			t.Fatal("the replay does not end")
		}
	}
	t.Logf("all that waited is sent after %v", time.Since(returned).Round(time.Second))
	load.stop()
	pass(t, relay, (soakFlush+2)*time.Second)
	taken := relay.metric("relay_lines_total")
	for _, name := range []string{`relay_sink_flushes_total{outcome="dropped"`, "relay_spool_corrupt_total", "relay_spool_errors_total", "relay_kernel_drops_total"} {
		if n := relay.metric(name); n != 0 {
			t.Errorf("%s = %v", name, n)
		}
	}
	relay.end()
	carbon.stop()
	compareSoak(t, carbon.points(), load, killed, back, taken)
	t.Logf("spool: %d bytes at the peak", peak)
}

// compareSoak prints the tally, and fails if whisper lacks more than may be lost.
func compareSoak(t *testing.T, held map[string]map[int64]float64, load *soakLoad, killed, back time.Time, taken float64) {
	first, last := load.first/soakFlush*soakFlush+soakFlush, load.last/soakFlush*soakFlush+soakFlush
	cut := killed.Unix()/soakFlush*soakFlush + soakFlush // the flush whose interval the kill is in
	expected, missing := 0, 0
	lines := map[int64]float64{}
	for path, points := range held {
		for at := first; at <= last; at += soakFlush {
			expected++
			v, ok := points[at]
			if !ok {
				missing++
			}
			if strings.HasPrefix(path, "stats_counts.soak.") || strings.HasPrefix(path, "stats.timers.soak.") && strings.HasSuffix(path, ".count") {
				lines[at] += v
			}
		}
	}
	var all, second, sent float64
	for at := first; at <= last; at += soakFlush {
		all += lines[at]
		sent += load.sent[at]
		if at >= cut {
			second += lines[at]
		}
		// A flush is some milliseconds late, and the lines of those are in it.
		if at != cut && math.Abs(lines[at]-load.sent[at]) > soakRate/4 {
			t.Errorf("the flush at %d has %v lines, %v were sent in its interval", at, lines[at], load.sent[at])
		}
	}
	may := back.Sub(time.Unix(cut-soakFlush, 0)).Seconds()
	t.Logf("points: %d series × %d flushes = %d expected, %d held, %d lost", len(held), (last-first)/soakFlush+1, expected, expected-missing, missing)
	t.Logf("lines: %.0f sent, %.0f held, %.0f lost: %.2f s; since the last flush before the kill until the relay was back it took %.2f s", sent, all, sent-all, (sent-all)/soakRate, may)
	if len(held) < soakKeys*12 || missing > 0 {
		t.Errorf("whisper lacks %d points of %d series", missing, len(held))
	}
	if second != taken {
		t.Errorf("the second process took %v lines, whisper holds %v of its flushes", taken, second)
	}
	if lost := (sent - all) / soakRate; lost < 0 || lost > may+.25 {
		t.Errorf("%.2f s are lost, want at most the unflushed %.2f", lost, may)
	}
}

// pass lets time go by, and notes how large the spool becomes.
func pass(t *testing.T, r *soakRelay, d time.Duration) {
	t.Helper()
	end := time.After(d)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
			r.peak = max(r.peak, int64(r.metric("relay_spool_bytes")))
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// soakRelay is a relay as a process.
type soakRelay struct {
	t         *testing.T
	udp, page string
	args      []string
	cmd       *exec.Cmd
	peak      int64
}

func (r *soakRelay) start() {
	r.t.Helper()
	r.cmd = program(append([]string{"--statsd-udp=" + r.udp}, r.args...)...)
	log, err := r.cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	process := r.cmd.Process
	r.t.Cleanup(func() { process.Kill() })
	_, r.page = addresses(r.t, log)
}

func (r *soakRelay) kill() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
}

func (r *soakRelay) end() {
	r.t.Helper()
	r.cmd.Process.Signal(syscall.SIGTERM)
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("the relay ended with %v", err)
	}
}

// metric sums a metric of the relay's over its labels.
func (r *soakRelay) metric(name string) (sum float64) {
	r.t.Helper()
	resp, err := http.Get(r.page + "metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	for s := bufio.NewScanner(resp.Body); s.Scan(); {
		if strings.HasPrefix(s.Text(), name) {
			v, _ := strconv.ParseFloat(s.Text()[strings.LastIndexByte(s.Text(), ' ')+1:], 64)
			sum += v
		}
	}
	return sum
}

// soakLoad sends, and notes how many lines in the interval of each flush.
type soakLoad struct {
	first, last int64
	sent        map[int64]float64
	ended       chan struct{}
	wait        sync.WaitGroup
}

func startLoad(t *testing.T, udp string) *soakLoad {
	conn, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	l := &soakLoad{first: time.Now().Unix(), sent: map[int64]float64{}, ended: make(chan struct{})}
	l.wait.Go(func() {
		defer conn.Close()
		l.run(conn)
	})
	return l
}

func (l *soakLoad) run(conn net.Conn) {
	var datagrams [][]byte
	const lines = 40
	for i := 0; i < soakKeys; i += lines / 2 {
		var d []byte
		for k := i; k < i+lines/2; k++ {
			d = fmt.Appendf(d, "soak.c%03d:1|c\nsoak.t%03d:%d|ms\n", k, k, 10+k)
		}
		datagrams = append(datagrams, d)
	}
	start := time.Now()
	for n := 0; ; n++ {
		if n%100 == 0 {
			select {
			case <-l.ended:
				l.last = time.Now().Unix()
				return
			default:
			}
		}
		conn.Write(datagrams[n%len(datagrams)]) // refused while there is no relay: lost, and counted as sent
		l.sent[(time.Now().UnixNano()/(soakFlush*1e9)+1)*soakFlush] += lines
		if ahead := time.Duration(float64((n+1)*lines)/soakRate*1e9) - time.Since(start); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
}

func (l *soakLoad) stop() {
	close(l.ended)
	l.wait.Wait()
}

// soakCarbon is a real carbon-cache with slots as wide as a flush.
type soakCarbon struct {
	t         *testing.T
	dir, port string
	cmd       *exec.Cmd
}

func (c *soakCarbon) start() {
	c.t.Helper()
	for name, text := range map[string]string{
		"carbon.conf": fmt.Sprintf("[cache]\nSTORAGE_DIR = %[1]s\nLOCAL_DATA_DIR = %[1]s/whisper\nCONF_DIR = %[1]s\nLOG_DIR = %[1]s\nPID_DIR = %[1]s\nUSER =\n"+
			"LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = %[2]s\nPICKLE_RECEIVER_PORT = 0\nCACHE_QUERY_PORT = 0\n"+
			"MAX_CREATES_PER_MINUTE = inf\nMAX_UPDATES_PER_SECOND = inf\nENABLE_LOGROTATION = False\nENABLE_TAGS = False\n", c.dir, c.port),
		"storage-schemas.conf": "[all]\npattern = .*\nretentions = 10s:1d\n",
	} {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	c.cmd = exec.Command("/usr/bin/carbon-cache", "--config="+c.dir+"/carbon.conf", "--nodaemon", "--pidfile="+c.dir+"/pid", "start")
	c.cmd.Stdout, c.cmd.Stderr = io.Discard, io.Discard
	if err := c.cmd.Start(); err != nil {
		c.t.Fatalf("carbon: %v: .ci/install installs it", err)
	}
	process := c.cmd.Process
	c.t.Cleanup(func() { process.Kill() })
	for range 300 {
		conn, err := net.Dial("tcp", "127.0.0.1:"+c.port)
		if err == nil {
			conn.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatal("carbon does not listen")
}

// stop ends it as its service would be ended: it writes what it has in memory.
func (c *soakCarbon) stop() {
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.cmd.Wait()
}

// points reads the whisper files of the load's keys: path → second → value.
// https://graphite.readthedocs.io/en/latest/whisper.html#database-format
func (c *soakCarbon) points() map[string]map[int64]float64 {
	c.t.Helper()
	all := map[string]map[int64]float64{}
	root := filepath.Join(c.dir, "whisper")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		name, ok := strings.CutSuffix(strings.TrimPrefix(path, root+"/"), ".wsp")
		if err != nil || !ok || !strings.Contains(name, "soak") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		points := map[int64]float64{}
		for at := int(binary.BigEndian.Uint32(b[16:])); at+12 <= len(b); at += 12 {
			if second := binary.BigEndian.Uint32(b[at:]); second > 0 {
				points[int64(second)] = math.Float64frombits(binary.BigEndian.Uint64(b[at+4:]))
			}
		}
		all[strings.ReplaceAll(name, "/", ".")] = points
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}
