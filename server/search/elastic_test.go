package search

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/catalog"
	"addons/server/metrics"
)

// fake is an Elasticsearch that answers as a test says, and counts what reached it.
type fake struct {
	*httptest.Server
	requests, connections atomic.Int64
}

func newFake(t *testing.T, answer http.HandlerFunc) *fake {
	f := &fake{}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		answer(w, r)
	}))
	f.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			f.connections.Add(1)
		}
	}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fake) index(t *testing.T) *Index {
	return open(t, strings.Replace(f.URL, "http:", "elasticsearch:", 1)+"/addons")
}

// says answers with a status and a body of JSON.
func says(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, body)
}

const oneHit = `{"took":7,"timed_out":false,"_shards":{"total":1,"successful":1,"failed":0},
	"hits":{"total":{"value":12345,"relation":"eq"},"hits":[{"_id":"42","_score":1.5}]}}`

func TestElasticsearchDownAtStartIsNotFatalAndComesBack(t *testing.T) {
	t.Parallel()
	// The client marks its node dead, and after that every second call fails
	// without a try: the first search after it came back must work in both states.
	for failures := 1; failures <= 2; failures++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		ix := open(t, "elasticsearch://"+address+"/addons")
		for range failures {
			if _, err := ix.Search(t.Context(), Query{}); !errors.Is(err, catalog.ErrUnavailable) {
				t.Fatalf("nobody listens: %v, want ErrUnavailable", err)
			}
		}
		if l, err = net.Listen("tcp", address); err != nil {
			t.Fatalf("the port was taken meanwhile: %v", err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { says(w, 200, oneHit) })}
		go server.Serve(l)
		result, err := ix.Search(t.Context(), Query{})
		if err != nil || result.Total != 12345 || len(result.Hits) != 1 || result.Hits[0].ID != 42 {
			t.Errorf("back after %d failures: %+v, %v; want hit 42", failures, result, err)
		}
		server.Close()
	}
}

func TestAConnectionThatBrokeIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	for _, broken := range []int64{1, 2} {
		var calls atomic.Int64
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			if calls.Add(1) <= broken {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					conn.Close()
				}
				return
			}
			says(w, 200, oneHit)
		})
		_, err := f.index(t).Search(t.Context(), Query{})
		if ok := err == nil; ok != (broken == 1) || err != nil && !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("%d broken connections: %v", broken, err)
		}
		if n := f.requests.Load(); n != 2 {
			t.Errorf("%d broken connections: %d requests, want 2", broken, n)
		}
	}
}

func TestABusyElasticsearchIsUnavailableAndItsConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 500, 502, 503, 504} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			says(w, status, `{"error":{"type":"busy","reason":"try later"},"status":503}`)
		})
		ix := f.index(t)
		for range 20 {
			ix.breaker = breaker{} // its own test is below
			if _, err := ix.Search(t.Context(), Query{Text: "a"}); !errors.Is(err, catalog.ErrUnavailable) {
				t.Fatalf("status %d: %v, want ErrUnavailable", status, err)
			}
		}
		if requests, conns := f.requests.Load(), f.connections.Load(); requests != 20 || conns > 2 {
			t.Errorf("status %d: 20 searches made %d requests over %d connections, want 20 over one", status, requests, conns)
		}
	}
}

func TestWhatIsNotElasticsearchIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"<html>a proxy's login page</html>", "", "null", "[]", `{"hits":{"hits":[{"_id":"x"}]}}`, strings.Repeat(" ", elasticResponse+1)} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 200, body) })
		if result, err := f.index(t).Search(t.Context(), Query{}); !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("%.40q gives %+v, %v; want ErrUnavailable", body, result, err)
		}
	}
}

func TestAQueryThatElasticsearchRefusesIsOurMistake(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		says(w, 400, `{"error":{"type":"parsing_exception","reason":"unknown query"},"status":400}`)
	})
	_, err := f.index(t).Search(t.Context(), Query{})
	if err == nil || errors.Is(err, catalog.ErrUnavailable) || errors.Is(err, catalog.ErrInvalid) || !strings.Contains(err.Error(), "unknown query") {
		t.Errorf("got %v, want the reason, neither unavailable nor invalid", err)
	}
}

func TestAPartialAnswerSaysSo(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"timed out":      strings.Replace(oneHit, `"timed_out":false`, `"timed_out":true`, 1),
		"a failed shard": strings.Replace(oneHit, `"failed":0`, `"failed":1,"failures":[{"shard":0,"reason":{"type":"x","reason":"y"}}]`, 1),
	} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 200, body) })
		ix := f.index(t)
		result, err := ix.Search(t.Context(), Query{})
		if err != nil || !result.Partial || len(result.Hits) != 1 {
			t.Errorf("%s: %+v, %v; want a partial result with its hit", name, result, err)
		}
	}
}

