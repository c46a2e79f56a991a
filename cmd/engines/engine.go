package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/build"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// engine is one row of the table: what it needs, how it starts, when it is ready.
type engine struct {
	name     string
	debian   string   // packages; "" is none: .ci/install has Go build it
	binaries []string // all must be there; looked for in PATH, in the sbin folders and in Go's bin
	ports    int      // how many free ports it gets
	user     string   // that it must run as when we are root
	// command starts it in the foreground. nil: nothing runs, the tests start the binary themselves.
	command func(dir string, ports []int) *exec.Cmd
	// prepare runs before, as the same user.
	prepare func(ctx context.Context, dir string) *exec.Cmd
	ready   func(ctx context.Context, ports []int) error
	// vars are what the tests read, without the ADDONS_TEST_ in front.
	vars func(binary string, ports []int) map[string]string
}

// engines is the table of all engines.
func engines() []engine {
	return []engine{
		{
			name: "mysql", debian: "mariadb-server", binaries: []string{"mariadbd", "mariadb-install-db"}, ports: 1, user: "mysql",
			prepare: func(ctx context.Context, dir string) *exec.Cmd {
				return apart(exec.CommandContext(ctx, find("mariadb-install-db"), "--no-defaults", "--datadir="+dir+"/data",
					"--auth-root-authentication-method=normal", "--skip-test-db"), dir)
			},
			command: func(dir string, ports []int) *exec.Cmd {
				return apart(exec.Command(find("mariadbd"), "--no-defaults", "--datadir="+dir+"/data", "--socket="+dir+"/s",
					"--bind-address=127.0.0.1", "--port="+strconv.Itoa(ports[0]), "--skip-name-resolve", "--max-connections=300",
					"--character-set-server=utf8mb4"), dir)
			},
			ready: dial,
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"MYSQL": fmt.Sprintf("mysql://root@127.0.0.1:%d/", ports[0])}
			},
		},
		{
			name: "mysql-replica", debian: "mariadb-server", binaries: []string{"mariadbd", "mariadb-install-db"}, ports: 2, user: "mysql",
			command: replicated,
			ready: func(ctx context.Context, ports []int) error {
				return errors.Join(dial(ctx, ports[:1]), dial(ctx, ports[1:]))
			},
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{
					"MYSQL_WRITER":  fmt.Sprintf("mysql://root@127.0.0.1:%d/", ports[0]),
					"MYSQL_REPLICA": fmt.Sprintf("mysql://root@127.0.0.1:%d/", ports[1]),
				}
			},
		},
		{
			name: "memcache", debian: "memcached", binaries: []string{"memcached"}, ports: 1, user: "nobody",
			command: func(_ string, ports []int) *exec.Cmd {
				return exec.Command(find("memcached"), "-l", "127.0.0.1", "-U", "0", "-p", strconv.Itoa(ports[0]))
			},
			ready: dial,
			vars: func(binary string, ports []int) map[string]string {
				return map[string]string{"MEMCACHE": fmt.Sprintf("memcache://127.0.0.1:%d", ports[0]), "MEMCACHED": binary}
			},
		},
		{
			name: "redis", debian: "redis-server", binaries: []string{"redis-server"}, ports: 1, user: "nobody",
			command: func(dir string, ports []int) *exec.Cmd {
				return exec.Command(find("redis-server"), "--bind", "127.0.0.1", "--port", strconv.Itoa(ports[0]), "--save", "", "--dir", dir)
			},
			ready: dial,
			vars: func(binary string, ports []int) map[string]string {
				return map[string]string{"REDIS": fmt.Sprintf("redis://127.0.0.1:%d/0", ports[0]), "REDIS_SERVER": binary}
			},
		},
		{
			name: "amqp", debian: "rabbitmq-server", binaries: []string{"rabbitmq-server"}, ports: 3, user: "rabbitmq",
			command: rabbitmq,
			ready:   func(ctx context.Context, ports []int) error { return handshake(ctx, ports[0]) },
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"AMQP": fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", ports[0])}
			},
		},
		{
			name: "elasticsearch", debian: "openjdk-17-jdk-headless maven", binaries: []string{"java", "javac", "mvn"}, ports: 1,
			command: func(dir string, ports []int) *exec.Cmd {
				return exec.Command(".ci/elasticsearch/run.sh", dir, strconv.Itoa(ports[0]))
			},
			ready: func(ctx context.Context, ports []int) error {
				return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/_cluster/health?wait_for_status=yellow", ports[0]))
			},
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"ELASTICSEARCH": fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
			},
		},
		{
			name: "graphite", debian: "graphite-carbon graphite-web", binaries: []string{"carbon-cache", "graphite-manage"}, ports: 3,
			command: func(dir string, ports []int) *exec.Cmd {
				return exec.Command(".ci/graphite/run.sh", dir, strconv.Itoa(ports[0]), strconv.Itoa(ports[1]), strconv.Itoa(ports[2]))
			},
			ready: func(ctx context.Context, ports []int) error {
				if err := dial(ctx, ports); err != nil {
					return err
				}
				return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/render?target=x&format=json", ports[1]))
			},
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{
					"CARBON":        fmt.Sprintf("127.0.0.1:%d", ports[0]),
					"CARBON_PICKLE": fmt.Sprintf("127.0.0.1:%d", ports[2]),
					"GRAPHITE":      fmt.Sprintf("http://127.0.0.1:%d", ports[1]),
				}
			},
		},
		{
			name: "prometheus", debian: "prometheus", binaries: []string{"prometheus"}, ports: 1,
			command: prometheus,
			ready: func(ctx context.Context, ports []int) error {
				return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/-/ready", ports[0]))
			},
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"PROMETHEUS": fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
			},
		},
		{
			name: "alertmanager", debian: "prometheus-alertmanager", binaries: []string{"prometheus-alertmanager"}, ports: 1,
			command: func(dir string, ports []int) *exec.Cmd {
				return exec.Command(find("prometheus-alertmanager"), "--config.file=alerts/alertmanager.yml", "--storage.path="+dir,
					"--web.listen-address=127.0.0.1:"+strconv.Itoa(ports[0]), "--cluster.listen-address=")
			},
			ready: func(ctx context.Context, ports []int) error {
				return answers(ctx, fmt.Sprintf("http://127.0.0.1:%d/-/ready", ports[0]))
			},
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"ALERTMANAGER": fmt.Sprintf("http://127.0.0.1:%d", ports[0])}
			},
		},
		{
			// Each test starts it with a configuration of its own.
			name: "statsd", debian: "nodejs npm, and run .ci/statsd/install", binaries: []string{npmStatsd(), "node"},
			vars: func(path string, _ []int) map[string]string { return map[string]string{"STATSD": path} },
		},
		{
			name: "clients", debian: "nodejs npm, and run .ci/clients/install", binaries: []string{npmClients(), "node"},
			vars: func(path string, _ []int) map[string]string {
				return map[string]string{"CLIENTS": filepath.Join(filepath.Dir(path), "node_modules")}
			},
		},
		{
			name: "ganglia", debian: "ganglia-monitor", binaries: []string{"gmond"}, ports: 1, user: "nobody",
			command: gmond,
			ready:   dial,
			vars: func(_ string, ports []int) map[string]string {
				return map[string]string{"GANGLIA": fmt.Sprintf("127.0.0.1:%d", ports[0])}
			},
		},
		program("promtool", "prometheus", "PROMTOOL"),
		program("systemd-analyze", "systemd", "SYSTEMD"),
		program("amtool", "prometheus-alertmanager", "AMTOOL"),
		program("statsd_exporter", "", "STATSD_EXPORTER"),
		program("chromium", "chromium", "CHROMIUM"),
		program("firefox-esr", "firefox-esr", "FIREFOX"),
	}
}

