//go:build weather

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/xpi"
)

// What people may be made to wait. The machine may be busy, so that the quickest
// of some tries counts: whoever waits for an engine's timeout does so each time.
const (
	tries = 5
	quick = time.Second
	// queryLimit is a query's five seconds, searchLimit a search's two, checkLimit
	// two health reports, of which the second waits for the first.
	queryLimit  = 5*time.Second + quick
	searchLimit = 2*time.Second + quick
	checkLimit  = 4*time.Second + quick
)

const (
	home    = "/en-US/firefox/"
	nowhere = "/en-US/firefox/addon/nowhere-%d/" // nobody asked for it before: what it needs is not in the cache
	finding = "/en-US/firefox/search/?q=tab"
)

// The marks of bad weather on a page.
const (
	staleNote    = "this page may be a little out of date"
	fallbackNote = "The search engine is not answering"
)

// sky is a running platform with a Front before each of its engines.
type sky struct {
	*platform
	backends []string // flags, for other commands on the same backends
	prefix   string   // of its names in Graphite

	database, cache, search, broker, graphite, sentry *enginetest.Front

	carbon *recorder
	faults *sentryStub
	asked  int // pages that nobody had asked for
}

// behind puts a Front before an engine; the URL is the engine's by way of it.
func behind(t *testing.T, engine string) (*enginetest.Front, *url.URL) {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, engine))
	if err != nil {
		t.Fatal(err)
	}
	f := enginetest.NewFront(t, u.Host)
	u.Host = f.Addr
	return f, u
}

func newSky(t *testing.T) *sky {
	t.Helper()
	s := &sky{prefix: own("weather"), faults: &sentryStub{}}
	var database, cache, search, broker *url.URL
	s.database, database = behind(t, "MYSQL")
	s.cache, cache = behind(t, "REDIS")
	s.search, search = behind(t, "ELASTICSEARCH")
	s.broker, broker = behind(t, "AMQP")
	s.carbon = record(t, enginetest.URL(t, "CARBON"))
	s.graphite = enginetest.NewFront(t, s.carbon.addr)
	sentry := httptest.NewServer(s.faults)
	t.Cleanup(sentry.Close)
	s.sentry = enginetest.NewFront(t, sentry.Listener.Addr().String())

	database.Path = "/" + own("weather_")
	createDatabase(t, enginetest.URL(t, "MYSQL"), database.Path[1:])
	search.Scheme, search.Path = "elasticsearch", "/"+own("weather-")
	// On a busy machine Redis is to look down when it is, and not before.
	cache.RawQuery = "timeout=500ms&namespace=" + own("weather")
	broker.RawQuery = "queue=" + own("weather-")

	data := t.TempDir()
	s.backends = []string{
		"--data", data, "--database", database.String(), "--cache", cache.String(),
		"--search", search.String(), "--queue", broker.String(),
	}
	s.platform = start(t, data, "ready", append(s.backends[2:], "--graphite", s.graphite.Addr, "--graphite-prefix", s.prefix,
		"--sentry-dsn", "http://key@"+s.sentry.Addr+"/1", "--drills", "--scrape", "1m")...)
	return s
}

// answer is what somebody was answered, and after how long.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// ask gets a path of the site, or a whole URL; what was no answer has status 0. It
// may be called beside the test's goroutine.
func (p *platform) ask(t *testing.T, path string) answer {
	t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = p.url(path)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return answer{took: time.Since(begun)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body), time.Since(begun)}
}

// want asks and complains about another status, or if it always takes longer.
func (p *platform) want(t *testing.T, path string, status int, within time.Duration) (a answer) {
	t.Helper()
	for range tries {
		if a = p.ask(t, path); a.status != status {
			t.Errorf("%s: status %d after %v, want %d", path, a.status, a.took, status)
			return a
		}
		if a.took <= within {
			return a
		}
	}
	t.Errorf("%s took %v and was never within %v", path, a.took, within)
	return a
}

// sum adds the series of the site's /metrics that carry the labels, written as name="value".
func (p *platform) sum(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	return sumSeries(t, p.ask(t, p.addresses["operators"]+"/metrics").body, name, labels...)
}

func sumSeries(t *testing.T, exposition, name string, labels ...string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(exposition) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != name && !strings.HasPrefix(series, name+"{") ||
			slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		value, _, _ = strings.Cut(value, " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += n
	}
	return sum
}

