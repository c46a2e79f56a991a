//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// peer is a server of beacons.
type peer struct {
	name  string
	takes []string // names of beacons
	// install has it ready below the cache folder, and returns the path to start.
	install func(ctx context.Context, cache string) (string, error)
	path    string
	// command serves beacons on an address; statsd is where it may send lines.
	command func(path, dir, address, statsd string) (*exec.Cmd, error)
}

// peers are all of them, ours first. Faro's receivers, of Grafana's Alloy and of
// OpenTelemetry's Collector, and Basic RUM's server are no modules that can be had by version.
var peers = []peer{
	{name: "statsd-relay", takes: []string{getBoomerang, postStick, ownBoomerang, webVitals, faro}, install: buildOurs, command: ours},
	{name: "django-statsd 0.4.0, Django 4.2, gunicorn", takes: []string{getBoomerang, postStick}, install: pipDjango, command: django},
}

func buildOurs(ctx context.Context, cache string) (string, error) {
	path := filepath.Join(cache, "statsd-relay")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/statsd-relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return path, output(build)
}

// ours aggregates what it takes itself, for Graphite and for Prometheus.
func ours(path, _, address, _ string) (*exec.Cmd, error) {
	return exec.Command(path, "--statsd-udp=", "--statsd-tcp=", "--http=127.0.0.1:0", "--beacons="+address, "--beacon-rate=1000000", "--page-routes=/cart=cart", "--percentile=75,90"), nil
}

// pipDjango makes an environment of Python's with the packages in it.
func pipDjango(ctx context.Context, cache string) (string, error) {
	dir := filepath.Join(cache, "django")
	path := filepath.Join(dir, "bin", "gunicorn")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := output(exec.CommandContext(ctx, "python3", "-m", "venv", dir)); err != nil {
		return "", err
	}
	return path, output(exec.CommandContext(ctx, filepath.Join(dir, "bin", "pip"), "install", "--quiet", "django-statsd-mozilla==0.4.0", "django==4.2.*", "gunicorn"))
}

// site is a Django site with nothing but django-statsd's view.
const site = `
from django.conf import settings
settings.configure(SECRET_KEY="bench", ALLOWED_HOSTS=["*"], ROOT_URLCONF="site_", INSTALLED_APPS=[],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    STATSD_HOST=%q, STATSD_PORT=%s, STATSD_CLIENT="django_statsd.clients.normal")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
from django.urls import path
from django_statsd.views import record
urlpatterns = [path("services/timing/record", record)]
`

// django has a worker for each processor, with threads, so that connections are kept.
func django(path, dir, address, statsd string) (*exec.Cmd, error) {
	host, port, _ := net.SplitHostPort(statsd)
	if err := os.WriteFile(filepath.Join(dir, "site_.py"), fmt.Appendf(nil, site, host, port), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--bind", address, "--workers", "2", "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60", "--log-level", "error", "site_:application")
	cmd.Dir = dir
	return cmd, nil
}

// output runs cmd; the error has the last of what it said.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, text[strings.LastIndexByte(text, '\n')+1:])
	}
	return nil
}

// process is a peer that runs, with a socket for its statsd lines that nobody reads.
type process struct {
	address string
	cmd     *exec.Cmd
	dir     string
	statsd  net.PacketConn
	done    chan struct{}
}

// start returns when the peer answers.
func (p peer) start(ctx context.Context) (_ *process, err error) {
	r := &process{done: make(chan struct{})}
	if r.dir, err = os.MkdirTemp("", "rumbench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.stop()
		}
	}()
	if r.statsd, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.address = free.Addr().String()
	free.Close()
	cmd, err := p.command(p.path, r.dir, r.address, r.statsd.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(r.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.cmd = cmd
	go func() {
		cmd.Wait()
		close(r.done)
	}()
	return r, r.ready(ctx)
}

func (r *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", r.address); err == nil {
			return conn.Close()
		}
		select {
		case <-r.done:
			out, _ := os.ReadFile(filepath.Join(r.dir, "output"))
			return fmt.Errorf("it ended: %s", bytes.TrimSpace(out[max(0, len(out)-300):]))
		case <-ctx.Done():
			return errors.New("it does not listen")
		case <-tick.C:
		}
	}
}

// stop kills the peer with all of its processes.
func (r *process) stop() {
	if r.cmd != nil {
		syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
		<-r.done
	}
	if r.statsd != nil {
		r.statsd.Close()
	}
	os.RemoveAll(r.dir)
}

// sum adds up what of says of each of the peer's processes, which are of one group.
func (r *process) sum(of func(procfs.ProcStat) float64) (total float64, err error) {
	all, err := procfs.AllProcs()
	for _, p := range all {
		stat, err := p.Stat()
		if err == nil && stat.PGRP == r.cmd.Process.Pid { // else it has ended
			total += of(stat)
		}
	}
	return total, err
}

// cpu is the user and system time that the peer has used.
func (r *process) cpu() (time.Duration, error) {
	seconds, err := r.sum(procfs.ProcStat.CPUTime)
	return time.Duration(seconds * float64(time.Second)), err
}

// memory is what the peer has resident, in MiB; what its processes share counts once for each.
func (r *process) memory() (float64, error) {
	return r.sum(func(stat procfs.ProcStat) float64 { return float64(stat.ResidentMemory()) / (1 << 20) })
}