// how says how to install the engine.
func (e engine) how() string {
	if e.debian == "" {
		return ".ci/install"
	}
	return "Debian: apt-get install " + e.debian
}

// program is an engine that tests start themselves; they only need to know where it is.
func program(binary, debian, variable string) engine {
	return engine{
		name: binary, debian: debian, binaries: []string{binary},
		vars: func(path string, _ []int) map[string]string { return map[string]string{variable: path} },
	}
}

// npmStatsd is where .ci/statsd/install puts the program.
func npmStatsd() string { return cached("addons-statsd/0.9.0/node_modules/.bin/statsd") }

// npmClients is beside what .ci/clients/install puts there.
func npmClients() string { return cached("addons-clients/1/installed") }

// cached is a path in the user's cache.
func cached(path string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/tmp/.cache" // as the scripts have it, with no HOME
	}
	return filepath.Join(cache, path)
}

// prometheus has this repository's rules. Its configuration is not
// alerts/prometheus.yml, whose native histograms Debian's version does not know.
func prometheus(dir string, ports []int) *exec.Cmd {
	rules, err := filepath.Abs("alerts/*.rules.yml")
	if err != nil {
		rules = "alerts/*.rules.yml" // then Prometheus looks for them beside its configuration, and has none
	}
	address := "127.0.0.1:" + strconv.Itoa(ports[0])
	config := fmt.Sprintf("rule_files: [%q]\nscrape_configs:\n- job_name: prometheus\n  static_configs: [{targets: [%q]}]\n", rules, address)
	path := filepath.Join(dir, "prometheus.yml")
	// A file that could not be written is told by Prometheus when it looks for it.
	os.WriteFile(path, []byte(config), 0o644)
	return exec.Command(find("prometheus"), "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
}

// apart gives a MariaDB dir for its temporary tables: in a folder that two of them share, the
// one that starts removes those of the other.
func apart(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	return cmd
}

// replicated is a MariaDB and one that replicates from it by GTID, as it is told before it
// takes connections.
func replicated(dir string, ports []int) *exec.Cmd {
	const script = `set -eu
for side in writer replica; do
	mkdir "$DIR/$side.tmp"
	TMPDIR="$DIR/$side.tmp" "$INSTALL" --no-defaults --datadir="$DIR/$side" --auth-root-authentication-method=normal --skip-test-db
done
printf '%s\n' "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$WRITER, MASTER_USER='root', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1;" \
	"START SLAVE;" >"$DIR/init.sql"
serve() {
	side=$1 port=$2
	shift 2
	TMPDIR="$DIR/$side.tmp" "$SERVER" --no-defaults --datadir="$DIR/$side" --socket="$DIR/$side.s" --bind-address=127.0.0.1 --port="$port" \
		--skip-name-resolve --max-connections=300 --character-set-server=utf8mb4 --log-bin="$DIR/$side/log" --binlog-format=ROW "$@" &
}
serve writer "$WRITER" --server-id=1
# Who calls a port of this machine on which nobody listens yet may be connected to itself, and
# holds the port then.
while [ ! -S "$DIR/writer.s" ]; do
	kill -0 $! || exit 1
	sleep 0.05
done
serve replica "$REPLICA" --server-id=2 --log-slave-updates --read-only --init-file="$DIR/init.sql"
wait
`
	cmd := exec.Command("sh", "-c", script)
	cmd.Env = append(os.Environ(), "DIR="+dir, "INSTALL="+find("mariadb-install-db"), "SERVER="+find("mariadbd"),
		"WRITER="+strconv.Itoa(ports[0]), "REPLICA="+strconv.Itoa(ports[1]))
	return cmd
}

// gmond takes metrics over UDP and shows them over TCP on the same port. It sends
// none of its own. It forgets what is past its DMAX once a minute, which is as often
// as it can, and not every five.
func gmond(dir string, ports []int) *exec.Cmd {
	config := fmt.Sprintf(`globals { daemonize = no setuid = no mute = yes deaf = no allow_extra_data = yes cleanup_threshold = 1 }
cluster { name = "engines" }
udp_recv_channel { bind = 127.0.0.1 port = %[1]d }
tcp_accept_channel { bind = 127.0.0.1 port = %[1]d }
`, ports[0])
	path := filepath.Join(dir, "gmond.conf")
	// A file that could not be written is told by gmond when it looks for it.
	os.WriteFile(path, []byte(config), 0o644)
	return exec.Command(find("gmond"), "--conf="+path)
}

// rabbitmq keeps the broker's name, ports and folders apart from any other on this machine.
func rabbitmq(dir string, ports []int) *exec.Cmd {
	cmd := exec.Command(find("rabbitmq-server"))
	cmd.Env = append(os.Environ(),
		"HOME="+dir,
		"RABBITMQ_NODENAME=engines"+strconv.Itoa(ports[0])+"@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_NODE_PORT="+strconv.Itoa(ports[0]),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(ports[1]),
		"ERL_EPMD_PORT="+strconv.Itoa(ports[2]),
		"RABBITMQ_MNESIA_BASE="+dir+"/mnesia",
		"RABBITMQ_LOG_BASE="+dir+"/log",
		"RABBITMQ_CONFIG_FILE="+dir+"/none",
		"RABBITMQ_ENABLED_PLUGINS_FILE="+dir+"/plugins",
	)
	return cmd
}

// process is a started engine.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start starts an engine and waits until it is ready. The process is returned
// with an error too, so that it can be stopped.
func start(ctx context.Context, e engine, dir string) (*process, []string, error) {
	for _, binary := range e.binaries {
		if find(binary) == "" {
			return nil, nil, fmt.Errorf("%s: %w", binary, exec.ErrNotFound)
		}
	}
	ports, err := free(e.ports)
	if err != nil {
		return nil, nil, err
	}
	var vars []string
	for name, value := range e.vars(find(e.binaries[0]), ports) {
		vars = append(vars, "ADDONS_TEST_"+name+"="+value)
	}
	if e.command == nil {
		return nil, vars, nil
	}
	credential, err := folder(dir, e.user)
	if err != nil {
		return nil, nil, err
	}
	if e.prepare != nil {
		cmd := e.prepare(ctx, dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, tail(out))
		}
	}
	log := filepath.Join(dir, "output")
	p, err := launch(e.command(dir, ports), log, credential)
	if err != nil {
		return nil, nil, err
	}
	if err := p.await(ctx, func(ctx context.Context) error { return e.ready(ctx, ports) }); err != nil {
		out, _ := os.ReadFile(log)
		return p, nil, fmt.Errorf("%w\n%s", err, tail(out))
	}
	return p, vars, nil
}

