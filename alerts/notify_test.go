package alerts_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"addons/alerts"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/statsd-relay/prom"
)

var silent = slog.New(slog.DiscardHandler)

func down(instance string, ends time.Time) *model.Alert {
	return &model.Alert{
		Labels:      model.LabelSet{"alertname": "InstanceDown", "severity": "critical", "instance": model.LabelValue(instance)},
		Annotations: model.LabelSet{"summary": "down"}, StartsAt: time.Now().Add(-time.Minute), EndsAt: ends,
	}
}

// running starts a notifier for the length of the test.
func running(t *testing.T, n *alerts.Notifier, err error) *alerts.Notifier {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestAWebhookGetsAlertmanagersFormat(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]any, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m map[string]any
		json.NewDecoder(r.Body).Decode(&m)
		got <- m
	}))
	defer server.Close()
	n, err := alerts.NewWebhook(server.URL, "http://console", metrics.New(nil), silent)
	running(t, n, err).Notify([]*model.Alert{down("a", time.Now().Add(time.Hour)), down("b", time.Now().Add(-time.Second))})
	m := <-got
	both := m["alerts"].([]any)
	if m["version"] != "4" || m["status"] != "firing" || len(both) != 2 || both[1].(map[string]any)["status"] != "resolved" {
		t.Errorf("message = %v", m)
	}
	if common := m["commonLabels"].(map[string]any); common["severity"] != "critical" || common["instance"] != nil {
		t.Errorf("common labels = %v", common)
	}
}

func TestAReceiverThatIsDownBlocksNobody(t *testing.T) {
	t.Parallel()
	n, err := alerts.NewWebhook("http://127.0.0.1:1/secret", "", metrics.New(nil), silent)
	running(t, n, err)
	for range 10_000 {
		n.Notify([]*model.Alert{down("a", time.Time{})})
	}
}

func TestANotifierRefusesWhatIsNoURLAndDoesNotRepeatIt(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "host:1/secret", "ftp://host/secret"} {
		if _, err := alerts.NewWebhook(u, "", metrics.New(nil), silent); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("NewWebhook(%q): error %v", u, err)
		}
	}
}

func TestARealAlertmanagerTakesOurAlerts(t *testing.T) {
	t.Parallel()
	base := enginetest.URL(t, "ALERTMANAGER")
	n, err := alerts.NewAlertmanager(base, metrics.New(nil), silent)
	instance := "test-" + strings.ReplaceAll(time.Now().Format("150405.000000000"), ".", "")
	running(t, n, err).Notify([]*model.Alert{down(instance, time.Now().Add(time.Minute))})
	eventually(t, func() bool {
		answer, err := http.Get(base + "/api/v2/alerts?filter=instance%3D" + instance)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var found []any
		return json.NewDecoder(answer.Body).Decode(&found) == nil && len(found) == 1
	})
}

func TestARealPrometheusAnswersTheAlertsPage(t *testing.T) {
	t.Parallel()
	client, err := prom.Dial(enginetest.URL(t, "PROMETHEUS"))
	if err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, client, "/alerts/"); status != http.StatusOK {
		t.Errorf("status %d: %s", status, body)
	}
}

// eventually asks a process of its own, which sends no event, until it agrees.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Error("it did not happen within ten seconds")
}
