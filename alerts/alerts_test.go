package alerts_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"addons/alerts"
	"addons/server/enginetest"
	"addons/statsd-relay/tsdb/expr"
)

// ruleFile is a *.rules.yml.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []alert
	}
}

type alert struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// rules are all alerting and recording rules shipped.
func rules(t *testing.T) []alert {
	t.Helper()
	names, err := fs.Glob(alerts.Rules(), "*.rules.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("rule files: %v, %v", names, err)
	}
	var all []alert
	for _, name := range names {
		text, err := fs.ReadFile(alerts.Rules(), name)
		if err != nil {
			t.Fatal(err)
		}
		var f ruleFile
		if err := yaml.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range f.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

func TestEveryAlertSaysWhatItMeansAndWhatToDo(t *testing.T) {
	t.Parallel()
	var names []string
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		names = append(names, r.Alert)
		if !slices.Contains([]string{"critical", "warning", "info", "none"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		for _, l := range []string{"service", "component"} {
			if r.Labels[l] == "" {
				t.Errorf("%s: no label %s", r.Alert, l)
			}
		}
		for _, a := range []string{"summary", "description", "impact", "runbook_url", "dashboard_url"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s: no annotation %s", r.Alert, a)
			}
		}
		if got, want := r.Annotations["runbook_url"], "{{ $externalLabels.console }}/alerts/runbooks/"+r.Alert; got != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, got, want)
		}
		if text, err := alerts.Runbook(r.Alert); err != nil || !strings.HasPrefix(string(text), "# "+r.Alert+"\n") {
			t.Errorf("%s: its runbook: %v, %.40q", r.Alert, err, text)
		}
	}
	for _, name := range alerts.Runbooks() {
		if !slices.Contains(names, name) {
			t.Errorf("runbooks/%s.md is of no alert", name)
		}
	}
}

var dashboardPath = regexp.MustCompile(`/dashboards/([a-z-]+)`)

func TestEveryDashboardThatAnAlertLinksToExists(t *testing.T) {
	t.Parallel()
	for _, r := range rules(t) {
		if m := dashboardPath.FindStringSubmatch(r.Annotations["dashboard_url"]); m != nil {
			if _, err := os.Stat("../dashboards/" + m[1] + ".json"); err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
		}
	}
}

func TestEveryRecordingIsUsedAndEveryOneUsedIsRecorded(t *testing.T) {
	t.Parallel()
	recorded, used := map[string]bool{}, map[string]bool{}
	for _, r := range rules(t) {
		if r.Record != "" {
			recorded[r.Record] = true
		}
		metrics, err := expr.Metrics(r.Expr)
		if err != nil {
			t.Errorf("%s%s: %v", r.Alert, r.Record, err)
		}
		for _, m := range metrics {
			if strings.Contains(m, ":") {
				used[m] = true
			}
		}
	}
	for name := range used {
		if !recorded[name] {
			t.Errorf("%s is used and not recorded", name)
		}
	}
	for name := range recorded {
		if !used[name] {
			t.Errorf("%s is recorded and not used", name)
		}
	}
}

// unitTest is a promtool test file.
type unitTest struct {
	Tests []struct {
		Alerts []struct {
			Alertname string
			Expected  []any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func TestEveryAlertIsTestedFiringAndSilent(t *testing.T) {
	t.Parallel()
	firing, silent := map[string]bool{"Watchdog": true}, map[string]bool{"Watchdog": true}
	for _, path := range unitTests(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var u unitTest
		if err := yaml.Unmarshal(text, &u); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, test := range u.Tests {
			for _, a := range test.Alerts {
				firing[a.Alertname] = firing[a.Alertname] || len(a.Expected) > 0
				silent[a.Alertname] = silent[a.Alertname] || len(a.Expected) == 0
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && !(firing[r.Alert] && silent[r.Alert]) {
			t.Errorf("%s is tested firing: %t, silent: %t", r.Alert, firing[r.Alert], silent[r.Alert])
		}
	}
}

func unitTests(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("tests/*.test.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("unit tests: %v, %v", paths, err)
	}
	return paths
}

func TestPromtoolAcceptsTheRulesAndTheirTestsPass(t *testing.T) {
	t.Parallel()
	promtool := enginetest.URL(t, "PROMTOOL")
	files, err := filepath.Glob("*.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	run(t, promtool, append([]string{"check", "rules"}, files...)...)
	run(t, promtool, append([]string{"test", "rules"}, unitTests(t)...)...)
}

func TestAmtoolAcceptsTheConfigurationAndRoutesAsMeant(t *testing.T) {
	t.Parallel()
	amtool := enginetest.URL(t, "AMTOOL")
	run(t, amtool, "check-config", "alertmanager.yml")
	for want, labels := range map[string][]string{
		"team":      {"alertname=SiteErrorBudgetBurn", "severity=critical"},
		"heartbeat": {"alertname=Watchdog", "severity=none"},
		"nobody":    {"alertname=MetricLimitReached", "severity=info"},
	} {
		got := strings.TrimSpace(run(t, amtool, append([]string{"config", "routes", "test", "--config.file=alertmanager.yml"}, labels...)...))
		if got != want {
			t.Errorf("%v go to %q, want %q", labels, got, want)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errors strings.Builder
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s %v: %v\n%s%s", name, args, err, out, errors.String())
	}
	return string(out)
}
