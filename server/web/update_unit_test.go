package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/fault"
	"addons/server/metrics"
	"addons/server/update"
)

func TestAStaleUpdateCheckIsNotKeptForAnHour(t *testing.T) {
	t.Parallel()
	for _, outcome := range update.Outcomes() {
		want := "public, max-age=3600, stale-while-revalidate=3600, stale-if-error=86400"
		if outcome == update.Stale {
			want = "public, max-age=60, stale-while-revalidate=60, stale-if-error=86400"
		}
		if got := keepFor(update.Response{Outcome: outcome})[0]; got != want {
			t.Errorf("%s may be kept %s, want %s", outcome, got, want)
		}
	}
}

// TestAPanicOnTheHotPathIsAnsweredAndCounted: without a Service there is nothing to ask.
func TestAPanicOnTheHotPathIsAnsweredAndCounted(t *testing.T) {
	t.Parallel()
	reg := metrics.New(nil)
	log := slog.New(slog.DiscardHandler)
	faults, err := fault.New("", "", reg, log)
	if err != nil {
		t.Fatal(err)
	}
	w := &Web{Config: Config{Registry: reg, Faults: faults, Log: log}, meter: newMeter(reg)}
	w.engine()
	rw := httptest.NewRecorder()
	w.hot(http.NotFoundHandler()).ServeHTTP(rw, httptest.NewRequest(http.MethodGet, versionCheckPath+"?id=a@b&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=1", nil))
	if rw.Code != 500 || !strings.Contains(rw.Body.String(), "Internal server error.") || rw.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", rw.Code, rw.Header(), rw.Body)
	}
	want := `# HELP addons_panics_total Panics recovered, by where they happened (route or task).
# TYPE addons_panics_total counter
addons_panics_total{where="/update/VersionCheck.php"} 1
# HELP http_server_active_requests Requests being answered now.
# TYPE http_server_active_requests gauge
http_server_active_requests 0
`
	if err := testutil.GatherAndCompare(reg.Prometheus(), strings.NewReader(want), "addons_panics_total", "http_server_active_requests"); err != nil {
		t.Error(err)
	}
	if n := w.meter.response(500).Value(); n != 1 {
		t.Errorf("%v answers of 500", n)
	}
}