// rise is a metric that has to move.
type rise struct {
	what  string
	moved func() bool
}

// rising notes where a metric is now.
func (p *platform) rising(t *testing.T, name string, labels ...string) rise {
	t.Helper()
	before := p.sum(t, name, labels...)
	return rise{fmt.Sprintf("%s%v has risen above %v", name, labels, before), func() bool { return p.sum(t, name, labels...) > before }}
}

// moved waits until the metrics have.
func moved(t *testing.T, rises ...rise) {
	t.Helper()
	for _, r := range rises {
		eventually(t, r.what, r.moved)
	}
}

// indexed waits until everything that was loaded here is in the search index.
func (p *platform) indexed(t *testing.T) {
	t.Helper()
	eventually(t, "the catalogue in the search index", func() bool {
		sent := p.sum(t, "addons_task_total", `kind="index"`, `outcome="sent"`)
		return sent > 0 && p.sum(t, "addons_task_total", `kind="index"`, `outcome="done"`) >= sent && count(p) >= 36
	})
}

// failing waits until the operators' monitor names these checks and no other. An
// essential one makes it, and the public heartbeat, fail.
func (p *platform) failing(t *testing.T, names ...string) {
	t.Helper()
	healthy, alive := http.StatusOK, http.StatusOK
	if slices.Contains(names, "database") {
		healthy, alive = http.StatusInternalServerError, http.StatusServiceUnavailable
	}
	var last answer
	fastest := time.Hour
	eventually(t, fmt.Sprintf("failing checks %v", names), func() bool {
		last = p.ask(t, p.addresses["operators"]+"/monitor.json")
		fastest = min(fastest, last.took)
		var checks map[string]struct{ State bool }
		if err := json.Unmarshal([]byte(last.body), &checks); err != nil {
			t.Fatalf("monitor.json: %v: %s", err, last.body)
		}
		maps.DeleteFunc(checks, func(_ string, c struct{ State bool }) bool { return c.State })
		return slices.Equal(slices.Sorted(maps.Keys(checks)), names)
	})
	if fastest > checkLimit {
		t.Errorf("monitor.json took %v, want at the most %v", fastest, checkLimit)
	}
	if last.status != healthy {
		t.Errorf("monitor.json: status %d with %v failing, want %d", last.status, names, healthy)
	}
	p.want(t, "/__heartbeat__", alive, checkLimit)
	if len(names) > 0 {
		t.Logf("monitor.json named %v, and took %v at the last", names, last.took)
	}
}

// kinds of bad weather.
const (
	down   = "down"   // refuses connections and cuts those there are
	frozen = "frozen" // keeps connections and says nothing
)

// storm takes an engine away while during looks at the site, has the monitor name
// the check, gives the engine back and has the monitor clear again.
func (p *platform) storm(t *testing.T, f *enginetest.Front, kind, check string, during func(t *testing.T)) {
	t.Helper()
	t.Run(kind, func(t *testing.T) {
		if kind == frozen {
			f.Freeze()
			defer f.Thaw()
		} else {
			f.Down()
			defer f.Up(t)
		}
		during(t)
		p.want(t, "/__lbheartbeat__", http.StatusOK, quick) // that this process lives is said at once, whatever else does not
		if check != "" {
			p.failing(t, check)
		}
	})
	p.failing(t)
}

// watch asks for life until the function it returns is called: it must be said all the time.
func (p *platform) watch(t *testing.T) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var slowest time.Duration
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				a := p.ask(t, "/__lbheartbeat__")
				if a.status != http.StatusOK {
					t.Errorf("/__lbheartbeat__: status %d", a.status)
				}
				slowest = max(slowest, a.took)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		t.Logf("slowest /__lbheartbeat__: %v", slowest)
	}
}

// unknown is a path to nothing that was not asked for before.
func (s *sky) unknown() string {
	s.asked++
	return fmt.Sprintf(nowhere, s.asked)
}

// checkFor is an update check.
func checkFor(guid string) string {
	return "/update/VersionCheck.php?reqVersion=2&id=" + url.QueryEscape(guid) +
		"&version=0.1&appID={ec8030f7-c20a-464f-9b0e-13a3a9e97384}&appVersion=153.0&compatMode=normal"
}

