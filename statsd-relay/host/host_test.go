package host

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture reads both trees of testdata, ten seconds apart, and returns what the
// second reading gave.
func fixture(t *testing.T, cfg Config) map[string]float64 {
	t.Helper()
	cfg.Proc = "testdata/before"
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.statfs = func(path string) (space, error) { return space{1000, 500, 400, 100, float64(len(path))}, nil }
	started := time.Unix(1_700_000_100, 0)
	if err := r.Read(started, func(name string, value float64) {}); err != nil {
		t.Fatal(err)
	}
	cfg.Proc = "testdata/after"
	second, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.proc, r.block = second.proc, second.block
	got := map[string]float64{}
	if err := r.Read(started.Add(10*time.Second), func(name string, value float64) { got[name] = math.Round(value*1e9) / 1e9 }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestNumbersAreThoseOfTheKernel(t *testing.T) {
	t.Parallel()
	want := map[string]float64{
		"cpu.user": 25, "cpu.nice": 0, "cpu.system": 15, "cpu.idle": 50, "cpu.iowait": 5, "cpu.irq": 1, "cpu.softirq": 2, "cpu.steal": 2,
		"load.1m": .5, "load.5m": .75, "load.15m": 1.25,
		"processes.running": 3, "processes.blocked": 1, "context_switches": 300, "uptime": 110,
		"memory.total": 2000 << 10, "memory.free": 500 << 10, "memory.available": 1500 << 10, "memory.buffers": 100 << 10, "memory.cached": 700 << 10,
		"swap.total": 1000 << 10, "swap.free": 900 << 10,
		"disk.sda.reads": 20, "disk.sda.writes": 2, "disk.sda.read_bytes": 20 * 4096, "disk.sda.written_bytes": 2 * 4096, "disk.sda.busy": 20, "disk.sda.queue": .4,
		"disk.dm-0.reads": 0, "disk.dm-0.writes": 0, "disk.dm-0.read_bytes": 0, "disk.dm-0.written_bytes": 0, "disk.dm-0.busy": 0, "disk.dm-0.queue": 0,
		"filesystem.root.size": 1000, "filesystem.root.free": 500, "filesystem.root.available": 400, "filesystem.root.files": 100, "filesystem.root.files_free": 1,
		"filesystem.var_lib_data_d.size": 1000, "filesystem.var_lib_data_d.free": 500, "filesystem.var_lib_data_d.available": 400, "filesystem.var_lib_data_d.files": 100, "filesystem.var_lib_data_d.files_free": 15,
		"network.eth0_5.received_bytes": 100_000, "network.eth0_5.received_packets": 100, "network.eth0_5.receive_errors": 10, "network.eth0_5.receive_drops": 5,
		"network.eth0_5.sent_bytes": 50_000, "network.eth0_5.sent_packets": 200, "network.eth0_5.send_errors": 2, "network.eth0_5.send_drops": 1,
		"files.open": 1024, "files.limit": 100_000,
		"tcp.connections": 42, "tcp.failed_connects": 1, "tcp.resets": 2, "tcp.retransmits": 3, "tcp.receive_errors": 4, "tcp.listen_overflows": 8,
		"udp.receive_errors": 5, "udp.receive_buffer_errors": 6, "udp.send_buffer_errors": 7, "udp.no_port": 1,
	}
	if diff := cmp.Diff(want, fixture(t, Config{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestTheTableOfMetricsIsTrue(t *testing.T) {
	t.Parallel()
	var named []string
	for name := range fixture(t, Config{}) {
		parts := strings.Split(name, ".")
		if what := map[string]string{"disk": "{disk}", "network": "{interface}", "filesystem": "{mount}"}[parts[0]]; what != "" {
			parts[1] = what
		}
		named = append(named, strings.Join(parts, "."))
	}
	var listed []string
	for _, m := range Metrics() {
		listed = append(listed, m.Name)
		if m.Unit == "" || m.Help == "" {
			t.Errorf("%s has no unit or help", m.Name)
		}
	}
	set := func(names []string) map[string]bool {
		all := map[string]bool{}
		for _, n := range names {
			all[n] = true
		}
		return all
	}
	if diff := cmp.Diff(set(listed), set(named)); diff != "" || len(set(listed)) != len(listed) {
		t.Errorf("listed -, read +:\n%s", diff)
	}
}

func TestWhatIsNamedIsBounded(t *testing.T) {
	t.Parallel()
	all := regexp.MustCompile(``)
	count := func(cfg Config) string {
		n := map[string]int{}
		for name := range fixture(t, cfg) {
			switch {
			case strings.HasSuffix(name, ".reads"), strings.HasSuffix(name, ".size"), strings.HasSuffix(name, ".sent_bytes"):
				n[strings.Split(name, ".")[0]]++
			}
		}
		return fmt.Sprint(n)
	}
	for want, cfg := range map[string]Config{
		"map[disk:4 filesystem:2 network:3]": {Interfaces: all, Disks: all, Mounts: all},
		"map[disk:2 filesystem:2 network:2]": {Interfaces: all, Disks: all, Mounts: all, Most: 2},
		"map[filesystem:1 network:1]":        {Interfaces: regexp.MustCompile(`^lo$`), Disks: regexp.MustCompile(`^x`), Mounts: regexp.MustCompile(`^/var`)},
	} {
		if got := count(cfg); got != want {
			t.Errorf("%+v names %s, want %s", cfg, got, want)
		}
	}
}

func TestACountThatFallsIsNoRate(t *testing.T) {
	t.Parallel()
	r := &Reader{passed: 10, counts: map[string]float64{"a": 100, "b": 100}, now: map[string]float64{}}
	got := map[string]float64{}
	r.put = func(name string, value float64) { got[name] = value }
	r.rate("a", 5, 1)
	r.rate("b", 200, 1)
	r.rate("new", 7, 1)
	if want := map[string]float64{"b": 10}; !cmp.Equal(got, want) {
		t.Errorf("rates are %v, want %v", got, want)
	}
}

func TestAFileSystemThatHangsIsLeftAlone(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Proc: "testdata/before"})
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	var root, other atomic.Int32 // questions
	r.statfs = func(path string) (space, error) {
		if path == "/" {
			root.Add(1)
			<-release
		} else {
			other.Add(1)
		}
		return space{size: 1}, nil
	}
	got := map[string]float64{}
	put := func(name string, value float64) { got[name] = value }
	for range 3 {
		if err := r.Read(time.Now(), put); !errors.Is(err, errHangs) || !strings.Contains(err.Error(), "file system on /:") {
			t.Errorf("the error is %v", err)
		}
	}
	if got["filesystem.var_lib_data_d.size"] != 1 || root.Load() != 1 || other.Load() != 3 {
		t.Errorf("/ was asked %d times, want 1, the other %d, want 3; got %v", root.Load(), other.Load(), got)
	}
	close(release)
	for r.Read(time.Now(), put) != nil { // its answer is on its way
	}
	if got["filesystem.root.size"] != 1 {
		t.Error("once it answers it is not read")
	}
}

func TestWhatCannotBeReadIsAnErrorAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Proc: "testdata/nowhere"}); err == nil {
		t.Error("a folder that is not there was taken")
	}
	r, err := New(Config{Proc: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Read(time.Now(), func(name string, _ float64) { t.Errorf("%s was read from nothing", name) }); err == nil || !strings.Contains(err.Error(), "loadavg") {
		t.Errorf("the error is %v", err)
	}
}

func TestThisMachineHasNumbers(t *testing.T) {
	t.Parallel()
	r, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for range 2 {
		if err := r.Read(time.Now(), func(name string, value float64) { got[name] = value }); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"load.1m", "memory.total", "files.limit", "uptime", "context_switches"} {
		if v, ok := got[name]; !ok || v < 0 || name == "memory.total" && v < 1<<20 {
			t.Errorf("%s is %v, %v", name, v, ok)
		}
	}
}
