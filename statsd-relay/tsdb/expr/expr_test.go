package expr_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/statsd-relay/tsdb/expr"
)

func TestParseFindsEverySelector(t *testing.T) {
	t.Parallel()
	got, err := expr.Parse(`sum by (route) (rate(requests_total{code=~"5..",route!=""}[5m])) / on () group_left () max({__name__="limit"}) > 0.1 unless absent(up)`)
	if err != nil {
		t.Fatal(err)
	}
	want := []expr.Selector{
		{Metric: "requests_total", Labels: []string{"code", "route"}, Rated: true},
		{Metric: "limit"},
		{Metric: "up"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMetricsAreSortedAndOnce(t *testing.T) {
	t.Parallel()
	got, err := expr.Metrics(`b / (a + b) or slo:sli_error:ratio_rate5m`)
	if diff := cmp.Diff([]string{"a", "b", "slo:sli_error:ratio_rate5m"}, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestParseSaysWhatIsNoPromQL(t *testing.T) {
	t.Parallel()
	if _, err := expr.Parse(`sum(`); err == nil || !strings.Contains(err.Error(), "sum(") {
		t.Errorf("error = %v, want one that names the expression", err)
	}
}
