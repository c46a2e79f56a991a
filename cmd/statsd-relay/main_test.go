package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	relay "addons/statsd-relay"
)

// asMain makes this test binary behave as the command itself, so that tests can
// run it as a process without building it twice.
const asMain = "RELAY_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// program is `statsd-relay args…` as a process.
func program(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// parse reads a command line.
func parse(t *testing.T, args ...string) source {
	t.Helper()
	var c command
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return newSource(parsed, c.flags)
}

func TestFlagsHaveVariablesAndReachTheRelay(t *testing.T) {
	t.Setenv("RELAY_GRAPHITE", "one:2003,two:2003:b")
	t.Setenv("RELAY_SPOOL", "/spool")
	t.Setenv("RELAY_PERCENTILE", "50,99.9")
	cfg, err := parse(t, "--no-legacy-namespace", "--prefix=", "--flush=1s").config()
	if err != nil {
		t.Fatal(err)
	}
	want := relay.Graphite{
		Addresses: []string{"one:2003", "two:2003:b"}, Protocol: "plaintext", Hash: "carbon_ch", Memory: 64 << 20,
		Spool: relay.Spool{Dir: "/spool", Limit: 1 << 30, Rate: 20_000},
	}
	if diff := cmp.Diff(want, cfg.Graphite); diff != "" {
		t.Errorf("Graphite differs:\n%s", diff)
	}
	if len(cfg.Percentiles) != 2 || !bool(cfg.Naming.Modern) || !cfg.Naming.NoPrefix || cfg.Flush != time.Second || cfg.UDP != "127.0.0.1:8125" {
		t.Errorf("the configuration is %+v", cfg)
	}
}

func TestAnAddressInUseIsOneLineAndStatusOne(t *testing.T) {
	t.Parallel()
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, err := program("--statsd-udp", taken.LocalAddr().String(), "--statsd-tcp=", "--http=127.0.0.1:0").CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "--statsd-udp") {
		t.Errorf("it ended with %v and said %q", err, out)
	}
}

func TestSIGTERMBringsWhatCameInToGraphite(t *testing.T) {
	t.Parallel()
	carbon, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer carbon.Close()
	cmd := program("--statsd-udp=127.0.0.1:0", "--statsd-tcp=", "--http=127.0.0.1:0", "--graphite", carbon.Addr().String())
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	udp, page := addresses(t, log)
	conn, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 100 {
		fmt.Fprint(conn, "last.words:1|c")
	}
	resp, err := http.Get(page + "-/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	total := 0
	carbon.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	got, err := carbon.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(got); s.Scan(); {
		var n int
		if _, err := fmt.Sscanf(s.Text(), "stats_counts.last.words %d", &n); err == nil {
			total += n
		}
	}
	if err := cmd.Wait(); err != nil || total != 100 {
		t.Errorf("it ended with %v and sent %d, want 100", err, total)
	}
}

// addresses reads from the log where it listens.
func addresses(t testing.TB, log io.Reader) (udp, page string) {
	t.Helper()
	s := bufio.NewScanner(log)
	for s.Scan() {
		for field := range strings.FieldsSeq(s.Text()) {
			if a, ok := strings.CutPrefix(field, "udp="); ok {
				udp = a
			}
			if a, ok := strings.CutPrefix(field, "http="); ok {
				page = a
			}
		}
		if udp != "" {
			go io.Copy(io.Discard, log)
			return udp, page
		}
	}
	t.Fatal("it never said where it listens")
	return "", ""
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, parse(t, "--statsd-udp=", "--statsd-tcp=", "--http=127.0.0.1:0"), slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), parse(t, "--statsd-udp=", "--statsd-tcp=", "--http=127.0.0.1:99999"), slog.New(slog.NewTextHandler(os.Stderr, nil))); err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("a bad address says %v", err)
	}
}
