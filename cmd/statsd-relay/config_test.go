package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"addons/server/enginetest"
	relay "addons/statsd-relay"
)

const example = "statsd-relay.example.yml"

func TestTheExampleNamesEverySettingAtItsDefault(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := relay.Load(example, bytes.NewReader(text), relay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Check(); err != nil {
		t.Error(err)
	}
	defaults, err := parse(t).config()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range loaded.Settings() {
		name := s.Path[strings.LastIndexByte(s.Path, '.')+1:]
		if !regexp.MustCompile(`(?m)^ *` + name + `:`).Match(text) {
			t.Errorf("%s has no %s", example, s.Path)
		}
		// What no flag has a default for is zero, and New fills it.
		if d := defaults.Settings()[i]; d != s && d.Value != "" && d.Value != "0" && d.Value != "0s" {
			t.Errorf("%s has %s: %s, the flag's default is %s", example, s.Path, s.Value, d.Value)
		}
	}
}

// write makes a configuration file.
func TestTheStatusPageKnowsTheFlagsDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := parse(t, "--statsd-udp=", "--statsd-tcp=", "--http=:1").config()
	if err != nil {
		t.Fatal(err)
	}
	r, err := relay.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	page := httptest.NewRecorder()
	r.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/", nil))
	if !strings.Contains(page.Body.String(), "the first 3, in bold, are not the defaults") {
		t.Errorf("of three settings that are not the defaults the page says\n%s", page.Body)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsGoBeforeTheFileAndTheFileBeforeDefaults(t *testing.T) {
	t.Setenv("RELAY_EXPIRE", "2h")
	file := write(t, "flush_interval: 5s\nexpire: 3h\nreaders: 3\ngraphite: {global_prefix: amo, legacy_namespace: false}")
	cfg, err := parse(t, "--config", file, "--flush=7s", "--prefix=").config()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Flush != 7*time.Second || cfg.Expire != 2*time.Hour || cfg.Readers != 3 || cfg.MaxSeries != 100_000 || !bool(cfg.Naming.Modern) || !cfg.Naming.NoPrefix || cfg.UDP != "127.0.0.1:8125" {
		t.Errorf("the configuration is %+v", cfg)
	}
}

func TestCheckConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	out, err := program("check-config", write(t, "flushInterval: 10s\nmax_series: x\n")).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || strings.Count(string(out), "\n") != 2 || !strings.Contains(string(out), "did you mean flush_interval?") {
		t.Errorf("it ended with %v and said %q", err, out)
	}
	out, err = program("check-config", write(t, "percent_threshold: 200\nudp: nowhere\n")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "percentile 200") || !strings.Contains(string(out), `udp "nowhere"`) {
		t.Errorf("it ended with %v and said %q", err, out)
	}
	out, err = program("check-config", write(t, "beacons: {timings: [search, Check Out]}\n")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `beacons.timings: timing "Check Out"`) {
		t.Errorf("it ended with %v and said %q", err, out)
	}
	file := write(t, "flush_interval: 5s\n")
	if out, err = program("check-config", file).CombinedOutput(); err != nil || string(out) != file+" is good\n  flush_interval: 5s\n" {
		t.Errorf("it ended with %v and said %q", err, out)
	}
	if _, err := program("--config", file+".not").CombinedOutput(); err == nil {
		t.Error("a file that is not there was taken")
	}
}

func TestHealthcheckAnswersByItsStatus(t *testing.T) {
	t.Parallel()
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sick" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer well.Close()
	for url, good := range map[string]bool{well.URL + "/": true, well.URL + "/sick": false, "http://127.0.0.1:1/": false, "::": false} {
		out, err := program("healthcheck", url).CombinedOutput()
		if (err == nil) != good || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %v, %q", url, err, out)
		}
	}
}

func TestSIGHUPReadsTheFileAgainAndSystemdIsTold(t *testing.T) {
	t.Parallel()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	manager.SetReadDeadline(time.Now().Add(20 * time.Second))
	hear := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		n, err := manager.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("systemd hears %q, %v, want %q", b[:n], err, want)
		}
	}
	file := write(t, "udp: 127.0.0.1:0\ntcp: ''\nhttp: 127.0.0.1:0\nmax_series: 5\n")
	cmd := program("--config", file)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+manager.LocalAddr().String())
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	_, page := addresses(t, log)
	hear("READY=1")
	limit := func() string {
		resp, err := http.Get(page + "metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return regexp.MustCompile(`(?m)^relay_series_limit \S+`).FindString(string(text))
	}
	for _, text := range []string{"max_series: 6\n", "max_series: x\n"} {
		if err := os.WriteFile(file, []byte("udp: 127.0.0.1:0\ntcp: ''\nhttp: 127.0.0.1:0\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Process.Signal(syscall.SIGHUP)
		hear("RELOADING=1")
		hear("READY=1")
		if got := limit(); got != "relay_series_limit 6" {
			t.Errorf("after %q: %s, want 6", text, got)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	hear("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestTheUnitIsGood(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("statsd-relay.service")
	if err != nil {
		t.Fatal(err)
	}
	help, err := program("--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^Exec(?:Start|StartPre)=/usr/local/bin/statsd-relay (.*)$`).FindAllStringSubmatch(string(unit), -1) {
		for word := range strings.FieldsSeq(line[1]) {
			if !strings.HasPrefix(word, "/") && !strings.Contains(string(help), word) {
				t.Errorf("the unit names %s, which the program does not have", word)
			}
		}
	}
}

func TestSystemdTakesTheUnits(t *testing.T) {
	verify := enginetest.URL(t, "SYSTEMD")
	dir := t.TempDir()
	for _, name := range []string{"statsd-relay.service", "statsd-relay.socket"} {
		unit, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// It wants the programs to be there: this one, and Debian's kill.
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.ReplaceAll(unit, []byte("/usr/local/bin/statsd-relay"), []byte(os.Args[0])), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(verify, "verify", "--man=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), "statsd-relay.") {
			t.Errorf("systemd-analyze verify %s: %v\n%s", name, err, out)
		}
	}
}