func TestASlowElasticsearchIsGivenUp(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{}, 2)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
		<-r.Context().Done()
		gone <- struct{}{}
	})
	ix := f.index(t)
	for name, limit := range map[string]time.Duration{"the caller's deadline": time.Second, "our own": time.Minute} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		start := time.Now()
		_, err := ix.Search(ctx, Query{})
		if !errors.Is(err, catalog.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want ErrUnavailable and DeadlineExceeded", name, err)
		}
		if took := time.Since(start); took > readTimeout+time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		select {
		case <-gone: // the connection is closed, not kept waiting
		case <-time.After(time.Minute):
			t.Errorf("%s: the connection is kept", name)
		}
	}
}

func TestAMissingIndexIsEmptyAndMadeAtTheFirstWrite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		call := r.Method + " " + strings.ReplaceAll(r.URL.Path, "addons-"+fingerprint(elasticLayout()), "INDEX")
		seen = append(seen, call)
		switch call {
		case "PUT /INDEX":
			says(w, 200, `{"acknowledged":true}`)
		case "POST /_bulk":
			says(w, 200, `{"items":[{"index":{"_id":"1","status":201}}]}`)
		default:
			says(w, 404, `{"error":{"type":"index_not_found_exception"},"status":404}`)
		}
	})
	ix := f.index(t)
	if result, err := ix.Search(t.Context(), Query{}); err != nil || result.Total != 0 {
		t.Errorf("search without an index: %+v, %v; want nothing", result, err)
	}
	if n, err := ix.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("count without an index: %d, %v; want 0", n, err)
	}
	for range 2 {
		if err := ix.Put(t.Context(), Doc{ID: 1, Status: catalog.Public}); err != nil {
			t.Error(err)
		}
	}
	want := []string{"POST /INDEX/_search", "POST /INDEX/_count", "HEAD /INDEX", "PUT /INDEX", "POST /_bulk", "POST /_bulk"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// bulkFake answers bulk requests item by item: status of the nth time that an id is sent.
func bulkFake(t *testing.T, status func(id string, time int) int) (*fake, func() map[string]int) {
	var mu sync.Mutex
	sent := map[string]int{}
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		var items []string
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			var action struct {
				Index *struct {
					ID string `json:"_id"`
				}
			}
			if json.Unmarshal(lines.Bytes(), &action) != nil || action.Index == nil {
				continue
			}
			id := action.Index.ID
			sent[id]++
			items = append(items, fmt.Sprintf(`{"index":{"_id":%q,"status":%d,"error":{"type":"t","reason":"r"}}}`, id, status(id, sent[id])))
		}
		says(w, 200, `{"errors":true,"items":[`+strings.Join(items, ",")+`]}`)
	})
	return f, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return sent
	}
}

func TestOnlyRefusedDocumentsAreSentAgain(t *testing.T) {
	t.Parallel()
	docs := []Doc{{ID: 1, Status: catalog.Public}, {ID: 2, Status: catalog.Public}, {ID: 3, Status: catalog.Public}}
	for _, c := range []struct {
		name   string
		status func(id string, time int) int
		sent   map[string]int
		check  func(error) bool
	}{
		{"refused once", func(id string, time int) int {
			if id == "2" && time == 1 {
				return 429
			}
			return 200
		}, map[string]int{"1": 1, "2": 2, "3": 1}, func(err error) bool { return err == nil }},
		{"refused always", func(id string, _ int) int {
			if id == "3" {
				return 429
			}
			return 200
		}, map[string]int{"1": 1, "2": 1, "3": bulkTries}, func(err error) bool { return errors.Is(err, catalog.ErrUnavailable) }},
		{"wrong for good", func(id string, _ int) int {
			if id == "2" {
				return 400
			}
			return 200
		}, map[string]int{"1": 1, "2": 1, "3": 1}, func(err error) bool {
			return err != nil && !errors.Is(err, catalog.ErrUnavailable) && strings.Contains(err.Error(), "add-on 2")
		}},
	} {
		f, sent := bulkFake(t, c.status)
		if err := f.index(t).Put(t.Context(), docs...); !c.check(err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.sent, sent()); diff != "" {
			t.Errorf("%s: times sent (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestThePasswordIsSentButNeverShown(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "site" || password != "s3cret" {
			says(w, 401, `{"status":401}`)
			return
		}
		says(w, 503, `{"status":503}`)
	})
	ix := open(t, strings.Replace(f.URL, "http://", "elasticsearch://site:s3cret@", 1)+"/addons")
	_, err := ix.Search(t.Context(), Query{})
	if !errors.Is(err, catalog.ErrUnavailable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want ErrUnavailable without the password", err)
	}
	f.Close()
	if _, err = ix.Search(t.Context(), Query{}); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func TestARedClusterFailsTheCheck(t *testing.T) {
	t.Parallel()
	for status, ok := range map[string]bool{"green": true, "yellow": true, "red": false} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { says(w, 200, `{"status":"`+status+`"}`) })
		if err := f.index(t).Check(t.Context()); (err == nil) != ok {
			t.Errorf("%s cluster: %v", status, err)
		}
	}
}

