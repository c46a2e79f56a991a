package relay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shows fails the test unless the status page has all of it.
func shows(t *testing.T, r *Relay, wants ...string) {
	t.Helper()
	page, _ := get(t, r, "/", "text/html")
	for _, want := range wants {
		if !strings.Contains(page, want) {
			t.Errorf("the status page has no %q:\n%s", want, page)
		}
	}
}

func TestStatusPage(t *testing.T) {
	t.Parallel()
	r := lines(t, Config{}, "view.GET:5|ms\nview.GET:6|ms\nresponse.200:1|c\nbad <script>:x|c\n\x00\xff")
	r.flushAt(time.Now())
	body, resp := get(t, r, "/", "text/html")
	for _, want := range []string{"<h1>statsd-relay</h1>", "<code>view.GET</code>", "bad_value", `&#34;bad &lt;script&gt;:x|c&#34;`, `<html lang="en">`, "Not reading lines", `\x00\xff`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
	for path, status := range map[string]int{"/-/healthy": 200, "/-/ready": 503, "/other": 404} {
		if _, resp := get(t, r, path, ""); resp.StatusCode != status {
			t.Errorf("%s is %d before Run, want %d", path, resp.StatusCode, status)
		}
	}
}

// inFlow is a row of the page's table of traffic.
func inFlow(what, rate, total string) string {
	return what + `</th><td class="n">` + rate + `</td><td class="n">` + total + "</td>"
}

func TestTheStatusPageHasTheLastIntervalASecondAndAllSinceTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := lines(t, Config{MaxSeries: 2}, "a:1|c\na:2|c\nb:1|c\nc:1|c\njunk\n<i>:x|c\n_e{1,1}:a|b")
		time.Sleep(4 * time.Second)
		r.self.drops.Add(2)
		r.flushAt(time.Now())
		r.feed.take([]byte("a:1|c\njunk"))
		shows(t, r,
			inFlow("Packets", "0.2", "2"), inFlow("Samples taken", "1.0", "5"), inFlow("Bad lines", "<strong>0.8</strong>", "4"),
			inFlow("Datagrams dropped by the kernel", "<strong>0.5</strong>", "2"), inFlow("Samples beyond the limits on series", "<strong>0.2</strong>", "1"),
			inFlow("Connections refused, there were too many", "0.0", "0"), "Open connections of senders: 0.")
		shows(t, r, `no_value</th><td class="n">2</td>`, `bad_value</th><td class="n">1</td>`, `event</th><td class="n">1</td>`, "&lt;i&gt;:x|c")
		time.Sleep(10 * time.Second)
		r.flushAt(time.Now())
		shows(t, r, inFlow("Samples taken", "0.1", "5"), inFlow("Datagrams dropped by the kernel", "0.0", "2"))
	})
}

func TestTheStatusPageHasTheConfigurationInForceAndWhyAReloadFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Flush: time.Minute, Naming: Naming{Suffix: "<b>"}}
		r := lines(t, cfg, "")
		const started = "2000-01-01 00:00:00 UTC</time>"
		shows(t, r, "this process has run since <time datetime=\"2000-01-01T00:00:00Z\">"+started, "there is no file to reload",
			"graphite.global_suffix</code></th><td><code><strong>&lt;b&gt;</strong>", "timer_samples</code></th><td><code>10000</code>")
		reload := func(err error) {
			time.Sleep(time.Hour)
			r.ReloadFrom(func() (Config, error) { return cfg, err })
			if got := r.Reload(); got != err {
				t.Fatal(got)
			}
		}
		reload(errors.New("line 7: <script>"))
		shows(t, r, "The last reload failed</strong>, at <time datetime=\"2000-01-01T01:00:00Z\">", "line 7: &lt;script&gt;",
			"In force since <time datetime=\"2000-01-01T00:00:00Z\">"+started+", hash <code>"+r.cfg.Load().hash())
		cfg.TimerSamples = 7
		reload(nil)
		shows(t, r, "In force since <time datetime=\"2000-01-01T02:00:00Z\">", "timer_samples</code></th><td><code><strong>7</strong>",
			r.cfg.Load().hash(), "this process has run since <time datetime=\"2000-01-01T00:00:00Z\">")
		if page, _ := get(t, r, "/", ""); strings.Contains(page, "failed") {
			t.Errorf("a reload that went well leaves the page with\n%s", page)
		}
	})
}

func TestTheStatusPageBeginsWithTheSettingsThatAreNotTheDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		want string // the paths
	}{
		{Config{UDP: "127.0.0.1:8125", TCP: "127.0.0.1:8125", HTTP: "127.0.0.1:9102"}, ""},
		{Config{HTTP: ":80", UDP: "127.0.0.1:8125", Flush: time.Hour, SetMembers: 9}, "tcp http flush_interval set_members"},
		{Config{Naming: Naming{NoPrefix: true}}, "udp tcp http graphite.global_prefix"},
	} {
		cfg, err := c.cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		var rep report
		rep.configure(cfg, outcome{})
		var changed []string
		for i, s := range rep.Settings {
			if s.Changed != (i < rep.Changed) {
				t.Errorf("%s is at place %d, and %d are changed", s.Path, i, rep.Changed)
			}
			if s.Changed {
				changed = append(changed, s.Path)
			}
		}
		if got := strings.Join(changed, " "); got != c.want {
			t.Errorf("%q is not the default, want %q", got, c.want)
		}
	}
}

func TestTheStatusPageHasTheBeginningsOfNamesWithTheMostSeries(t *testing.T) {
	t.Parallel()
	a, s := aggregate(t, Config{})
	for i := range 50 {
		for n := range 1 + i/2 {
			s.take(fmt.Appendf(nil, "p%02d.%d:1|c", i, n))
		}
	}
	_, got, _ := a.shown()
	var want []seriesCount
	for i := 48; len(want) < prefixesShown; i -= 2 {
		want = append(want, seriesCount{fmt.Sprintf("p%02d", i), 1 + i/2}, seriesCount{fmt.Sprintf("p%02d", i+1), 1 + i/2})
	}
	if !slices.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
}
