//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// peer is a statsd server that can be measured.
type peer struct {
	name    string
	version string
	// install builds or downloads it, below the cache folder unless it is there,
	// and returns the path to start.
	install func(ctx context.Context, cache string) (string, error)
	command func(path string, s setup) (*exec.Cmd, error)
	scraped bool // what it has is read at /metrics; else it sends to carbon
}

// setup is what a peer is started with.
type setup struct {
	dir       string // its own, for configuration
	udp, http string // where to listen
	carbon    string // where to send
	flush     time.Duration
	quantiles []float64 // percentiles; nil is the peer's default
}

// receiveBuffer is what the kernel may hold for each socket of each peer, in
// bytes: at a million lines a second about a tenth of a second.
const receiveBuffer = 4 << 20

// peers are all of them, ours first. brubeck has no module and no package; its
// figures, measured before, are in references.
func peers() []peer {
	return []peer{
		{name: "statsd-relay", version: "this checkout", install: buildOurs, command: ours},
		{name: "statsd_exporter", version: "v0.31.0", install: goBuild("github.com/prometheus/statsd_exporter", "v0.31.0", "."), command: exporter, scraped: true},
		// Behind 41.1.5; its tags are no module versions, for the module's path has no /v41.
		{name: "gostatsd", version: "e5cc67e", install: goBuild("github.com/atlassian/gostatsd", "v0.0.0-20260617134838-e5cc67e82525", "./cmd/gostatsd"), command: gostatsd},
		{name: "statsd", version: "npm 0.9.0", install: npmStatsd, command: statsd},
	}
}

// buildOurs builds the relay of the checkout that the bench is run in, as its image has it.
func buildOurs(ctx context.Context, cache string) (string, error) {
	path := filepath.Join(cache, "statsd-relay")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/statsd-relay")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return path, output(build)
}

func ours(path string, s setup) (*exec.Cmd, error) {
	return exec.Command(path, "--statsd-udp="+s.udp, "--statsd-tcp=", "--http="+s.http, "--graphite="+s.carbon,
		"--flush="+s.flush.String(), "--percentile="+strings.Join(s.percentiles("90"), ","), "--max-series=1000000",
		// The kernel doubles what is asked for, but not rmem_default.
		"--receive-buffer="+strconv.Itoa(receiveBuffer/2)), nil
}

// percentiles are the quantiles as text.
func (s setup) percentiles(otherwise string) []string {
	if s.quantiles == nil {
		return []string{otherwise}
	}
	var all []string
	for _, q := range s.quantiles {
		all = append(all, strconv.FormatFloat(q, 'f', -1, 64))
	}
	return all
}

// goBuild builds a command of a module by its version, inside of the module as it
// was downloaded. Unlike go install it asks the proxy for nothing but that version,
// and its dependencies are checked by the go.sum that came with it.
func goBuild(module, version, command string) func(ctx context.Context, cache string) (string, error) {
	return func(ctx context.Context, cache string) (string, error) {
		path := filepath.Join(cache, filepath.Base(module)+"-"+version)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version).Output()
		var download struct{ Dir, Error string }
		if decoded := json.Unmarshal(out, &download); err != nil || decoded != nil {
			return "", fmt.Errorf("go mod download %s@%s: %w %s", module, version, errors.Join(err, decoded), download.Error)
		}
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, command)
		cmd.Dir = download.Dir
		return path, output(cmd)
	}
}

// output runs cmd; the error has the last of what it said.
func output(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, lastLine(out))
	}
	return nil
}

// lastLine is where programs say why they end.
func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// exporter's summary has the quantiles and errors of its documentation by default.
func exporter(path string, s setup) (*exec.Cmd, error) {
	args := []string{"--statsd.listen-udp=" + s.udp, "--statsd.listen-tcp=", "--web.listen-address=" + s.http, "--log.level=error"}
	if s.quantiles != nil {
		mapping := "defaults:\n  observer_type: summary\n  summary_options:\n    quantiles:\n"
		for _, q := range s.quantiles {
			q /= 100
			mapping += fmt.Sprintf("    - {quantile: %v, error: %.4f}\n", q, (1-q)/10)
		}
		file := filepath.Join(s.dir, "mapping.yml")
		if err := os.WriteFile(file, []byte(mapping), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "--statsd.mapping-config="+file)
	}
	return exec.Command(path, args...), nil
}

func gostatsd(path string, s setup) (*exec.Cmd, error) {
	file := filepath.Join(s.dir, "gostatsd.toml")
	config := fmt.Sprintf("[graphite]\naddress = %q\nmode = \"legacy\"\n", s.carbon)
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return exec.Command(path, "--config-path="+file, "--backends=graphite", "--metrics-addr="+s.udp,
		"--flush-interval="+s.flush.String(), "--percent-threshold="+strings.Join(s.percentiles("90"), " ")), nil
}

// npmStatsd finds the package where .ci/install has put it, and puts it there.
func npmStatsd(ctx context.Context, _ string) (string, error) {
	if path := os.Getenv("ADDONS_TEST_STATSD"); path != "" {
		return path, nil
	}
	out, err := exec.CommandContext(ctx, ".ci/statsd/install").Output()
	if err != nil {
		return "", fmt.Errorf(".ci/statsd/install: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func statsd(path string, s setup) (*exec.Cmd, error) {
	host, port := split(s.udp)
	_, management := split(s.http)
	graphite, graphitePort := split(s.carbon)
	thresholds := s.quantiles
	if thresholds == nil {
		thresholds = []float64{90}
	}
	config, err := json.Marshal(map[string]any{
		"address": host, "port": port, "mgmt_address": host, "mgmt_port": management,
		"graphiteHost": graphite, "graphitePort": graphitePort, "backends": []string{"./backends/graphite"},
		"flushInterval": s.flush.Milliseconds(), "percentThreshold": thresholds,
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "config.js")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		return nil, err
	}
	return exec.Command(path, file), nil
}

// split is an address's host and port; addresses here are freePorts'.
func split(address string) (host string, port int) {
	host, p, _ := strings.Cut(address, ":")
	port, _ = strconv.Atoi(p)
	return host, port
}
