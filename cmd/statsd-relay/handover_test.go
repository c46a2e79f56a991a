package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"addons/server/enginetest"
)

// process is a relay that runs, whose log is read line by line.
type process struct {
	*exec.Cmd
	t   *testing.T
	log *bufio.Scanner
}

func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return &process{cmd, t, bufio.NewScanner(log)}
}

// says reads the log up to a line with the text, which it returns.
func (p *process) says(text string) string {
	p.t.Helper()
	var before []string
	for p.log.Scan() {
		if strings.Contains(p.log.Text(), text) {
			return p.log.Text()
		}
		before = append(before, p.log.Text())
	}
	p.t.Fatalf("it never said %q, but\n%s", text, strings.Join(before, "\n"))
	return ""
}

// field returns a value of a line of the log.
func field(line, name string) string {
	for f := range strings.FieldsSeq(line) {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

// scraped returns a metric of a relay's page, −1 if it can't be had.
func scraped(page, name string) float64 {
	resp, err := http.Get(page + "metrics")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)`).FindSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return -1
	}
	return v
}

// await polls, for what another process does.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

func TestSIGUSR2StartsTheProgramAnewWithoutALineLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "handover")
	first := startProcess(t, program("--statsd-udp=127.0.0.1:0", "--statsd-tcp=127.0.0.1:0", "--http=127.0.0.1:0", "--handover", path))
	started := first.says("statsd-relay started")
	page := field(started, "http")
	udp, err := net.Dial("udp", field(started, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Dial("tcp", field(started, "tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	stop, stopped, sent := make(chan struct{}), make(chan error, 1), 0
	go func() {
		for {
			sent++
			_, err := fmt.Fprint(udp, "line:1|c")
			if err == nil {
				_, err = fmt.Fprint(tcp, "line:1|c\n")
			}
			select {
			case <-stop:
				stopped <- err
				return
			case <-time.After(200 * time.Microsecond): // a pace at which no buffer fills
			}
			if err != nil {
				stopped <- err
				return
			}
		}
	}()
	await(t, "lines", func() bool { return scraped(page, "line") > 100 })
	if err := first.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	successor, err := strconv.Atoi(field(first.says("handed over"), "successor"))
	if err != nil || successor == first.Process.Pid {
		t.Fatalf("the successor is %d, %v", successor, err)
	}
	second, err := os.FindProcess(successor)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Kill()
	before := scraped(page, "line")
	await(t, "lines to the successor", func() bool { return scraped(page, "line") > before+100 })
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	await(t, "the last lines", func() bool { return scraped(page, "line") == float64(2*sent) })
	if err := second.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	first.says("statsd-relay stopped")
	if err := first.Wait(); err != nil {
		t.Errorf("the first ended with %v", err)
	}
}

func TestWhoHasHandedOverAnswersNobody(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	args := []string{"--statsd-udp=127.0.0.1:0", "--statsd-tcp=", "--http=127.0.0.1:0", "--handover", filepath.Join(t.TempDir(), "handover"),
		"--repeat=tcp://" + closed.Addr().String()} // what waits for it has the first one stay for five seconds
	first := startProcess(t, program(args...))
	started := first.says("statsd-relay started")
	udp, err := net.Dial("udp", field(started, "udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	page := field(started, "http")
	fmt.Fprint(udp, "line:1|c")
	await(t, "the line", func() bool { return scraped(page, "line") == 1 })
	second := startProcess(t, program(args...))
	second.says("statsd-relay started")
	first.says("handed over")
	alone := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	handed := time.Now()
	await(t, "the successor alone to answer", func() bool {
		for range 40 { // one after the other: who is quicker gets it
			resp, err := alone.Get(page + "-/ready")
			if err != nil {
				return false
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return false
			}
		}
		return true
	})
	if took := time.Since(handed); took > 3*time.Second {
		t.Errorf("who has handed over answered for %v", took)
	}
	if err := second.Process.Kill(); err != nil {
		t.Error(err)
	}
	first.Wait()
}

func TestASuccessorThatCanNotStartChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "handover")
	args := []string{"--statsd-udp=127.0.0.1:0", "--statsd-tcp=", "--http=127.0.0.1:0", "--handover", path}
	first := startProcess(t, program(args...))
	page := field(first.says("statsd-relay started"), "http")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, err := program(append(args, "--admin", taken.Addr().String())...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--admin") {
		t.Errorf("a successor without its address ends with %v and says %s", err, out)
	}
	first.says("a successor did not take over")

	// One that is no relay.
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET / HTTP/1.1\r\n\r\n")
	conn.Close()
	first.says("a successor did not take over")
	if scraped(page, "relay_series_limit") <= 0 {
		t.Error("the first one does not answer any more")
	}

	good := startProcess(t, program(args...))
	good.says("statsd-relay started")
	first.says("handed over")
	if err := good.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	good.says("statsd-relay stopped")
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
}

func TestSystemdsSocketHoldsWhatCameBeforeTheStart(t *testing.T) {
	activate := filepath.Join(filepath.Dir(enginetest.URL(t, "SYSTEMD")), "systemd-socket-activate")
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := free.LocalAddr().String()
	free.Close()
	cmd := exec.Command(activate, "--datagram", "--listen="+udp, "--setenv="+asMain, os.Args[0],
		"--statsd-udp="+udp, "--statsd-tcp=", "--http=127.0.0.1:0")
	cmd.Env = append(os.Environ(), asMain+"=1")
	activated := startProcess(t, cmd)
	activated.says("Listening on")
	conn, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 50 { // nobody reads yet: the first datagram has the program started
		fmt.Fprint(conn, "early:1|c")
	}
	page := field(activated.says("statsd-relay started"), "http")
	await(t, "what was sent before the start", func() bool { return scraped(page, "early") == 50 })
}

func TestARestartReadsWhatItsSocketsHeldMeanwhile(t *testing.T) {
	t.Parallel()
	held, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	file, err := held.(*net.UDPConn).File() // as systemd has it
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	udp := held.LocalAddr().String()
	conn, err := net.Dial("udp", udp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	run := func() (*process, string) {
		args := append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh"}, program("--statsd-udp="+udp, "--statsd-tcp=", "--http=127.0.0.1:0").Args...)
		cmd := exec.Command("sh", args...)
		cmd.Env, cmd.ExtraFiles = program().Env, []*os.File{file}
		p := startProcess(t, cmd)
		return p, field(p.says("statsd-relay started"), "http")
	}
	first, page := run()
	fmt.Fprint(conn, "line:1|c")
	await(t, "the first line", func() bool { return scraped(page, "line") == 1 })
	first.Process.Kill()
	first.Wait()
	for range 50 {
		fmt.Fprint(conn, "line:1|c")
	}
	second, page := run()
	await(t, "what came in between", func() bool { return scraped(page, "line") == 50 })
	second.Process.Signal(syscall.SIGTERM)
	second.says("statsd-relay stopped")
}
