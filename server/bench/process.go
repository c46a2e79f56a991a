package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a server that is measured, in a process of its own.
type process struct {
	cmd     *exec.Cmd
	address string
	admin   string // the platform's
	dir     string
	cancel  context.CancelFunc
	closers []io.Closer
}

// starting is how long a server may take until it answers.
const starting = 2 * time.Minute

// launch starts a tier.
func launch(ctx context.Context, c Config, t Tier, constant string) (*process, error) {
	if t.serve == nil {
		binary := c.Binary
		if t.Name == withoutInstruments {
			binary = c.Without
		}
		return launchPlatform(ctx, c.Backends, binary)
	}
	address, _, err := freePorts()
	if err != nil {
		return nil, err
	}
	return start(ctx, c.Binary, &process{address: address}, []string{"bench", "tier", t.Name, "--listen", address},
		"ADDONS_DATABASE="+c.Database, "ADDONS_CACHE="+c.Cache, "ADDONS_BENCH_CONSTANT="+constant)
}

// launchPlatform starts `addons serve` with every instrument on: statsd lines go to a
// socket that is read by nobody, as to a sidecar's, and Sentry to a server that takes all.
func launchPlatform(ctx context.Context, b Backends, binary string) (_ *process, err error) {
	p := &process{}
	defer func() {
		if err != nil {
			p.closeSinks()
		}
	}()
	if p.address, p.admin, err = freePorts(); err != nil {
		return nil, err
	}
	statsd, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, statsd)
	sentry, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, sentry)
	go http.Serve(sentry, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // ends when sentry is closed
	environment := []string{"ADDONS_DATABASE=" + b.Database, "ADDONS_CACHE=" + b.Cache, "ADDONS_STATSD=udp://" + statsd.LocalAddr().String(),
		"ADDONS_SENTRY_DSN=http://key@" + sentry.Addr().String() + "/1"}
	if b.Search != "" {
		environment = append(environment, "ADDONS_SEARCH="+b.Search)
	}
	return start(ctx, binary, p, []string{"--log", "error", "serve", "--public", p.address, "--admin", p.admin, "--base-url", BaseURL}, environment...)
}

// freePorts are two addresses that nobody listens on.
func freePorts() (a, b string, err error) {
	var all [2]string
	for i := range all {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close()
		all[i] = l.Addr().String()
	}
	return all[0], all[1], nil
}

// start starts a program with a data folder of its own, and returns when it answers.
func start(ctx context.Context, binary string, p *process, args []string, environment ...string) (_ *process, err error) {
	if p.dir, err = os.MkdirTemp("", "addons-bench-"); err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	p.cmd = exec.CommandContext(running, binary, args...)
	p.cmd.Env = append(os.Environ(), "ADDONS_DATA="+p.dir)
	p.cmd.Env = append(p.cmd.Env, environment...) // the later of two counts
	output, err := os.Create(filepath.Join(p.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p.cmd.Stdout, p.cmd.Stderr = output, output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", binary, err)
	}
	ended := make(chan struct{})
	go func() {
		p.cmd.Wait()
		close(ended)
	}()
	p.closers = append(p.closers, closing(func() error { cancel(); <-ended; return os.RemoveAll(p.dir) }))
	for deadline := time.Now().Add(starting); ; {
		if answers(ctx, p.address) {
			return p, nil
		}
		select {
		case <-ended:
			err = fmt.Errorf("%s ended: %s", strings.Join(args, " "), p.last())
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(5 * time.Millisecond):
			if time.Now().After(deadline) {
				err = fmt.Errorf("%s does not answer: %s", strings.Join(args, " "), p.last())
			}
		}
		if err != nil {
			p.close()
			return nil, err
		}
	}
}

// answers says whether something answers HTTP: that it listens is not enough.
func answers(ctx context.Context, address string) bool {
	c, err := dial(ctx, address)
	if err != nil {
		return false
	}
	defer c.close()
	_, err = c.do(request(address, ""))
	return err == nil
}

// closing makes a Closer of a function.
type closing func() error

func (c closing) Close() error { return c() }

// last is the last line that the program wrote.
func (p *process) last() string {
	f, err := os.Open(filepath.Join(p.dir, "output"))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	line := "it wrote nothing"
	for s := bufio.NewScanner(f); s.Scan(); {
		line = s.Text()
	}
	return line
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) close() { p.closeSinks() }

func (p *process) closeSinks() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i].Close()
	}
	p.closers = nil
}

// databasePID is the process of the database server, 0 if it is none of this machine's
// or SQLite, which is in the server's own process.
func databasePID(ctx context.Context, rawURL string) (pid int, version string, err error) {
	db, err := openSQL(rawURL)
	if err != nil {
		return 0, "", err
	}
	defer db.Close()
	if strings.HasPrefix(rawURL, "sqlite:") {
		err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version)
		return 0, "SQLite " + version, err
	}
	var file, folder string
	if err := db.QueryRowContext(ctx, "SELECT @@version, @@pid_file, @@datadir").Scan(&version, &file, &folder); err != nil {
		return 0, "", err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	if text, err := os.ReadFile(file); err == nil {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	return pid, version, nil
}

// memcachedPID asks memcached for its process; 0 if there is none here.
func memcachedPID(rawURL string) (int, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "memcache" {
		return 0, nil
	}
	conn, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("stats\r\n")); err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(conn); s.Scan(); {
		if text, ok := strings.CutPrefix(s.Text(), "STAT pid "); ok {
			return strconv.Atoi(text)
		}
	}
	return 0, errors.New("memcached does not tell its process")
}