// folder makes dir and, for root, gives it to the user that the engine runs as.
func folder(dir, name string) (*syscall.Credential, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if name == "" || os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// launch starts cmd in a process group of its own, with its output in a file.
func launch(cmd *exec.Cmd, log string, credential *syscall.Credential) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: credential}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// await asks ready until it says so, the process ends or ctx is done.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %v", filepath.Base(p.cmd.Path), p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%s was not ready in time: %w", filepath.Base(p.cmd.Path), err)
		case <-tick.C:
		}
	}
}

// patience is how long the engines together may take to end when asked to.
const patience = 10 * time.Second

// stopAll asks every process group to end and kills what has not within patience.
func stopAll(processes []*process, patience time.Duration) {
	for _, p := range processes {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	}
	late, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range processes {
		select {
		case <-p.done:
		case <-late.Done():
		}
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		for _, v := range p.cmd.Env {
			if port, ok := strings.CutPrefix(v, "ERL_EPMD_PORT="); ok {
				// The Erlang port mapper leaves its parent's process group.
				exec.Command("epmd", "-port", port, "-kill").Run()
			}
		}
	}
}

// find returns the path of a binary, "" if it is not installed. Debian keeps
// servers in the sbin folders, which are not in everybody's PATH.
func find(binary string) string {
	if path, err := exec.LookPath(binary); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", filepath.Join(build.Default.GOPATH, "bin")} {
		if path, err := exec.LookPath(filepath.Join(dir, binary)); err == nil {
			return path
		}
	}
	return ""
}

// free returns n ports that nothing listens on.
func free(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// dial is ready when the first port accepts a connection.
func dial(ctx context.Context, ports []int) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
	if err != nil {
		return err
	}
	return conn.Close()
}

// handshake is ready when the broker answers an AMQP 0-9-1 protocol header; its
// port accepts connections a while before.
func handshake(ctx context.Context, port int) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// answers is ready when the address gives a 200.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// tail is the last lines of an engine's output, enough to see why it ended.
func tail(out []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-15):], []byte("\n"))
}
