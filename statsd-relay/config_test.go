package relay

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAFileGivesEverySetting(t *testing.T) {
	t.Parallel()
	cfg, err := Load("relay.yml", strings.NewReader(`
udp: ":8125"
flush_interval: 1m
percent_threshold: [50, 99.9]
histogram: [{metric: render, bins: [0.01, 10, inf]}]
receive_buffer: 8MiB
delete_counters: false
graphite: {address: "g:2003", legacy_namespace: false, global_prefix: "", prefix_timer: times, backlog: 1 GiB, spool: {limit: 2GiB}}
beacons: {pages: [home, search]}
`), Config{TCP: "kept:1", MaxSeries: 5})
	if err != nil {
		t.Fatal(err)
	}
	no := false
	want := Config{UDP: ":8125", TCP: "kept:1", MaxSeries: 5, Flush: time.Minute, Percentiles: []float64{50, 99.9},
		Histogram: []HistogramRule{{"render", Bins{.01, 10, math.Inf(1)}}}, ReceiveBuffer: 8 << 20, DeleteCounters: &no,
		Graphite: Graphite{Addresses: []string{"g:2003"}, Memory: 1 << 30, Spool: Spool{Limit: 2 << 30}}, Naming: Naming{Modern: true, NoPrefix: true, Timer: "times"}, Beacons: Beacons{Pages: []string{"home", "search"}}}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	if one, err := Load("", strings.NewReader("percent_threshold: 95"), Config{}); err != nil || len(one.Percentiles) != 1 {
		t.Errorf("one percentile is %v, %v", one.Percentiles, err)
	}
}

func TestAllFaultsOfAFileAreNamedWithTheirLines(t *testing.T) {
	t.Parallel()
	base := Config{Flush: time.Second}
	cfg, err := Load("relay.yml", strings.NewReader(`flushInterval: 10s
flush_interval: 10
graphite:
  adress: a:1
  backlog: 64Mib
  backlog: 1
max_series: many
xyzzy: 1
graphit: {}
udp:
delete_gauges: perhaps
histogram: [{metric: a, bins: [2, 1]}, {metrik: b}]
`), base)
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{
		`relay.yml:1: unknown key "flushInterval": did you mean flush_interval?`,
		`relay.yml:2: flush_interval: "10" is not a time`,
		`relay.yml:4: unknown key "graphite.adress": did you mean graphite.address`,
		`relay.yml:5: graphite.backlog: "64Mib" is not a size`,
		`relay.yml:6: graphite.backlog is there twice`,
		`relay.yml:7: max_series: "many" is not a whole number`,
		`relay.yml:8: unknown key "xyzzy": the file has udp, tcp`,
		`relay.yml:9: unknown key "graphit"`,
		`relay.yml:10: udp has no value`,
		`relay.yml:11: delete_gauges: "perhaps" is not true or false`,
		`relay.yml:12: histogram: bins: bin "1"`,
		`relay.yml:12: histogram: unknown key "metrik": did you mean metric?`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 12 {
		t.Errorf("%d faults, want 12:\n%v", n, err)
	}
	if cfg.Flush != time.Second {
		t.Errorf("a value that is wrong was taken: %v", cfg.Flush)
	}
}

func TestNoFileHarmsTheLoader(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing", "- a", "a: [", "\x00", "graphite: &a {graphite: *a}", "graphite: a", "udp: {a: b}", "---\nudp: a\n---\nudp: b", "[]: 1",
		strings.Repeat("#", maxFile+1), "percent_threshold: &a [*a]"} {
		cfg, err := Load("f", strings.NewReader(text), Config{})
		if harmless := text == "" || text[0] == '#' && len(text) < maxFile; harmless != (err == nil) {
			t.Errorf("%.30q: %v", text, err)
		}
		cfg.Settings()
	}
}