func TestASearchThatFailsAgainAndAgainIsNotTriedForASecond(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	down.Store(true)
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			says(w, 503, `{}`)
			return
		}
		says(w, 200, oneHit)
	})
	ix := f.index(t)
	for range 50 {
		if _, err := ix.Search(t.Context(), Query{}); !errors.Is(err, catalog.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if n := f.requests.Load(); n != breakAfter {
		t.Errorf("50 searches made %d requests, want %d", n, breakAfter)
	}
	down.Store(false)
	ix.breaker.until = time.Time{} // as if the second were over
	for range 3 {
		if _, err := ix.Search(t.Context(), Query{}); err != nil {
			t.Errorf("back again: %v", err)
		}
	}
}

func TestImpatientCallersDoNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		says(w, 200, oneHit)
	})
	ix := f.index(t)
	for range breakAfter {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := ix.Search(ctx, Query{}); !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		cancel()
	}
	slow.Store(false)
	if _, err := ix.Search(t.Context(), Query{}); err != nil {
		t.Errorf("a patient caller after them: %v", err)
	}
}

func TestTheBreakerLetsOneThroughASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		for range breakAfter {
			if !b.allow() {
				t.Fatal("closed before there were enough failures")
			}
			b.done(true)
		}
		if b.allow() {
			t.Error("open after enough failures")
		}
		time.Sleep(breakFor)
		if !b.allow() || b.allow() {
			t.Error("want exactly one through after a second")
		}
		b.done(true)
		if b.allow() {
			t.Error("open although the one failed")
		}
		time.Sleep(breakFor)
		b.allow()
		b.done(false)
		if !b.allow() || !b.allow() {
			t.Error("want all through after a success")
		}
	})
}

func TestOpenSaysWhatItWants(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "solr:x", "bleve:", "bleve:x?size=1", "elasticsearch:", "elasticsearch://host:9200", "elasticsearch://host:9200/Addons",
		"elasticsearch://host:9200/a/b", "elasticsearch://host:9200/addons?sniff=true", "elasticsearch://u:s3cret@host:bad/addons",
	} {
		ix, err := Open(url, metrics.New(nil), slog.New(slog.DiscardHandler))
		if err == nil {
			ix.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "want ") && !strings.Contains(err.Error(), "takes ") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("Open(%q): %v, want an error that says what is wanted", url, err)
		}
	}
}

// statsdKeys takes the keys of timings.
type statsdKeys struct {
	mu   sync.Mutex
	took map[string]time.Duration
}

func (s *statsdKeys) Incr(string, int64, ...metrics.Tag)     {}
func (s *statsdKeys) FGauge(string, float64, ...metrics.Tag) {}
func (s *statsdKeys) PrecisionTiming(key string, d time.Duration, _ ...metrics.Tag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took[key] = d
}

func TestEverySearchIsMeasured(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		says(w, 200, strings.Replace(oneHit, `"timed_out":false`, `"timed_out":true`, 1))
	})
	statsd := &statsdKeys{took: map[string]time.Duration{}}
	reg := metrics.New(statsd)
	ix, err := Open(strings.Replace(f.URL, "http:", "elasticsearch:", 1)+"/addons", reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	ctx, ledger := metrics.Begin(t.Context(), "")
	if _, err := ix.Search(ctx, Query{}); err != nil {
		t.Fatal(err)
	}
	if _, err := ix.Search(ctx, Query{Limit: -1}); !errors.Is(err, catalog.ErrInvalid) {
		t.Fatal(err)
	}
	if n := ledger.Count("search"); n != 2 {
		t.Errorf("the ledger counts %d searches, want 2", n)
	}
	if statsd.took["search.es.took"] != 7*time.Millisecond || statsd.took["search.es.timer"] <= 0 {
		t.Errorf("statsd got %v, want search.es.took of 7 ms and search.es.timer", statsd.took)
	}
	for series, want := range map[string]int{
		`addons_search_operation_duration_seconds{backend="es",operation="search",outcome="partial"}`:                             1,
		`addons_search_operation_duration_seconds{backend="es",operation="search",outcome="invalid"}`:                             1,
		`addons_search_operation_duration_seconds{backend="es",operation="put",outcome="ok"}`:                                     0,
		`addons_search_took_seconds{backend="es"}`:                                                                                1,
		`addons_search_timer_seconds{backend="es"}`:                                                                               1,
		`http_client_request_duration_seconds{http_request_method="POST",http_response_status_code="200",server="elasticsearch"}`: 1,
	} {
		if got := observations(t, reg, series); got != want {
			t.Errorf("%s was observed %d times, want %d", series, got, want)
		}
	}
	if err := testutil.GatherAndCompare(reg.Prometheus(), strings.NewReader(
		"# HELP addons_search_partial_total Searches that a part of the index did not answer.\n# TYPE addons_search_partial_total counter\naddons_search_partial_total{backend=\"es\"} 1\n"), "addons_search_partial_total"); err != nil {
		t.Error(err)
	}
}

// observations is how often the histogram series was observed, -1 if it is not there.
func observations(t *testing.T, reg *metrics.Registry, series string) int {
	t.Helper()
	families, err := reg.Prometheus().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if series == f.GetName()+"{"+strings.Join(labels, ",")+"}" {
				return int(m.Histogram.GetSampleCount())
			}
		}
	}
	return -1
}
