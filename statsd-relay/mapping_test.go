package relay

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"addons/server/enginetest"
)

// exporterVersion is that of our pkg/mapper.
const exporterVersion = "v0.31.0"

// TestMappingsGiveTheSeriesOfStatsdExporter gives the same mapping file and lines
// to the real one. What may differ, and nothing else: a timer that is not called
// a summary is a histogram, of a summary the quantiles' values, and of a set we
// have a gauge.
func TestMappingsGiveTheSeriesOfStatsdExporter(t *testing.T) {
	t.Parallel()
	binary := enginetest.URL(t, "STATSD_EXPORTER")
	if info, err := buildinfo.ReadFile(binary); err != nil || info.Main.Version != exporterVersion {
		t.Fatalf("%s is %v (%v), want %s: run .ci/install", binary, info.Main.Version, err, exporterVersion)
	}
	files, err := filepath.Glob("testdata/mapping/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			sent, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			mapping := strings.TrimSuffix(file, ".txt") + ".yml"
			if _, err := os.Stat(mapping); err != nil {
				mapping = ""
			}
			want := statsdExporter(t, binary, mapping, string(sent))
			r := lines(t, Config{Prometheus: Prometheus{Mapping: mapping}}, string(sent)+"the.end:1|c\n")
			body, resp := get(t, r, "/metrics", "text/plain")
			compareSeries(t, want, statsdSeries(prometheusReads(t, body, resp.Header.Get("Content-Type"))))
		})
	}
}

// statsdExporter returns the series that the real one makes of the lines.
func statsdExporter(t *testing.T, binary, mapping, lines string) map[string]float64 {
	t.Helper()
	web, statsd := freeAddress(t), freeAddress(t)
	cmd := exec.CommandContext(t.Context(), binary, "--web.listen-address="+web, "--statsd.listen-tcp="+statsd, "--statsd.listen-udp=", "--statsd.event-flush-interval=5ms", "--statsd.mapping-config="+mapping)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	}()
	var conn net.Conn
	eventually(t, "statsd_exporter to listen", func() (ok bool) {
		var err error
		conn, err = net.Dial("tcp", statsd)
		return err == nil
	})
	defer conn.Close()
	send(t, conn, "%sthe.end:1|c\n", lines)
	var series map[string]float64
	eventually(t, "statsd_exporter to show the last line", func() bool {
		resp, err := http.Get("http://" + web + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return false
		}
		series = statsdSeries(prometheusReads(t, string(body), resp.Header.Get("Content-Type")))
		return series[`{__name__="the_end"}`] == 1
	})
	return series
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// statsdSeries leaves out what a program says of itself.
func statsdSeries(all map[string]float64) map[string]float64 {
	for series := range all {
		for _, own := range []string{"relay_", "addons_", "go_", "process_", "promhttp_", "statsd_exporter_", "statsd_metric_mapper_"} {
			if strings.HasPrefix(series, `{__name__="`+own) {
				delete(all, series)
			}
		}
	}
	return all
}

// compareSeries compares the series of two pages.
func compareSeries(t *testing.T, want, got map[string]float64) {
	t.Helper()
	for series, w := range want {
		g, ok := got[series]
		switch quantile := strings.Contains(series, `quantile="`); {
		case !ok && quantile && hasBuckets(got, series):
		case !ok:
			t.Errorf("%s is missing, want %v", series, w)
		case !quantile && math.Abs(g-w) > 1e-12*math.Abs(w):
			t.Errorf("%s = %v, want %v", series, g, w)
		}
	}
	for series, g := range got {
		if _, ok := want[series]; !ok && !(strings.Contains(series, `le="`) && !hasBuckets(want, strings.Replace(series, `_bucket"`, `"`, 1))) {
			t.Errorf("%s = %v, which it should not have", series, g)
		}
	}
}

// hasBuckets is whether the family of a sample that is named as it has buckets.
func hasBuckets(all map[string]float64, sample string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(sample, `{__name__="`), `"`)
	for series := range all {
		if strings.HasPrefix(series, fmt.Sprintf(`{__name__="%s_bucket"`, name)) {
			return true
		}
	}
	return false
}
