package prom_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"addons/statsd-relay/prom"
)

// histogram answers a query with a native histogram, as Prometheus writes it.
func histogram(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"x"},
		"histogram":[1700000000,{"count":"3","sum":"0.5","buckets":[[0,"0.1","0.2","3"]]}]}]}}`)
}

func TestAHandlerAndAURLAnswerAlike(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(histogram))
	defer server.Close()
	dialled, err := prom.Dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*prom.Client{"handler": prom.Local(http.HandlerFunc(histogram)), "URL": dialled} {
		v, err := client.Query(t.Context(), "x", time.Unix(1700000000, 0))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h := v.(model.Vector)[0].Histogram
		if h == nil || h.Count != 3 || len(h.Buckets) != 1 {
			t.Errorf("%s: native histogram = %v, want 3 in one bucket", name, h)
		}
	}
}

func TestAnErrorSaysWhatWasAsked(t *testing.T) {
	t.Parallel()
	client := prom.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"status":"error","errorType":"execution","error":"too many samples"}`)
	}))
	_, err := client.Query(t.Context(), "sum(everything)", time.Now())
	if err == nil || !strings.Contains(err.Error(), "sum(everything)") || !strings.Contains(err.Error(), "too many samples") {
		t.Errorf("error = %v", err)
	}
}

func TestAnAnswerThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	client := prom.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 70 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	if _, err := client.Query(t.Context(), "x", time.Now()); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("error = %v, want one that says too large", err)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	client := prom.Local(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked all the same") }))
	if _, err := client.Rules(ctx); err == nil {
		t.Error("no error")
	}
}

func TestDialRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "prometheus:9090", "ftp://x", "http://"} {
		if _, err := prom.Dial(base); err == nil {
			t.Errorf("Dial(%q) took it", base)
		}
	}
}
