package rum_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/rum"
)

// plain is a navigation in which everything happened, over TLS.
func plain() rum.Navigation {
	return rum.Navigation{
		Type: "navigate", Now: 1500, RedirectStart: 1, RedirectEnd: 3, WorkerStart: 3, FetchStart: 4,
		DomainLookupStart: 5, DomainLookupEnd: 22, ConnectStart: 22, SecureConnectionStart: 41, ConnectEnd: 67,
		RequestStart: 68, ResponseStart: 213, ResponseEnd: 241, DOMInteractive: 701,
		DOMContentLoadedEventStart: 702, DOMContentLoadedEventEnd: 713, DOMComplete: 1471, LoadEventStart: 1472, LoadEventEnd: 1481,
	}
}

func TestPhasesOfANavigation(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*rum.Navigation)
		want    map[string]float64 // what differs from the plain one; −1 is absent
		dropped []rum.Dropped
	}{
		{name: "everything happened", change: func(*rum.Navigation) {}},
		{name: "a reused connection has no dns, tcp and tls, not 0 ms of them",
			change: func(n *rum.Navigation) {
				n.DomainLookupStart, n.DomainLookupEnd, n.ConnectStart, n.SecureConnectionStart, n.ConnectEnd = 4, 4, 4, 4, 4
			},
			want: map[string]float64{"dns": -1, "tcp": -1, "tls": -1}},
		{name: "plain http has no tls, and all of connect is tcp",
			change: func(n *rum.Navigation) { n.SecureConnectionStart = 0 },
			want:   map[string]float64{"tls": -1, "tcp": 45}},
		{name: "a beacon before load has no load", // faro-web-sdk reports connectEnd as TLS here
			change: func(n *rum.Navigation) { n.DOMComplete, n.LoadEventStart, n.LoadEventEnd = 0, 0, 0 },
			want:   map[string]float64{"dom_processing": -1, "load_event": -1, "page_load": -1}},
		{name: "Safari hides responseStart (web-vitals#275)",
			change: func(n *rum.Navigation) { n.ResponseStart = 0 },
			want:   map[string]float64{"request": -1, "response": -1}},
		{name: "an end before its start is dropped, its neighbours stay (boomerang#321)",
			change:  func(n *rum.Navigation) { n.DomainLookupEnd = 4.5; n.DomainLookupStart = 9 },
			want:    map[string]float64{"dns": -1},
			dropped: []rum.Dropped{{Metric: "nav_dns", Reason: "out_of_order"}}},
		{name: "later than now (web-vitals#162)",
			change:  func(n *rum.Navigation) { n.Now = 1480 - 10 },
			want:    map[string]float64{"dom_processing": 770, "load_event": -1, "page_load": -1},
			dropped: []rum.Dropped{{Metric: "nav_load_event", Reason: "future"}, {Metric: "nav_page_load", Reason: "future"}}},
		{name: "a laptop that slept (boomerang#41)",
			change:  func(n *rum.Navigation) { n.LoadEventEnd = 69_160_352; n.Now = 69_160_400 },
			want:    map[string]float64{"load_event": -1, "page_load": -1},
			dropped: []rum.Dropped{{Metric: "nav_load_event", Reason: "too_high"}, {Metric: "nav_page_load", Reason: "too_high"}}},
		{name: "negative (rum#1)",
			change:  func(n *rum.Navigation) { n.RedirectStart = -1 },
			want:    map[string]float64{"redirect": -1},
			dropped: []rum.Dropped{{Metric: "nav_redirect", Reason: "negative"}}},
		{name: "a prerendered page loads from its activation",
			change: func(n *rum.Navigation) { n.ActivationStart = 1000 },
			want:   map[string]float64{"page_load": 481}},
		{name: "and has loaded at once, if it had loaded by then",
			change: func(n *rum.Navigation) { n.ActivationStart, n.Now = 5000, 6000 },
			want:   map[string]float64{"page_load": 0}},
		{name: "TLS after the connection stood leaves tcp as it was",
			change:  func(n *rum.Navigation) { n.SecureConnectionStart = 70 },
			want:    map[string]float64{"tcp": 45, "tls": -1},
			dropped: []rum.Dropped{{Metric: "nav_tls", Reason: "out_of_order"}}},
		{name: "a machine that slept before the fetch has phases, and no time since the start (resource-timing#413)",
			change: func(n *rum.Navigation) {
				const slept = 61_000
				for _, at := range []*float64{&n.FetchStart, &n.DomainLookupStart, &n.DomainLookupEnd, &n.ConnectStart, &n.SecureConnectionStart,
					&n.ConnectEnd, &n.RequestStart, &n.ResponseStart, &n.ResponseEnd, &n.DOMInteractive, &n.DOMContentLoadedEventStart,
					&n.DOMContentLoadedEventEnd, &n.DOMComplete, &n.LoadEventStart, &n.LoadEventEnd, &n.Now} {
					*at += slept
				}
				n.WorkerStart = 0
			},
			want:    map[string]float64{"worker": -1, "page_load": -1},
			dropped: []rum.Dropped{{Metric: "nav_page_load", Reason: "too_high"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := plain()
			c.change(&n)
			want := map[string]float64{
				"redirect": 2, "worker": 1, "dns": 17, "tcp": 19, "tls": 26, "request": 145, "response": 28,
				"dom_interactive": 460, "dom_content_loaded": 11, "dom_processing": 770, "load_event": 9, "page_load": 1481,
			}
			for phase, value := range c.want {
				if want[phase] = value; value < 0 {
					delete(want, phase)
				}
			}
			samples, dropped := rum.Beacon{Nav: &n}.Samples()
			got := map[string]float64{}
			for _, s := range samples {
				got[s.Phase] = s.Value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.dropped, dropped); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVitalsBeyondTheirCapsAreDroppedNotClamped(t *testing.T) {
	value := func(v float64) *float64 { return &v }
	b := rum.Beacon{Vitals: rum.Vitals{LCP: value(600_001), INP: value(11_000), CLS: value(-0.1), TTFB: value(0)}}
	samples, dropped := b.Samples()
	if diff := cmp.Diff([]rum.Sample{{Vital: "ttfb", Value: 0}, {Vital: "inp", Value: 11_000}}, samples); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]rum.Dropped{{Metric: "lcp", Reason: "too_high"}, {Metric: "cls", Reason: "negative"}}, dropped); diff != "" {
		t.Error(diff)
	}
}

func TestATimeThatIsStillToComeIsDropped(t *testing.T) {
	value := func(v float64) *float64 { return &v }
	n := plain()
	n.DOMComplete = 1600
	b := rum.Beacon{Nav: &n, Vitals: rum.Vitals{LCP: value(1502), FCP: value(1500.5), TTFB: value(213), INP: value(1600), CLS: value(2)}}
	_, dropped := b.Samples()
	want := []rum.Dropped{{Metric: "lcp", Reason: "future"}, {Metric: "nav_dom_processing", Reason: "future"}}
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Error(diff)
	}
	sent := keys{}
	b.DjangoKeys(sent)
	if v, ok := sent["window.performance.timing.domComplete"]; ok {
		t.Errorf("domComplete = %v at %v", v, n.Now)
	}
}

func TestATraceIsHexAndNotZero(t *testing.T) {
	for trace, want := range map[string]string{
		"4bf92f3577b34da6a3ce929d0e0e4736":  "4bf92f3577b34da6a3ce929d0e0e4736",
		"00000000000000000000000000000000":  "",
		"4BF92F3577B34DA6A3CE929D0E0E4736":  "",
		"4bf92f3577b34da6a3ce929d0e0e47361": "",
		"4bf92f3577b34da6a3ce929d0e0e473\n": "",
		"\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4": "",
	} {
		if got := (rum.Beacon{Nav: &rum.Navigation{Trace: trace}}).Trace(); got != want {
			t.Errorf("Trace of %q = %q, want %q", trace, got, want)
		}
	}
}

// keyShape is every key that a beacon can make in Graphite.
var keyShape = regexp.MustCompile(`^(rum\.home\.([lf]cp|inp|cls|ttfb|nav\.(redirect|worker|dns|tcp|tls|request|response|dom_interactive|dom_content_loaded|dom_processing|load_event|page_load))` +
	`|window\.performance\.(timing\.(responseStart|domInteractive|domComplete|loadEventEnd)|calculated\.(network|rendering)|navigation\.type\.(navigate|reload|back_forward|prerender|back-forward-cache|soft-navigation|other)))$`)

func FuzzBeacon(f *testing.F) {
	f.Add([]byte(`{"page":"home","connection":"4g","vitals":{"LCP":190.4,"CLS":0,"INP":48},"nav":{"type":"navigate","now":1500,"fetchStart":3,"responseStart":20,"responseEnd":22,"loadEventEnd":90}}`))
	f.Add([]byte(`{"page":"home","vitals":{"LCP":-1e308,"CLS":1e308},"nav":{"fetchStart":1e308,"loadEventEnd":-1e308,"activationStart":-1e308}}`))
	f.Add([]byte(`{"page":"home","vitals":{"LCP":null},"nav":null}`))
	f.Add([]byte(`[]`))
	f.Add([]byte(detailed))
	f.Add([]byte(`{"page":"other","connection":"5g","automated":true,"nav":{"type":"rum.x","trace":"4bf92f3577b34da6a3ce929d0e0e4736","now":1,"responseStart":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := rum.Decode(body)
		if err != nil {
			return
		}
		check := func(key string, value float64) {
			if !keyShape.MatchString(key) || math.IsNaN(value) || value < 0 || value > 600_000 {
				t.Errorf("%s made %q of %v", body, key, value)
			}
		}
		samples, dropped := b.Samples()
		for _, s := range samples {
			check("rum.home."+s.Key(), s.Value)
		}
		for _, d := range dropped {
			if strings.HasSuffix(d.Metric, "_attribution") || d.Metric == "server_timing" || d.Metric == "timing" {
				continue
			}
			check("rum.home."+strings.Replace(d.Metric, "nav_", "nav.", 1), 0)
		}
		if len(b.ServerTiming) > 16 || len(b.Timings) > 16 {
			t.Errorf("%s: %d server timings and %d timings", body, len(b.ServerTiming), len(b.Timings))
		}
		sent := keys{}
		b.DjangoKeys(sent)
		for key, v := range sent {
			check(key, v)
		}
	})
}
