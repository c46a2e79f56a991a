package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"addons/server/fault"
	"addons/server/metrics"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestEqualFaultsAreOneGroupWithACount(t *testing.T) {
	r, err := fault.New("", "test", metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, ledger := metrics.Begin(t.Context(), "")
	for i := range 3 {
		r.Error(ctx, "addon.detail", fmt.Errorf("add-on %d: %w", i, io.ErrUnexpectedEOF))
	}
	r.Panic(ctx, "addon.detail", "boom", []byte("stack"))
	r.Error(ctx, "addon.detail", context.Canceled)

	recent := r.Recent()
	if len(recent) != 2 {
		t.Fatalf("%d groups, want the panic and the error: %+v", len(recent), recent)
	}
	if e := recent[1]; e.Count != 3 || e.Message != "add-on 2: unexpected EOF" || e.TraceID != ledger.TraceID {
		t.Errorf("error group = %+v, want 3 with the latest message and its trace", e)
	}
	if e := recent[0]; e.Kind != "panic" || e.Stack != "stack" {
		t.Errorf("latest group = %+v, want the panic", e)
	}
}

func TestTheListIsBounded(t *testing.T) {
	r, _ := fault.New("", "test", metrics.New(nil), quiet())
	for i := range 500 {
		r.Error(t.Context(), fmt.Sprint("route", i), errors.New("x"))
	}
	if n := len(r.Recent()); n != 200 {
		t.Errorf("%d groups kept, want 200", n)
	}
}

func TestEventsReachSentryWithoutRequestData(t *testing.T) {
	bodies := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		bodies <- string(b)
	}))
	defer srv.Close()
	r, err := fault.New(strings.Replace(srv.URL, "http://", "http://key@", 1)+"/1", "v1", metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	r.Error(t.Context(), "task.index", errors.New("disk is full"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if body := <-bodies; !strings.Contains(body, "disk is full") || !strings.Contains(body, "task.index") {
		t.Errorf("Sentry got %s", body)
	}
}

func TestABadDSNSaysWhatIsWantedAndHidesItsKey(t *testing.T) {
	for _, dsn := range []string{"https://secret:secret@/x", "https://secret@/1", "https://secret@host:port/1", "https://sec%ret@host/1"} {
		_, err := fault.New(dsn, "v1", metrics.New(nil), quiet())
		if err == nil || strings.Contains(err.Error(), "sec") || !strings.Contains(err.Error(), "https://KEY@HOST/PROJECT") {
			t.Errorf("%s: got %v", dsn, err)
		}
	}
}
