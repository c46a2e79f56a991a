package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"addons/server/enginetest"
)

// own makes a name that no other run of the tests uses.
func own(prefix string) string { return prefix + strconv.FormatInt(time.Now().UnixNano(), 36) }

// createDatabase makes a database on the server at rawURL, mysql://root@host:port/,
// and drops it after the test.
func createDatabase(t *testing.T, rawURL, name string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Exec("DROP DATABASE " + name)
		server.Close()
	})
}

// production are the flags of the real engines, each with a place of this test's own.
func production(t *testing.T, data string) []string {
	t.Helper()
	database := own("production_")
	mysql := enginetest.URL(t, "MYSQL")
	createDatabase(t, mysql, database)
	return []string{
		"--data", data,
		"--database", mysql + database,
		"--cache", enginetest.URL(t, "MEMCACHE"),
		"--search", strings.Replace(enginetest.URL(t, "ELASTICSEARCH"), "http://", "elasticsearch://", 1) + "/" + own("production-"),
		"--queue", enginetest.URL(t, "AMQP") + "?queue=" + own("production-"),
		"--statsd", "none:",
	}
}

func TestSiteAndWorkerAsProcessesOnTheRealEngines(t *testing.T) {
	flags := production(t, t.TempDir())
	with := func(name string, more ...string) []string { return append(append([]string{name}, flags...), more...) }

	out, err := command(t.Context(), with("check")...).CombinedOutput()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	if out, err := command(t.Context(), with("load", "--sample", "40")...).CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	worker := background(t, with("worker", "--admin", "127.0.0.1:0")...)
	serve := background(t, with("serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0")...)
	site := &platform{t: t, addresses: map[string]string{"site": serve.address(t, "site")}}

	eventually(t, "what was loaded is found through Elasticsearch", func() bool { return count(site) >= 36 })
	status, page := site.get(site.url("/en-US/firefox/"))
	if status != 200 || !strings.Contains(page, "/addon/") {
		t.Errorf("home: status %d:\n%s", status, page)
	}
	// Some may have been found by the index that the worker built at its start.
	done := regexp.MustCompile(`(?m)^addons_task_total\{kind="index",outcome="done"\} (\d+)$`)
	operators := worker.address(t, "operators")
	eventually(t, "all of the load's tasks done by the worker's own count", func() bool {
		_, metrics := site.get(operators + "/metrics")
		m := done.FindStringSubmatch(metrics)
		return m != nil && m[1] == "40"
	})
	for name, p := range map[string]*process{"serve": serve, "worker": worker} {
		if code := p.terminate(t); code != 0 {
			t.Errorf("%s: exit code %d after SIGTERM:\n%s", name, code, p.output)
		}
	}
}

// process is a command that runs beside the test.
type process struct {
	cmd    *exec.Cmd
	output *lockedBuffer
	done   chan struct{}
}

func background(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: command(context.Background(), args...), output: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.done })
	return p
}

// address is one that the process prints when it listens.
func (p *process) address(t *testing.T, name string) (address string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s of %v", name, p.cmd.Args[1:2]), func() bool {
		for line := range strings.Lines(p.output.String()) {
			if word, rest, _ := strings.Cut(line, " "); word == name {
				address = strings.TrimSuffix(strings.TrimSpace(rest), "/")
			}
		}
		return address != ""
	})
	return address
}

// terminate ends the process as a deploy does and returns its exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		t.Fatalf("still running a minute after SIGTERM:\n%s", p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}
