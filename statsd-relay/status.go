package relay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"addons/server/metrics"
	"addons/statsd-relay/statsd"
)

// report is what the status page shows.
type report struct {
	Now, Started time.Time
	Flush        time.Duration
	Listens      []string
	Ready        bool
	Flows        []flow
	Connections  float64
	Lag          time.Duration // of the last flush

	Sinks    []sinkReport
	Series   []seriesCount
	Limit    int
	Prefixes []seriesCount // those with the most series
	Top      []keyRate
	Bad      []badCount
	BadLines []badReport

	Hash       string // of the configuration
	Loaded     time.Time
	Failed     time.Time // the last reload; zero if it did not
	Fault      string    // why
	Reloadable bool
	Changed    int // settings that are not the defaults
	Settings   []shownSetting
}

// seriesCount is how many series there are of a type, or whose names begin alike.
type seriesCount struct {
	Of    string
	Count int
}

// prefixesShown is how many beginnings of names the page lists.
const prefixesShown = 20

type sinkReport struct {
	Name, Address, Error string
	Since                time.Duration
	Waiting              int
	KiB                  int64
	Sent                 int64
	Facts                []fact
}

// badCount is how many bad lines there were for a reason since the start.
type badCount struct {
	Reason string
	Count  float64
}

type badReport struct {
	At     time.Time
	Reason string
	Text   string // Go-quoted: it may hold anything
}

// shownSetting is a setting, and whether it is not the default.
type shownSetting struct {
	Setting
	Changed bool
}

func (r *Relay) report() report {
	cfg, now := r.cfg.Load(), time.Now().UTC()
	rep := report{Now: now, Flush: cfg.Flush, Ready: r.ready.Load(), Limit: cfg.MaxSeries, Connections: r.self.conns.Value()}
	rep.Lag = time.Duration(r.self.lag.Value() * float64(time.Second)).Round(time.Millisecond)
	for _, l := range r.in {
		rep.Listens = append(rep.Listens, l.transport()+" "+l.addr().String())
	}
	rep.Series, rep.Prefixes, rep.Top = r.agg.shown()
	rep.Flows = r.intake.flows(r.self)
	for _, s := range r.currentSinks() {
		for _, st := range statuses(s) {
			rep.Sinks = append(rep.Sinks, st.report(now))
		}
	}
	rep.Bad = r.self.badCounts()
	for _, b := range r.bad.last() {
		rep.BadLines = append(rep.BadLines, badReport{b.at.UTC(), b.why.String(), fmt.Sprintf("%q", b.text[:b.n])})
	}
	rep.configure(*cfg, *r.reloading.outcome.Load())
	rep.Reloadable = r.reloading.source != nil
	return rep
}

func (st sinkStatus) report(now time.Time) sinkReport {
	out := sinkReport{Name: st.name, Address: st.address, Since: now.Sub(st.since).Round(time.Second), Waiting: st.waiting, KiB: (st.bytes + 1023) / 1024, Sent: st.sent, Facts: st.facts}
	if st.err != nil {
		out.Error = st.err.Error()
	}
	return out
}

// configure fills in what is said of the configuration, what differs from the
// defaults first.
func (rep *report) configure(cfg Config, o outcome) {
	rep.Hash, rep.Started, rep.Loaded, rep.Failed = cfg.hash(), o.started.UTC(), o.loaded.UTC(), o.failed.UTC()
	if o.err != nil {
		rep.Fault = o.err.Error()
	}
	cfg.Naming = cfg.Naming.filled()
	usual := cfg.usual().Settings()
	for i, s := range cfg.Settings() {
		rep.Settings = append(rep.Settings, shownSetting{s, s != usual[i]})
		if s != usual[i] {
			rep.Changed++
		}
	}
	slices.SortStableFunc(rep.Settings, func(a, b shownSetting) int { return cmp.Compare(oneIf(b.Changed), oneIf(a.Changed)) })
}

