package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"addons/server/enginetest"
)

// sum adds the points of a Graphite target's series since a moment.
func sum(t *testing.T, graphite, target string, since time.Time) float64 {
	t.Helper()
	query := url.Values{"target": {target}, "from": {fmt.Sprint(since.Unix())}, "until": {fmt.Sprint(time.Now().Add(time.Minute).Unix())}, "format": {"json"}, "noCache": {"1"}}
	resp, err := http.Get(graphite + "/render?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var series []struct {
		Datapoints [][2]*float64
	}
	if err := json.NewDecoder(resp.Body).Decode(&series); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	total := 0.0
	for _, s := range series {
		for _, p := range s.Datapoints {
			if p[0] != nil {
				total += *p[0]
			}
		}
	}
	return total
}

func TestGraphiteAndPrometheusHaveTheCountsThatWereSent(t *testing.T) {
	t.Parallel()
	carbon, graphite := enginetest.URL(t, "CARBON"), enginetest.URL(t, "GRAPHITE")
	site := fmt.Sprintf("relaytest%d", time.Now().UnixNano())
	since := time.Now().Add(-2 * time.Second)
	r, stop := start(t, Config{UDP: local, Graphite: Graphite{Addresses: []string{carbon}}, Flush: time.Second})
	// 30,000 lines over several flushes.
	sendAll(t, r, dialUDP(t, r), 2000, func(i int) []byte {
		if i%500 == 499 {
			<-time.After(700 * time.Millisecond)
		}
		return fmt.Appendf(nil, "%[1]s.c:1|c:2|c\n%[1]s.r:1|c|@0.1\n%[1]s.t:%[2]d|ms:5|ms\n%[1]s.c:1|c|#route:detail,code:200\n%[1]s.u:%[2]d|s\n%[1]s.g:+1|g\n"+
			"%[1]s.c:1|c\n%[1]s.c:1|c\n%[1]s.c:1|c\n%[1]s.c:1|c\n%[1]s.c:1|c\n%[1]s.c:1|c\n%[1]s.c:1|c", site, i)
	})
	name := mangle(site)
	expect(t, r, map[string]float64{name + "_c": 20_000, name + "_c{code=200,route=detail": 2000, name + "_r": 20_000, name + "_t": 4000, name + "_g": 2000, "relay_kernel_drops_total": 0})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]float64{
		"stats_counts." + site + ".c":                                   20_000,
		"stats_counts." + site + ".r":                                   20_000,
		"stats.timers." + site + ".t.count":                             4000,
		"stats.timers." + site + ".t.sum":                               1999*2000/2 + 5*2000,
		"stats.sets." + site + ".u.count":                               2000,
		"seriesByTag('name=stats_counts." + site + ".c','code=200')":    2000,
		"maxSeries(removeBelowValue(stats.gauges." + site + ".g,2000))": 2000,
	} {
		var got float64
		eventually(t, target, func() bool { got = sum(t, graphite, target, since); return got >= want })
		if got != want {
			t.Errorf("%s = %v in Graphite, want %v", target, got, want)
		}
	}
}