// known is the guid of some add-on.
func (p *platform) known(t *testing.T) string {
	t.Helper()
	var page struct{ Results []struct{ GUID string } }
	if err := json.Unmarshal([]byte(p.ask(t, "/api/v5/addons/search/?page_size=1&type=extension").body), &page); err != nil || len(page.Results) == 0 {
		t.Fatalf("no add-on to ask for: %v", err)
	}
	return page.Results[0].GUID
}

// load imports a version of an add-on by a process of its own, on the same backends.
func (s *sky) load(t *testing.T, name, version string) (guid string) {
	t.Helper()
	guid = strings.ToLower(name) + "@example.org"
	body, err := xpi.Make(xpi.Spec{
		GUID: guid, Version: version, Name: catalog.Text{"en-US": name}, Summary: catalog.Text{"en-US": "For all weathers."},
		Compatibility: []catalog.Compat{{App: catalog.Firefox.Slug, Min: "115.0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "package.xpi")
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if out, err := command(t.Context(), slices.Concat([]string{"load"}, s.backends, []string{path})...).CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	t.Logf("loaded %s %s in %v", name, version, time.Since(begun))
	return guid
}

// versionOf is what the site says the add-on's version is.
func (p *platform) versionOf(t *testing.T, guid string) string {
	t.Helper()
	var addon struct {
		Current struct{ Version string } `json:"current_version"`
	}
	a := p.ask(t, "/api/v5/addons/addon/"+guid+"/")
	if err := json.Unmarshal([]byte(a.body), &addon); err != nil {
		t.Fatalf("%s: status %d: %v", guid, a.status, err)
	}
	return addon.Current.Version
}

// found says whether the search finds the name, and by the search engine.
func (p *platform) found(t *testing.T, name string) bool {
	t.Helper()
	var page struct {
		Results []struct{ GUID string }
	}
	a := p.ask(t, "/api/v5/addons/search/?q="+name)
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		t.Fatalf("search: status %d: %v", a.status, err)
	}
	return len(page.Results) > 0 && a.header.Get("Cache-Control") != "no-store"
}

func TestWeatherOnTheRealEngines(t *testing.T) {
	s := newSky(t)
	s.indexed(t)
	s.failing(t)
	end := s.watch(t)
	t.Run("cache", func(t *testing.T) { cacheWeather(t, s.platform, s.cache, "redis") })
	t.Run("a change while the cache is down", s.changeWithoutCache)
	t.Run("database", s.databaseWeather)
	t.Run("search", s.searchWeather)
	t.Run("broker", s.brokerWeather)
	t.Run("sentry", s.sentryWeather)
	t.Run("graphite", s.graphiteWeather)
	end()
	t.Run("totals", s.totals)
}

// There, the relay that the statsd lines are for is away all the time: nobody waits for it.
func TestWeatherAtMemcachedWithoutARelay(t *testing.T) {
	f, u := behind(t, "MEMCACHE")
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	p := start(t, t.TempDir(), "ready", "--cache", u.String()+"?namespace="+own("weather"), "--statsd", "udp://"+gone.LocalAddr().String(), "--scrape", "1m")
	p.indexed(t)
	end := p.watch(t)
	defer end()
	cacheWeather(t, p, f, "memcache")
}

// cacheWeather: slower, never wrong.
func cacheWeather(t *testing.T, p *platform, f *enginetest.Front, backend string) {
	check := checkFor(p.known(t))
	pages := []string{home, finding, "/de/firefox/extensions/", check}
	for _, kind := range []string{down, frozen} {
		bodies := map[string]string{}
		for _, page := range pages {
			bodies[page] = p.want(t, page, http.StatusOK, quick).body
		}
		label := fmt.Sprintf("backend=%q", backend)
		rises := []rise{
			p.rising(t, "addons_cache_requests_total", label, `result="error"`),
			p.rising(t, "addons_cache_operation_duration_seconds_count", label, map[string]string{down: `outcome="error"`, frozen: `outcome="timeout"`}[kind]),
			p.rising(t, "addons_cache_skipped_total", label),
		}
		p.storm(t, f, kind, "cache", func(t *testing.T) {
			for range 3 {
				for _, page := range pages {
					if a := p.want(t, page, http.StatusOK, quick); a.body != bodies[page] || strings.Contains(a.body, staleNote) {
						t.Errorf("%s is another page without the cache", page)
					}
				}
			}
			for i, r := range rises {
				// The in-process layer has what was asked for before.
				n := 0
				eventually(t, r.what, func() bool {
					n++
					p.want(t, fmt.Sprintf(nowhere, 1_000_000*(i+1)+n), http.StatusNotFound, quick)
					return r.moved()
				})
			}
		})
		hits := func() float64 {
			return p.sum(t, "addons_cache_operation_duration_seconds_count", label, `operation="get"`, `outcome="hit"`)
		}
		before := hits()
		eventually(t, "hits again", func() bool {
			p.want(t, home, http.StatusOK, quick)
			return hits() > before
		})
	}
}

// changeWithoutCache: what changed while the cache was down is not hidden by the
// copy that it still has when it is back.
func (s *sky) changeWithoutCache(t *testing.T) {
	guid := s.load(t, "Barometer", "1.0")
	eventually(t, "version 1.0 in the cache", func() bool {
		return s.ask(t, "/api/v5/addons/addon/"+guid+"/").status == http.StatusOK && s.found(t, "Barometer")
	})
	if got := s.versionOf(t, guid); got != "1.0" {
		t.Fatalf("version %q, want 1.0", got)
	}
	done := s.rising(t, "addons_task_total", `kind="index"`, `outcome="done"`)
	s.storm(t, s.cache, down, "cache", func(t *testing.T) {
		s.load(t, "Barometer", "2.0")
		eventually(t, "version 2.0 without the cache", func() bool { return s.versionOf(t, guid) == "2.0" })
		eventually(t, done.what, done.moved) // the change's task does not need the cache
	})
	if got := s.versionOf(t, guid); got != "2.0" {
		t.Errorf("version %q with the cache back, want 2.0", got)
	}
}

// databaseWeather: cached pages and update checks go on, marked and counted; the
// rest says 503 and when to come back.
func (s *sky) databaseWeather(t *testing.T) {
	guid := s.known(t)
	kept := map[string]string{home: staleNote, "/en-US/firefox/addon/" + url.PathEscape(guid) + "/": staleNote, checkFor(guid): ""}
	for _, kind := range []string{down, frozen} {
		for page := range kept {
			eventually(t, page+" is in the cache with all its parts", func() bool {
				a := s.ask(t, page)
				return a.status == http.StatusOK && !strings.Contains(a.header.Get("Server-Timing"), " db;")
			})
		}
		first := quick
		if kind == frozen {
			first = queryLimit
		}
		rises := []rise{
			s.rising(t, "addons_cache_requests_total", `result="stale"`),
			s.rising(t, "addons_update_checks_total", `outcome="stale"`),
			s.rising(t, "db_client_operation_duration_seconds_count", `outcome="error"`),
			s.rising(t, "addons_errors_total", `where="/:locale/:app/addon/:addon/"`),
		}
		s.storm(t, s.database, kind, "database", func(t *testing.T) {
			for page := range kept {
				if a := s.want(t, page, http.StatusOK, quick); strings.Contains(a.body, staleNote) {
					t.Errorf("%s is called out of date before its time", page)
				}
			}
			t.Logf("the first uncached page took %v", s.unavailable(t, s.unknown(), first).took)
			// It took one to find out: the others need not wait.
			s.unavailable(t, s.unknown(), quick)
			s.unavailable(t, "/api/v5/addons/addon/"+own("nowhere")+"/", quick)
			s.want(t, checkFor(own("nowhere")+"@example.org"), http.StatusOK, quick) // all ids are known
			// When it is not known any more what has changed, answers say so, and nobody waits.
			for page, note := range kept {
				eventually(t, page+" says how old it is", func() bool {
					a := s.want(t, page, http.StatusOK, quick)
					keep := a.header.Get("Cache-Control")
					return note != "" && strings.Contains(a.body, note) && keep == "no-store" || note == "" && strings.HasPrefix(keep, "public, max-age=60,")
				})
			}
			moved(t, rises...)
		})
		eventually(t, "pages as before", func() bool {
			return s.ask(t, s.unknown()).status == http.StatusNotFound && !strings.Contains(s.ask(t, home).body, staleNote)
		})
	}
}

// unavailable: 503, soon, with the time to come back, in the form of who asked.
func (s *sky) unavailable(t *testing.T, path string, within time.Duration) answer {
	t.Helper()
	a := s.want(t, path, http.StatusServiceUnavailable, within)
	if a.header.Get("Retry-After") != "30" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: Retry-After %q, Cache-Control %q", path, a.header.Get("Retry-After"), a.header.Get("Cache-Control"))
	}
	if strings.HasPrefix(path, "/en-US/") {
		for _, part := range []string{`<a class="brand"`, "<h1>Please try again in a moment</h1>", "/static/site"} {
			if !strings.Contains(a.body, part) {
				t.Errorf("%s: the error page is not of this site's design: no %s:\n%s", path, part, a.body)
			}
		}
		return a
	}
	var body struct{ Detail string }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || !strings.HasPrefix(body.Detail, "Temporarily unavailable.") {
		t.Errorf("%s: %v: %s", path, err, a.body)
	}
	return a
}

// searchWeather: the database searches, and the page says so.
func (s *sky) searchWeather(t *testing.T) {
	for _, kind := range []string{down, frozen} {
		first := quick
		if kind == frozen {
			first = searchLimit
		}
		rises := []rise{
			s.rising(t, "addons_search_fallback_total"),
			s.rising(t, "addons_search_operation_duration_seconds_count", `operation="search"`, `outcome="unavailable"`),
		}
		s.storm(t, s.search, kind, "search", func(t *testing.T) {
			plainer := func(within time.Duration) {
				a := s.want(t, finding, http.StatusOK, within)
				if !strings.Contains(a.body, fallbackNote) || !strings.Contains(a.body, "/addon/") {
					t.Errorf("no results, or not called the database's:\n%s", a.body)
				}
			}
			var five sync.WaitGroup
			for range 5 {
				five.Go(func() { plainer(first) })
			}
			five.Wait()
			plainer(quick) // after five it is left alone
			if a := s.want(t, "/api/v5/addons/search/?q=tab", http.StatusOK, first); a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.body, `"guid"`) {
				t.Errorf("the API's search: Cache-Control %q: %s", a.header.Get("Cache-Control"), a.body)
			}
			s.want(t, home, http.StatusOK, quick)
			moved(t, rises...)
			if kind == down {
				s.database.Down()
				defer s.database.Up(t)
				s.unavailable(t, "/en-US/firefox/search/?q=neither", quick)
				s.unavailable(t, "/api/v5/addons/search/?q=nor", quick)
			}
		})
		eventually(t, "the search engine's results", func() bool {
			a := s.ask(t, finding)
			return a.status == http.StatusOK && !strings.Contains(a.body, fallbackNote)
		})
	}
}

// brokerWeather: nothing is seen; what is to be done waits in the database.
func (s *sky) brokerWeather(t *testing.T) {
	for kind, name := range map[string]string{down: "Umbrella", frozen: "Icicle"} {
		done := s.rising(t, "addons_task_total", `kind="index"`, `outcome="done"`)
		s.storm(t, s.broker, kind, "queue", func(t *testing.T) {
			guid := s.load(t, name, "1.0")
			if got := s.versionOf(t, guid); got != "1.0" {
				t.Errorf("%s: version %q is shown without the broker, want 1.0", guid, got)
			}
			for _, page := range []string{home, finding, checkFor(guid)} {
				s.want(t, page, http.StatusOK, quick)
			}
			if s.found(t, name) {
				t.Errorf("%s was indexed without the broker", name)
			}
			if kind == down {
				eventually(t, "the job waits by the metrics too", func() bool {
					return s.sum(t, "addons_task_queue_jobs", `state="waiting"`) >= 1 && s.sum(t, "addons_task_broker_connected") == 0 &&
						s.sum(t, "addons_task_oldest_age_seconds") > 0
				})
			}
		})
		eventually(t, name+" in the search engine", func() bool { return s.found(t, name) })
		moved(t, done)
	}
}

// sentryStub counts the events that it takes, or refuses them.
type sentryStub struct {
	refuses, refused, taken atomic.Int64
}

func (s *sentryStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	if s.refuses.Load() > 0 {
		s.refused.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.taken.Add(1)
}

// sentryWeather: nothing is seen; faults are counted and kept here.
func (s *sky) sentryWeather(t *testing.T) {
	fault := func(t *testing.T) {
		t.Helper()
		panics := s.sum(t, "addons_panics_total")
		if a := s.ask(t, "/__drill__/panic"); a.status != http.StatusInternalServerError {
			t.Errorf("the drill: status %d", a.status)
		}
		if got := s.sum(t, "addons_panics_total"); got != panics+1 {
			t.Errorf("%v panics counted, want %v", got, panics+1)
		}
		if list := s.want(t, s.addresses["operators"]+"/errors", http.StatusOK, quick).body; !strings.Contains(list, "a drill") {
			t.Errorf("the operators' list lacks the panic:\n%s", list)
		}
		s.want(t, home, http.StatusOK, quick)
	}
	arrives := func(t *testing.T) {
		t.Helper()
		taken := s.faults.taken.Load()
		eventually(t, "a fault at Sentry", func() bool { fault(t); return s.faults.taken.Load() > taken })
	}
	arrives(t)
	lost := s.rising(t, "http_client_request_duration_seconds_count", `server="sentry"`, `http_response_status_code="error"`)
	s.storm(t, s.sentry, down, "", func(t *testing.T) { fault(t); moved(t, lost) })
	arrives(t)
	s.storm(t, s.sentry, frozen, "", func(t *testing.T) {
		for range 10 {
			s.want(t, "/__drill__/panic", http.StatusInternalServerError, quick)
		}
		fault(t)
	})
	arrives(t)
	t.Run("refusing", func(t *testing.T) {
		s.faults.refuses.Store(1)
		defer s.faults.refuses.Store(0)
		eventually(t, "a fault refused by Sentry", func() bool { fault(t); return s.faults.refused.Load() > 0 })
	})
	arrives(t)
}

// graphiteWeather: nothing is seen; flushes wait and go out in order.
func (s *sky) graphiteWeather(t *testing.T) {
	address := regexp.MustCompile(`\S+$`).FindString(s.addresses["statsd"])
	lines, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	waiting := func() float64 {
		return sumSeries(t, s.ask(t, s.addresses["relay"]+"/metrics").body, "relay_sink_queue_flushes", `sink="graphite"`)
	}
	key, total := s.prefix+".counters.rain.count", 0.0
	send := func() {
		total++
		if _, err := io.WriteString(lines, "rain:1|c\n"); err != nil {
			t.Fatal(err)
		}
	}
	send()
	eventually(t, "the counter in Graphite", func() bool { return sumOf(t, s.platformGraphite(t), key) == total })
	for _, kind := range []string{down, frozen} {
		s.storm(t, s.graphite, kind, "", func(t *testing.T) {
			for n := 1.0; n <= 3; n++ {
				send()
				if kind == frozen { // the Front takes the bytes and keeps them
					break
				}
				eventually(t, "a flush that waits", func() bool { return waiting() >= n })
				s.want(t, home, http.StatusOK, quick)
			}
			s.carbon.forget()
		})
		eventually(t, "nothing waits", func() bool { return waiting() == 0 })
		eventually(t, "all of it in Graphite", func() bool { return sumOf(t, s.platformGraphite(t), key) >= total })
		if got := sumOf(t, s.platformGraphite(t), key); got != total {
			t.Errorf("Graphite has %v, want %v", got, total)
		}
		times := s.carbon.times(key)
		if !slices.IsSorted(times) || kind == down && len(times) < 3 {
			t.Errorf("what waited went out in the order %v", times)
		}
	}
}

// totals: through all of that Graphite and Prometheus counted the same.
func (s *sky) totals(t *testing.T) {
	graphite := s.platformGraphite(t)
	want := s.sum(t, "http_server_request_duration_seconds_count")
	key := s.prefix + ".timers.view.GET.count"
	eventually(t, "all requests in Graphite", func() bool { return sumOf(t, graphite, key) >= want })
	if got := sumOf(t, graphite, key); got != want {
		t.Errorf("Graphite has %v requests, Prometheus %v", got, want)
	}
}

func (s *sky) platformGraphite(t *testing.T) string { return enginetest.URL(t, "GRAPHITE") }

// recorder hands lines on to carbon and remembers them.
type recorder struct {
	addr string

	mu   sync.Mutex
	seen strings.Builder
}

func record(t *testing.T, carbon string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{addr: l.Addr().String()}
	var copies sync.WaitGroup
	copies.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			copies.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", carbon)
				if err != nil {
					return
				}
				defer out.Close()
				io.Copy(io.MultiWriter(out, r), in)
			})
		}
	})
	t.Cleanup(func() { l.Close() })
	return r
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Write(b)
}

func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Reset()
}

// times are those of a series' points, in the order in which they came.
func (r *recorder) times(series string) (times []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.seen.String()) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == series {
			at, _ := strconv.ParseInt(words[2], 10, 64)
			times = append(times, at)
		}
	}
	return times
}
