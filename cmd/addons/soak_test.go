//go:build soak

package main

import (
	"bytes"
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"addons/server/bench"
	"addons/server/enginetest"
)

// TestSoakUpdateChecksGoOnWithoutTheirDatabase asks for update checks, four of five by
// popularity and one of any add-on, RATE (8000) a second for FOR (10m), of ADDONS (300000)
// add-ons in a real MariaDB, which is killed after a third of the time and started again
// after two thirds. Nobody waits for ever, what is known is answered on, what isn't is told
// so, all is counted, and it ends by itself.
//
//	make soak-update FOR=10m RATE=8000
func TestSoakUpdateChecksGoOnWithoutTheirDatabase(t *testing.T) {
	took, err := time.ParseDuration(cmp.Or(os.Getenv("FOR"), "10m"))
	if err != nil {
		t.Fatal(err)
	}
	db := newSoakDatabase(t)
	dir := t.TempDir()
	backends := []string{"--data", dir, "--database", db.url}
	for _, args := range [][]string{{"load", "--generate", cmp.Or(os.Getenv("ADDONS"), "300000"), "--packages", "0"}} {
		if out, err := command(t.Context(), append(args, backends...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	site, admin := serveForSoak(t, backends)
	report := filepath.Join(dir, "report.json")
	load := command(t.Context(), "bench", "load", "--database", db.url, "--url", site, "--admin", admin,
		"--rate", cmp.Or(os.Getenv("RATE"), "8000"), "--for", took.String(), "--warm", "20s", "--json", report)
	out := &lockedBuffer{}
	load.Stdout, load.Stderr = out, out
	begun := time.Now()
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- load.Wait() }()

	pass(t, begun.Add(20*time.Second+took/3))
	before := soakOutcomes(t, admin)
	db.kill()
	pass(t, begun.Add(20*time.Second+2*took/3))
	during := soakOutcomes(t, admin)
	db.start()
	up := time.Now()
	last, calm := during, time.Time{}
	for range time.Tick(time.Second) { // a second of checks that are all answered by what is so now is calm
		now := soakOutcomes(t, admin)
		if now["error"] == last["error"] && now["stale"] == last["stale"] && now["hit"] > last["hit"] {
			calm = time.Now()
			break
		}
		if last = now; time.Since(up) > time.Minute {
			break
		}
	}
	recovered := soakOutcomes(t, admin)
	if err := <-done; err != nil {
		t.Fatalf("bench load: %v\n%s", err, out)
	}
	end := soakOutcomes(t, admin)
	for _, phase := range []struct {
		name     string
		from, to map[string]float64
	}{{"the database is down", before, during}, {"it comes back", during, recovered}, {"afterwards", recovered, end}} {
		line := phase.name + ":"
		for _, outcome := range []string{"hit", "miss", "negative", "stale", "error"} {
			line += fmt.Sprintf(" %s %.0f", outcome, phase.to[outcome]-phase.from[outcome])
		}
		t.Log(line)
	}
	t.Logf("%s", out)
	if calm.IsZero() {
		t.Error("it did not recover within a minute")
	} else {
		t.Logf("recovered %v after MariaDB was started", calm.Sub(up).Round(time.Second))
	}
	if got := end["error"] - recovered["error"]; got != 0 {
		t.Errorf("%.0f errors afterwards", got)
	}
	if got := before["error"]; got != 0 {
		t.Errorf("%.0f errors before", got)
	}
	if down := during["stale"] - before["stale"]; down < (during["error"]-before["error"])*2 {
		t.Errorf("only %.0f checks were answered by what was known, %.0f not", down, during["error"]-before["error"])
	}
	var r bench.LoadReport
	text, err := os.ReadFile(report)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || r.Failed != 0 || r.Differs() || time.Duration(r.Quantiles["max"]) > 8*time.Second {
		t.Errorf("%v; %d without any answer, compared %+v, the longest took %v", err, r.Failed, r.Compared, time.Duration(r.Quantiles["max"]))
	}
}

// pass returns at a time.
func pass(t *testing.T, at time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(at)):
	case <-t.Context().Done():
	}
}

// soakOutcomes is how many checks had each outcome.
func soakOutcomes(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, m := range families["addons_update_checks_total"].GetMetric() {
		all[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return all
}

// serveForSoak runs `addons serve`, as in production, without an index.
func serveForSoak(t *testing.T, backends []string) (site, admin string) {
	t.Helper()
	site, admin = "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	cmd := command(t.Context(), append([]string{"--log", "error", "serve", "--public", site, "--admin", admin, "--statsd", "none:"}, backends...)...)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, "the site", func() bool {
		resp, err := http.Get("http://" + site + "/__lbheartbeat__")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return "http://" + site, "http://" + admin
}

// soakDatabase is the MariaDB of the test, which it may kill.
type soakDatabase struct {
	t      *testing.T
	url    string
	host   string
	pid    int
	args   []string
	user   *syscall.Credential
	folder string
}

func newSoakDatabase(t *testing.T) *soakDatabase {
	t.Helper()
	mysql := enginetest.URL(t, "MYSQL")
	name := own("soak_")
	createDatabase(t, mysql, name)
	u, err := url.Parse(mysql)
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	var file string
	if err := server.QueryRowContext(t.Context(), "SELECT @@pid_file").Scan(&file); err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(file) {
		var data string
		if err := server.QueryRowContext(t.Context(), "SELECT @@datadir").Scan(&data); err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(data, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &soakDatabase{t: t, url: strings.Replace(mysql, "root@", "root:@", 1) + name, host: u.Host}
	if d.pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	proc := fmt.Sprintf("/proc/%d", d.pid)
	line, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for arg := range bytes.SplitSeq(bytes.TrimRight(line, "\x00"), []byte{0}) {
		d.args = append(d.args, string(arg))
	}
	owner, err := os.Stat(proc)
	if err != nil {
		t.Fatal(err)
	}
	if stat := owner.Sys().(*syscall.Stat_t); int(stat.Uid) != os.Getuid() {
		d.user = &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
	}
	if d.folder, err = os.Readlink(proc + "/cwd"); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *soakDatabase) kill() {
	d.t.Helper()
	if err := syscall.Kill(d.pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	d.t.Log("MariaDB is killed")
}

// start starts it as it was started.
func (d *soakDatabase) start() {
	d.t.Helper()
	cmd := exec.Command(d.args[0], d.args[1:]...)
	cmd.Dir, cmd.SysProcAttr = d.folder, &syscall.SysProcAttr{Credential: d.user}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Log("MariaDB is started")
	d.t.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}
