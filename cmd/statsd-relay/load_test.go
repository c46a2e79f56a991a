package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// load is the traffic that other servers were measured with: 10,000 keys, Zipf
// 1.1, half timers, four in ten counters, the rest gauges, 38 lines a datagram.
func load(packed bool) [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 1, 9_999)
	var all [][]byte
	var datagram []byte
	for len(all) < 4000 {
		var line string
		switch k := zipf.Uint64(); {
		case rng.Float64() < .5:
			line = fmt.Sprintf("bench.t.k%05d.api.request_time:%.2f|ms\n", k, math.Exp(4+rng.NormFloat64()))
		case rng.Float64() < .8:
			line = fmt.Sprintf("bench.c.k%05d.api.requests.total:1|c\n", k)
		default:
			line = fmt.Sprintf("bench.g.k%05d.api.in_use.now:%d|g\n", k, rng.IntN(100))
		}
		if len(datagram) > 0 && (!packed || len(datagram)+len(line) > 1432) {
			all = append(all, datagram)
			datagram = nil
		}
		datagram = append(datagram, line...)
	}
	return all
}

// BenchmarkLoad sends 100,000 packed lines a second, or 50,000 single ones, for
// 10 s to a relay of its own process, and reports what its processor time comes
// to in a million lines, and the loss by its own count:
//
//	go test ./cmd/statsd-relay -run '^$' -bench Load -benchtime 1x
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct {
		name   string
		packed bool
		rate   int
	}{{"packed", true, 100_000}, {"single", false, 50_000}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				measure(b, load(c.packed), c.rate)
			}
		})
	}
}

func measure(b *testing.B, datagrams [][]byte, rate int) {
	cmd := program("--statsd-udp=127.0.0.1:0", "--statsd-tcp=", "--http=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	udp, page := addresses(b, log)
	var conns []net.Conn
	for range 8 {
		conn, err := net.Dial("udp", udp)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	before := cpuSeconds(b, cmd.Process.Pid)
	sent := 0
	start := time.Now()
	for i := 0; time.Since(start) < 10*time.Second; i++ {
		d := datagrams[i%len(datagrams)]
		if _, err := conns[i%len(conns)].Write(d); err != nil {
			b.Fatal(err)
		}
		sent += strings.Count(string(d), "\n")
		if ahead := time.Duration(float64(sent)/float64(rate)*1e9) - time.Since(start); ahead > 200*time.Microsecond {
			time.Sleep(ahead)
		}
	}
	took := time.Since(start)
	used := cpuSeconds(b, cmd.Process.Pid) - before
	received := taken(b, page)
	b.ReportMetric(used/float64(sent)*1e6, "cpu-s/Mlines")
	b.ReportMetric(100*(1-received/float64(sent)), "%loss")
	b.ReportMetric(float64(sent)/took.Seconds(), "lines/s")
}

// cpuSeconds reads user and system time of a process: fields 14 and 15 of proc(5).
func cpuSeconds(b *testing.B, pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// taken is how many lines the relay has aggregated.
func taken(b *testing.B, page string) (n float64) {
	resp, err := http.Get(page + "metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	s := bufio.NewScanner(io.LimitReader(resp.Body, 1<<30))
	for s.Scan() {
		if name, v, ok := strings.Cut(s.Text(), "} "); ok && strings.HasPrefix(name, "relay_lines_total{") {
			f, _ := strconv.ParseFloat(v, 64)
			n += f
		}
	}
	return n
}
