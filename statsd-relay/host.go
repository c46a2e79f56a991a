package relay

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"addons/statsd-relay/host"
)

// Host makes gauges of the machine's own numbers: host.Metrics lists them. They go
// through the aggregator as all that the program itself feeds.
type Host struct {
	// Enabled switches them on.
	Enabled bool `yaml:"enabled"`
	// Interval is how often they are read; 0 is 10 s. Readings come a twentieth of it
	// before its multiples of wall time, so that a flush then has fresh ones.
	Interval time.Duration `yaml:"interval"`
	// Prefix is before all names; "" is "host." and the machine's name, its dots as "_".
	Prefix string `yaml:"prefix"`
	// Interfaces, Disks and Mounts are regular expressions of those that are named; ""
	// are an interface of hardware, a tunnel or a bond, a whole disk, and all file
	// systems that are on devices.
	Interfaces string `yaml:"interfaces"`
	Disks      string `yaml:"disks"`
	Mounts     string `yaml:"mounts"`
	// Most is how many of each are named, the first by name; 0 is 32.
	Most int `yaml:"most"`

	expressions [3]*regexp.Regexp
}

// complete fills what is left zero, and refuses what can't be done.
func (h *Host) complete() error {
	h.Interval = cmp.Or(h.Interval, 10*time.Second)
	h.Most = cmp.Or(h.Most, 32)
	if h.Interval < time.Second || h.Most < 0 {
		return fmt.Errorf("statsd-relay: host: interval %v, most %d: give at least 1s, and no negative number", h.Interval, h.Most)
	}
	for i, text := range []string{h.Interfaces, h.Disks, h.Mounts} {
		if text == "" {
			continue
		}
		var err error
		if h.expressions[i], err = regexp.Compile(text); err != nil {
			return fmt.Errorf("statsd-relay: host: %s: %w", [...]string{"interfaces", "disks", "mounts"}[i], err)
		}
	}
	return nil
}

// prefix is what all names begin with.
func (h Host) prefix() string {
	if h.Prefix != "" {
		return h.Prefix + "."
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	return "host." + strings.ReplaceAll(name, ".", "_") + "."
}

// newHost returns the reader that cfg wants; nil if it wants none.
func newHost(cfg Host) (*host.Reader, error) {
	if !cfg.Enabled {
		return nil, nil
	}
	r, err := host.New(host.Config{Interfaces: cfg.expressions[0], Disks: cfg.expressions[1], Mounts: cfg.expressions[2], Most: cfg.Most})
	if err != nil {
		return nil, fmt.Errorf("statsd-relay: %w", err)
	}
	return r, nil
}

// watchHost reads the machine's numbers until ctx is done.
func (r *Relay) watchHost(ctx context.Context) {
	cfg := r.cfg.Load().Host
	prefix := cfg.prefix()
	var last error
	for {
		err := r.host.Read(time.Now(), func(name string, value float64) { r.Gauge(prefix+name, value) })
		if err != nil {
			r.self.hostErrors.Inc()
		}
		if err != nil && last == nil {
			r.log.Warn("host metrics can't be read in full", "error", err)
		}
		last = err
		timer := time.NewTimer(time.Until(nextReading(time.Now(), cfg.Interval)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// nextReading is a twentieth of the interval before the first of its multiples
// for which that is after now.
func nextReading(now time.Time, interval time.Duration) time.Time {
	early := interval / 20
	return nextFlush(now.Add(early), interval).Add(-early)
}
