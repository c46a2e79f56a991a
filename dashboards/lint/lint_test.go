package lint_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"addons/dashboards"
	"addons/dashboards/lint"
)

func TestTheDashboardsShippedAreSound(t *testing.T) {
	t.Parallel()
	report, err := lint.Check(dashboards.Files())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
	if !slices.Contains(report.Metrics, "http_server_request_duration_seconds_bucket") {
		t.Errorf("metrics = %v, want the request histogram among them", report.Metrics)
	}
}

const good = `{"uid":"a","title":"A","description":"d","tags":["t"],"schemaVersion":41,
"templating":{"list":[{"name":"datasource","type":"datasource"}]},"panels":[
{"id":1,"type":"timeseries","title":"P","description":"d","gridPos":{"x":0,"y":0,"w":12,"h":8},"datasource":{"uid":"${datasource}"},
"fieldConfig":{"defaults":{"unit":"s"},"overrides":[]},
"targets":[{"refId":"A","expr":"rate(a_total[$__rate_interval])","legendFormat":"a","datasource":{"uid":"${datasource}"}}]}]}`

func TestTheLinterFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	second := `},{"id":1,"type":"stat","title":"Q","description":"d","gridPos":{"x":11,"y":7,"w":14,"h":8},"datasource":{"uid":"${datasource}"},"fieldConfig":{"defaults":{"unit":"s"}},"targets":[]}]}`
	cases := []struct{ name, old, new, want string }{
		{"nothing", "", "", ""},
		{"another uid", `"uid":"a"`, `"uid":"b"`, "not the file's name"},
		{"editable", `"tags"`, `"editable":true,"tags"`, "editable"},
		{"v2 schema", "41", "43", "classic"},
		{"no data source variable", `{"name":"datasource","type":"datasource"}`, ``, "no variable datasource"},
		{"a fixed data source", `"datasource":{"uid":"${datasource}"}}]`, `"datasource":{"uid":"prom1"}}]`, "want ${datasource}"},
		{"a panel that only Grafana draws", "timeseries", "nodeGraph", "not drawn"},
		{"no unit", `"unit":"s"`, `"unit":""`, "unit"},
		{"no description", `"title":"P","description":"d"`, `"title":"P"`, "no description"},
		{"no PromQL", "rate(a_total[$__rate_interval])", "rate(a_total[$__rate_interval]", "parse error"},
		{"a fixed range", "$__rate_interval", "5m", "fixed range"},
		{"an unknown variable", "a_total[", `a_total{x=\"$x\"}[`, "not declared"},
		{"a counter without rate", "rate(a_total[$__rate_interval])", "sum(a_total)", "without rate"},
		{"no legend", `"legendFormat":"a",`, ``, "no legend"},
		{"an override for Grafana alone", `"overrides":[]`, `"overrides":[{"matcher":{"id":"byRegexp","options":"x"},"properties":[{"id":"custom.lineWidth","value":2}]}]`, "byRegexp"},
		{"panels upon each other", "}]}", second, "lies upon"},
		{"an id twice", "}]}", second, "is taken"},
		{"a panel off the grid", "}]}", second, "off the grid"},
		{"a query that cannot be a variable", `"type":"datasource"}`, `"type":"datasource"},{"name":"x","type":"query","definition":"query_result(up)"}`, "label_values"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := good
			if c.old != "" {
				i := strings.LastIndex(good, c.old)
				text = good[:i] + c.new + good[i+len(c.old):]
			}
			report, err := lint.Check(fstest.MapFS{"a.json": {Data: []byte(text)}})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(report.Problems, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("problems = %q, want %q among them", got, c.want)
			}
		})
	}
}
