// Command engines starts the real engines (MariaDB, memcached, Redis, RabbitMQ,
// Elasticsearch, Graphite, gmond…) on free ports, runs a command with their addresses in
// ADDONS_TEST_<NAME>, and stops them again:
//
//	go run ./cmd/engines -- go test -race ./...
//
// What is not installed is left out and listed at the end; under CI=true it is
// an error. `.ci/install` installs all of it on Debian.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startup is how long all engines together may take; Elasticsearch is the slowest
// and on its first run is assembled from Maven's packages.
const startup = 6 * time.Minute

func main() {
	only := flag.String("only", "", "start these engines alone: a comma-separated `list` such as mysql,redis")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: engines [-only LIST] -- COMMAND [ARG…]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, *only, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
	}
	os.Exit(code)
}

// run starts the engines, runs the command and returns its exit code.
func run(ctx context.Context, only string, command []string) (code int, err error) {
	dir, err := os.MkdirTemp("", "engines-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// The engines run as users of their own and must get through to their folders.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}

	chosen, err := choose(only)
	if err != nil {
		return 2, err
	}
	s, err := startAll(ctx, chosen, dir)
	defer func() { stopAll(s.running, patience) }()
	if err != nil {
		return 1, err
	}
	if len(s.missing) > 0 && os.Getenv("CI") == "true" {
		return 1, fmt.Errorf("not installed (see .ci/install):\n  %s", strings.Join(s.missing, "\n  "))
	}

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	if len(s.missing) > 0 {
		fmt.Fprintf(os.Stderr, "\nLeft out, because these engines are not installed:\n  %s\n", strings.Join(s.missing, "\n  "))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// started is what came of starting engines.
type started struct {
	running []*process
	env     []string // for the command
	missing []string // a line for each that is not installed
}

// startAll starts engines side by side. The processes are returned with an error
// too, so that they can be stopped.
func startAll(ctx context.Context, chosen []engine, dir string) (s started, err error) {
	ctx, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	var mu sync.Mutex
	var failures []error
	var wait sync.WaitGroup
	for _, e := range chosen {
		wait.Go(func() {
			p, vars, err := start(ctx, e, filepath.Join(dir, e.name))
			mu.Lock()
			defer mu.Unlock()
			if p != nil {
				s.running = append(s.running, p)
			}
			s.env = append(s.env, vars...)
			switch {
			case errors.Is(err, exec.ErrNotFound):
				s.missing = append(s.missing, fmt.Sprintf("%s: %v (%s)", e.name, err, e.how()))
			case err != nil:
				failures = append(failures, fmt.Errorf("%s: %w", e.name, err))
			}
		})
	}
	wait.Wait()
	slices.Sort(s.missing)
	return s, errors.Join(failures...)
}

// choose returns the engines named in a comma-separated list, all for "".
func choose(only string) ([]engine, error) {
	all := engines()
	if only == "" {
		return all, nil
	}
	var chosen []engine
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(e engine) bool { return e.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown engine %q: there are %s", name, strings.Join(names(all), ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func names(engines []engine) []string {
	var all []string
	for _, e := range engines {
		all = append(all, e.name)
	}
	return all
}
