package web_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"addons/server/metrics"
	"addons/server/web"
)

// follow lets the update checks be answered from memory, from when it returns on.
func (p *platform) follow(guids ...string) {
	p.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.config.Update.Run(ctx)
	}()
	p.t.Cleanup(func() { stop(); <-done })
	deadline := time.Now().Add(10 * time.Second)
	for _, guid := range guids {
		for _, query, _ := strings.Cut(ask(guid), "?"); ; p.config.Update.Check(ctx, query, 0) {
			if _, ok := p.config.Update.Quick(query, metrics.Now()); ok {
				break
			}
			if time.Now().After(deadline) {
				p.t.Fatalf("%s is not in memory", guid)
			}
		}
	}
}

// tells returns when the add-on's answer may be kept as said: a change has been taken in.
func (p *platform) tells(guid, control string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := p.get(ask(guid)).Header.Get("Cache-Control")
		if got == control {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("answers for %s may be kept %s, want %s", guid, got, control)
		}
	}
}

// counts are how often each series of what all requests are measured by was observed.
func (p *platform) counts() map[string]float64 {
	p.t.Helper()
	families, err := p.reg.Prometheus().Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "http_server_") && f.GetName() != "addons_http_responses_total" && f.GetName() != "addons_db_queries_per_request" &&
			!strings.HasPrefix(f.GetName(), "addons_update_check") {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()) + m.GetGauge().GetValue()
			if strings.HasSuffix(f.GetName(), "_bytes") {
				n += 1e6 * m.GetHistogram().GetSampleSum()
			}
			if n != 0 {
				all[f.GetName()+" "+strings.Join(labels, " ")] = n
			}
		}
	}
	return all
}

// TestTheHotPathIsMeasuredAsTheLongWay: the same requests, the same numbers, the same
// answers.
func TestTheHotPathIsMeasuredAsTheLongWay(t *testing.T) {
	t.Parallel()
	type answered struct {
		status                     int
		body, etag, control, kind_ string
	}
	run := func(follow bool) (map[string]float64, []answered) {
		p := start(t, catalogue())
		etag := p.get(ask("night@addons.example")).Header.Get("ETag")
		p.get(ask("nobody@addons.example"))
		if follow {
			p.follow("night@addons.example", "nobody@addons.example")
		}
		before := p.counts()
		var all []answered
		for _, r := range []*http.Response{
			p.get(ask("night@addons.example")),
			p.get(ask("night@addons.example"), "If-None-Match", etag),
			p.get(ask("night@addons.example"), "If-None-Match", `"other"`),
			p.get(ask("nobody@addons.example")),
			p.do(http.MethodHead, ask("night@addons.example"), nil),
			p.do(http.MethodPost, ask("night@addons.example"), nil),
			p.get("/update/VersionCheck.php?id=x"),
			p.get(strings.Replace(ask("night@addons.example"), "compatMode=normal", "compatMode=ignore", 1)),
		} {
			if !regexp.MustCompile(`^app;dur=\d+\.\d{3}.*, trace;desc="[0-9a-f]{32}"$`).MatchString(r.Header.Get("Server-Timing")) ||
				r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Strict-Transport-Security") == "" {
				t.Errorf("headers %v", r.Header)
			}
			all = append(all, answered{r.StatusCode, text(t, r), r.Header.Get("ETag"), r.Header.Get("Cache-Control"), r.Header.Get("Content-Type")})
		}
		after := p.counts()
		maps.DeleteFunc(after, func(series string, n float64) bool { return n == before[series] })
		for series := range after {
			after[series] -= before[series]
		}
		return after, all
	}
	longWay, long := run(false)
	hotWay, hot := run(true)
	if d := cmp.Diff(longWay, hotWay); d != "" || len(hotWay) < 10 {
		t.Errorf("measured:\n%s", d)
	}
	if d := cmp.Diff(long, hot, cmp.AllowUnexported(answered{})); d != "" {
		t.Errorf("answered:\n%s", d)
	}
}

func TestTheHotPathContinuesATrace(t *testing.T) {
	t.Parallel()
	p := start(t, catalogue())
	p.follow("night@addons.example")
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	if timing := p.get(ask("night@addons.example"), "traceparent", "00-"+trace+"-00f067aa0ba902b7-01").Header.Get("Server-Timing"); !strings.Contains(timing, trace) {
		t.Errorf("Server-Timing %s lacks %s", timing, trace)
	}
	families, err := p.reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "http_server_request_duration_seconds" && !hasExemplar(f) {
			t.Errorf("%v has no exemplar", f)
		}
	}
}

func hasExemplar(f *dto.MetricFamily) bool {
	for _, m := range f.Metric {
		for _, b := range m.Histogram.Bucket {
			if b.Exemplar != nil {
				return true
			}
		}
	}
	return false
}

func BenchmarkHotPath(b *testing.B) {
	p := start(b, catalogue()[:1], func(*web.Config) {})
	p.follow("night@addons.example")
	r := httptest.NewRequest(http.MethodGet, ask("night@addons.example"), nil)
	b.ReportAllocs()
	rw := &sink{header: http.Header{}}
	for b.Loop() {
		clear(rw.header)
		p.handler.ServeHTTP(rw, r)
	}
	if rw.n == 0 {
		b.Error("no answer")
	}
}

// sink is a ResponseWriter that costs nothing.
type sink struct {
	header http.Header
	n      int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(b []byte) (int, error) { s.n += len(b); return len(b), nil }