// usual is what c would be if nothing were given to statsd-relay but
// flush_interval, on which other defaults depend; it too has its default then.
// What names pages have, and where they are, is for the program to say.
func (c Config) usual() Config {
	plain, _ := Config{}.withDefaults() // which refuses neither
	usual, _ := Config{Flush: c.Flush}.withDefaults()
	usual.Flush = plain.Flush
	usual.UDP, usual.TCP, usual.HTTP = "127.0.0.1:8125", "127.0.0.1:8125", "127.0.0.1:9102"
	usual.Naming = Naming{}.filled()
	usual.Beacons.Pages, usual.Beacons.Routes = c.Beacons.Pages, c.Beacons.Routes
	return usual
}

// filled is n with the names that empty ones stand for.
func (n Naming) filled() Naming {
	if !n.NoPrefix {
		n.Prefix = cmp.Or(n.Prefix, "stats")
	}
	n.Counter, n.Timer = cmp.Or(n.Counter, "counters"), cmp.Or(n.Timer, "timers")
	n.Gauge, n.Set = cmp.Or(n.Gauge, "gauges"), cmp.Or(n.Set, "sets")
	n.Self = cmp.Or(n.Self, "statsd")
	return n
}

// shown counts the series by type and by the first part of their names, and lists
// the busiest of the last flush.
func (a *aggregator) shown() (types, prefixes []seriesCount, top []keyRate) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.merge()
	for c := range a.series {
		types = append(types, seriesCount{class(c).String(), a.series[c].len()})
	}
	order := func(x, y seriesCount) int { return cmp.Or(cmp.Compare(y.Count, x.Count), strings.Compare(x.Of, y.Of)) }
	for prefix, n := range a.prefixes {
		one := seriesCount{prefix, n}
		if at, _ := slices.BinarySearchFunc(prefixes, one, order); at < prefixesShown {
			prefixes = slices.Insert(prefixes[:min(len(prefixes), prefixesShown-1)], at, one)
		}
	}
	return types, prefixes, a.top
}

// badCounts are those that are not zero, the greatest first.
func (s *self) badCounts() (all []badCount) {
	for _, why := range statsd.Reasons() {
		if n := s.bad[why].Value(); n > 0 {
			all = append(all, badCount{why.String(), n})
		}
	}
	slices.SortStableFunc(all, func(a, b badCount) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// flow is something that comes in, or is left out.
type flow struct {
	What  string
	Rate  float64 // a second, in the last interval
	Total float64 // since the start
	Loss  bool    // there should be none
}

// flows are the totals since the start.
func (s *self) flows() []flow {
	var packets []*metrics.Counter
	for _, t := range transports {
		packets = append(packets, s.packets[t])
	}
	return []flow{
		{What: "Packets", Total: sumOf(packets)},
		{What: "Samples taken", Total: sumOf(s.lines[:])},
		{What: "Bad lines", Total: sumOf(s.bad[1:]), Loss: true},
		{What: "Datagrams dropped by the kernel", Total: s.drops.Value(), Loss: true},
		{What: "Samples beyond the limits on series", Total: sumOf(s.overflow[:]), Loss: true},
		{What: "Connections refused, there were too many", Total: s.refused.Value(), Loss: true},
	}
}

func sumOf(all []*metrics.Counter) (n float64) {
	for _, c := range all {
		n += c.Value()
	}
	return n
}

// intake keeps what the last interval came to. The zero value is ready.
type intake struct {
	mu    sync.Mutex
	began time.Time // the interval under way
	last  []flow    // as of then
}

// end notes the end of an interval.
func (t *intake) end(s *self) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, flows := time.Now(), s.flows()
	for i := range t.last {
		flows[i].Rate = (flows[i].Total - t.last[i].Total) / max(now.Sub(t.began), time.Millisecond).Seconds()
	}
	t.began, t.last = now, flows
}

// flows are those up to now, with the rates of the last interval.
func (t *intake) flows(s *self) []flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := s.flows()
	for i := range t.last {
		all[i].Rate = t.last[i].Rate
	}
	return all
}
