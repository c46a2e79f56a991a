package alerts_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"addons/alerts"
	"addons/dashboards/console"
	"addons/statsd-relay/prom"
)

// answering is a Prometheus whose /api/v1/rules is body.
func answering(status int, body string) *prom.Client {
	return prom.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
}

func get(t *testing.T, client *prom.Client, path string) (int, string) {
	t.Helper()
	nav := []console.Link{{Name: "Alerts", Path: "/alerts/"}}
	w := httptest.NewRecorder()
	alerts.New(client, console.New("/alerts/", nav)).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

const firing = `{"status":"success","data":{"groups":[{"name":"monitoring","file":"addons.rules.yml","interval":15,"rules":[
{"type":"alerting","name":"InstanceDown","query":"up == 0","duration":120,"state":"firing","health":"ok",
 "labels":{"severity":"critical"},"annotations":{"impact":"It is probably down."},
 "alerts":[{"activeAt":"2026-01-02T03:04:05Z","state":"firing","value":"0e+00","labels":{"alertname":"InstanceDown","severity":"critical","instance":"<a>:8001"},
  "annotations":{"summary":"addons at <a>:8001 does not answer.","dashboard_url":"http://c/dashboards/overview"}}]},
{"type":"alerting","name":"Watchdog","query":"vector(1)","duration":0,"state":"firing","health":"ok","labels":{"severity":"none"},"annotations":{},
 "alerts":[{"activeAt":"2026-01-02T03:04:05Z","state":"firing","value":"1e+00","labels":{"alertname":"Watchdog"},"annotations":{"summary":"This alert always fires."}}]},
{"type":"recording","name":"a:b","query":"sum(up)","health":"ok"}]}]}}`

func TestThePageShowsWhatFiresWithItsRunbookAndDashboard(t *testing.T) {
	t.Parallel()
	status, body := get(t, answering(200, firing), "/alerts/")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, want := range []string{
		"addons at &lt;a&gt;:8001 does not answer.", "instance=&lt;a&gt;:8001", `href="/alerts/runbooks/InstanceDown"`,
		`href="http://c/dashboards/overview"`, `datetime="2026-01-02T03:04:05Z"`, "1 recording rules", `aria-current="page"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(body, "This alert always fires.") {
		t.Error("the Watchdog is shown among what fires")
	}
}

func TestThePageSaysWhenNothingFires(t *testing.T) {
	t.Parallel()
	_, body := get(t, answering(200, `{"status":"success","data":{"groups":[]}}`), "/alerts/")
	if !strings.Contains(body, "Nothing fires") {
		t.Errorf("page = %s", body)
	}
}

func TestThePageSaysWhenPrometheusDoesNotAnswer(t *testing.T) {
	t.Parallel()
	status, body := get(t, answering(503, "going down"), "/alerts/")
	if status != http.StatusBadGateway || !strings.Contains(body, "could not be read") {
		t.Errorf("status %d, page %s", status, body)
	}
}

func TestARunbookIsAPage(t *testing.T) {
	t.Parallel()
	status, body := get(t, answering(200, ""), "/alerts/runbooks/InstanceDown")
	if status != http.StatusOK || !strings.Contains(body, "<h1") || !strings.Contains(body, "<ol>") {
		t.Errorf("status %d, page %s", status, body)
	}
	for _, name := range []string{"Nothing", "..%2Falerts", "%2e%2e"} {
		if status, _ := get(t, answering(200, ""), "/alerts/runbooks/"+name); status != http.StatusNotFound {
			t.Errorf("runbook %s: status %d, want 404", name, status)
		}
	}
}
