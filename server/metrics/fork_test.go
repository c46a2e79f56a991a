package metrics_test

import (
	"context"
	"testing"
	"time"

	"addons/server/metrics"
)

func TestAPartOfARequestIsCountedInTheWholeToo(t *testing.T) {
	ctx, whole := metrics.Begin(t.Context(), "")
	query := metrics.New(nil).Histogram(metrics.Desc{Name: "q_seconds", Help: "Q.", Keys: []string{"db.q"}, Span: "db"}).With()
	query.Observe(ctx, time.Second)
	part, own := metrics.Fork(ctx)
	query.Observe(part, 2*time.Second)
	if own.TraceID != whole.TraceID {
		t.Errorf("the part's trace is %s, the whole's %s", own.TraceID, whole.TraceID)
	}
	for name, l := range map[string]struct {
		*metrics.Ledger
		want  int
		total time.Duration
	}{"part": {own, 1, 2 * time.Second}, "whole": {whole, 2, 3 * time.Second}} {
		if w := l.Works(); l.Count("db") != l.want || l.Spans()[0].Total != l.total || w[0].Count != l.want || w[0].Total != l.total {
			t.Errorf("%s: %v, %v, want %d in %v", name, l.Spans(), w, l.want, l.total)
		}
	}
	if _, alone := metrics.Fork(context.Background()); alone == nil {
		t.Error("without a whole there is no ledger")
	}
}
