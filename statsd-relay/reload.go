package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"addons/server/metrics"
)

// ErrNoSource is returned by Reload when the Relay was not told where its
// configuration comes from.
var ErrNoSource = errors.New("statsd-relay: there is no configuration file to read again: start with --config FILE")

// reloading is what a Relay knows of its reloads.
type reloading struct {
	sync.Mutex // one at a time
	source     func() (Config, error)

	outcome atomic.Pointer[outcome] // of the last one
}

// outcome is what became of the attempts to read the configuration.
type outcome struct {
	started time.Time // with the first
	loaded  time.Time // the one in force
	failed  time.Time // the last attempt; zero if it did not
	err     error     // why
}

// ReloadFrom says where Reload gets the configuration. It is called before Run.
func (r *Relay) ReloadFrom(source func() (Config, error)) { r.reloading.source = source }

// Reload reads the configuration again and applies it, without a packet lost:
// sockets and series stay. What is about the interval is in force from the next
// one on, the rest from the next flush. If anything in it is wrong, or can't be
// changed while the relay runs, the error says so, and all is as it was.
func (r *Relay) Reload() error {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	if r.reloading.source == nil {
		return ErrNoSource
	}
	cfg, err := r.reloading.source()
	if err == nil {
		err = r.apply(cfg)
	}
	r.reloaded(err)
	if err != nil {
		r.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return err
	}
	r.log.Info("configuration reloaded", "hash", r.cfg.Load().hash())
	return nil
}

// apply puts cfg into force, or nothing of it.
func (r *Relay) apply(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	old := *r.cfg.Load()
	kinds, fixed := changes(old, cfg)
	if len(fixed) > 0 {
		return fmt.Errorf("statsd-relay: %s can't be changed while it runs: restart it, or put the old value back", strings.Join(fixed, ", "))
	}
	r.flushing.Lock()
	var leaving []sink
	for i, k := range kinds {
		gone, err := r.renewSink(k, old, cfg)
		if err != nil {
			for _, k := range kinds[:i] {
				r.renewSink(k, cfg, old)
			}
			r.flushing.Unlock()
			return err
		}
		if gone != nil {
			leaving = append(leaving, gone)
		}
	}
	r.cfg.Store(&cfg)
	r.agg.configure(cfg)
	r.flushing.Unlock()
	for _, s := range leaving {
		r.release(s)
	}
	return nil
}

// changes finds out what differs: sinks to make anew, and settings that a running
// relay can't change.
func changes(old, cfg Config) (kinds []sinkKind, fixed []string) {
	now := settings(reflect.ValueOf(&cfg).Elem())
	all := sinkKinds()
	changed := make([]bool, len(all))
	for i, was := range settings(reflect.ValueOf(&old).Elem()) {
		if reflect.DeepEqual(was.value.Interface(), now[i].value.Interface()) {
			continue
		}
		owner := slices.IndexFunc(all, func(k sinkKind) bool { return k.owns(was.path) })
		switch {
		case owner >= 0:
			changed[owner] = true
		case !was.live:
			fixed = append(fixed, was.path)
		}
	}
	for i, k := range all {
		if changed[i] {
			kinds = append(kinds, k)
		}
	}
	return kinds, fixed
}

// hash tells configurations apart.
func (c Config) hash() string {
	h := sha256.New()
	for _, s := range c.Settings() {
		fmt.Fprintf(h, "%s: %s\n", s.Path, s.Value)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// configure changes what may change. The interval under way ends with the length
// that it began with.
func (a *aggregator) configure(cfg Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interval, cfg.Flush = cfg.Flush, a.cfg.Flush
	a.cfg = cfg
	a.summarise(cfg)
	for _, s := range a.shards {
		s.mu.Lock()
		s.limits.series, s.limits.samples, s.limits.members = cfg.MaxSeries, cfg.TimerSamples, cfg.SetMembers
		s.table.limit = cfg.MaxSeries
		s.mu.Unlock()
	}
	a.remap(cfg.Prometheus.rules) // a mapping may be another in the same file
	a.self.limit.Set(float64(cfg.MaxSeries))
}

// begin begins the first interval of a process, before which there was a pause.
func (a *aggregator) begin() {
	a.nextInterval()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastFlush = time.Time{}
}

// nextInterval begins the first interval of a new length, if there is one.
func (a *aggregator) nextInterval() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.interval > 0 {
		a.cfg.Flush, a.interval = a.interval, 0
	}
}

func (s *self) declareReloads(reg *metrics.Registry) {
	s.reloadGood = reg.Gauge(metrics.Desc{Name: "relay_config_last_reload_successful", Help: "Whether the last attempt to read the configuration succeeded."}).With()
	s.reloadTime = reg.Gauge(metrics.Desc{Name: "relay_config_last_reload_success_timestamp_seconds", Help: "When the configuration in force was read, in Unix time.", Debug: true}).With()
}

// reloaded notes what became of an attempt; the first is New's.
func (r *Relay) reloaded(err error) {
	now := time.Now()
	o := outcome{started: now}
	if before := r.reloading.outcome.Load(); before != nil {
		o = *before
	}
	if o.err = err; err == nil {
		o.loaded, o.failed = now, time.Time{}
		r.self.reloadTime.Set(float64(now.UnixMilli()) / 1000)
	} else {
		o.failed = now
	}
	r.reloading.outcome.Store(&o)
	r.self.reloadGood.Set(oneIf(err == nil))
}

// forgetSink drops the gauges of a sink that is no more: one that is down for good
// would be an alert for good.
func (s *self) forgetSink(name string) {
	for _, g := range []*metrics.GaugeVec{s.sinkWaiting, s.sinkQueue, s.sinkLimit, s.sinkUp, s.spool.bytes, s.spool.limit, s.spool.oldest} {
		g.Forget(name)
	}
}

// forgetPeer drops the gauges of a peer that is no more.
func (s *self) forgetPeer(sink, address string) {
	s.peerUp.Forget(sink, address)
	s.peerQueue.Forget(sink, address)
}

// serveReload answers POST /-/reload. Only this host may ask, unless the
// configuration says otherwise.
func (r *Relay) serveReload(w http.ResponseWriter, req *http.Request) {
	if !r.cfg.Load().RemoteReload && !isLocal(req) {
		http.Error(w, "ask from this host, or start with --remote-reload", http.StatusForbidden)
		return
	}
	switch err := r.Reload(); {
	case errors.Is(err, ErrNoSource):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		fmt.Fprintln(w, "reloaded")
	}
}
