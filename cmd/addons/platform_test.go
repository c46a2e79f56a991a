package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asMain makes this test binary behave as the command itself, so that tests can
// run it as a process of its own, and kill it, without building it twice.
const asMain = "ADDONS_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command is `addons args…` as a process.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	return cmd
}

// platform is a running `addons up`.
type platform struct {
	t         *testing.T
	cmd       *exec.Cmd
	addresses map[string]string // as printed: "site" → "http://localhost:…"
	output    *lockedBuffer
	done      chan struct{}
}

// lockedBuffer is written by the process and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts the whole platform on free ports and returns when `until` has been
// printed: "ready" for a loaded catalogue, "alerts" as soon as it listens.
func start(t *testing.T, data, until string, args ...string) *platform {
	t.Helper()
	args = append([]string{
		"up", "--data", data, "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--relay-http", "127.0.0.1:0",
		"--statsd-udp", "127.0.0.1:0", "--statsd-tcp", "127.0.0.1:0", "--sample", "40", "--scrape", "1s", "--flush", "1s",
	}, args...)
	p := &platform{t: t, cmd: command(context.Background(), args...), addresses: map[string]string{}, output: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Stderr = p.output
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	found := make(chan bool, 1)
	go func() {
		defer close(p.done)
		defer p.cmd.Wait()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), " ")
			if p.addresses[name] == "" {
				p.addresses[name] = strings.TrimSuffix(strings.TrimSpace(value), "/")
			}
			if name == until {
				select {
				case found <- true:
				default:
				}
			}
		}
	}()
	select {
	case <-found:
	case <-p.done:
		t.Fatalf("addons up ended early:\n%s", p.output)
	case <-time.After(3 * time.Minute):
		t.Fatalf("addons up: no %q in three minutes:\n%s", until, p.output)
	}
	return p
}

func (p *platform) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// terminate ends the platform as a deploy does and returns its exit code.
func (p *platform) terminate() int {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatalf("still running a minute after SIGTERM:\n%s", p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

// url is an address of the site.
func (p *platform) url(path string) string { return p.addresses["site"] + path }

// get asks a URL and returns status and body.
func (p *platform) get(url string) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// prometheus asks the embedded Prometheus for one number, 0 if there is no such series.
func (p *platform) prometheus(query string) float64 {
	p.t.Helper()
	req, _ := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.addresses["relay"]+"/api/v1/query", nil)
	req.URL.RawQuery = "query=" + strings.NewReplacer("%", "%25", "+", "%2B", "&", "%26", " ", "%20", "#", "%23").Replace(query)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
		Error string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		p.t.Fatalf("%s: %v %s", query, err, answer.Error)
	}
	if len(answer.Data.Result) == 0 {
		return 0
	}
	var value float64
	fmt.Sscan(fmt.Sprint(answer.Data.Result[0].Value[1]), &value)
	return value
}

// eventually asks again until ok, for at most two minutes: a machine that is busy
// with other tests is slow, and only what never comes is wrong.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}
