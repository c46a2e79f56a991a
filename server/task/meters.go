package task

import (
	"time"

	"addons/server/metrics"
)

// outcome is a label value.
type outcome string

const (
	sent    outcome = "sent"
	done    outcome = "done"
	failed  outcome = "failed" // one attempt; it is then retried or dead
	retried outcome = "retried"
	dead    outcome = "dead"
)

// meters are the queue's instruments.
type meters struct {
	total    *metrics.CounterVec
	duration *metrics.HistogramVec
	waits    *metrics.HistogramVec
	jobs     *metrics.GaugeVec
	oldest   *metrics.Gauge
	broker   brokerMeters
}

// brokerMeters have no series where there is no broker.
type brokerMeters struct {
	connected   *metrics.GaugeVec
	reconnects  *metrics.CounterVec
	blocked     *metrics.GaugeVec
	publishes   *metrics.HistogramVec
	redelivered *metrics.CounterVec
}

// taskBuckets (seconds) reach from a row's update to the default Timeout and beyond.
var taskBuckets = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}

func newMeters(reg *metrics.Registry) *meters {
	return &meters{
		total: reg.Counter(metrics.Desc{
			Name:   "addons_task_total",
			Help:   "Jobs sent, and attempts at them by outcome: each failed one was then retried or is dead.",
			Labels: []metrics.Label{metrics.L("kind"), metrics.L("outcome")},
			Keys:   []string{"task.{kind}.{outcome}"},
		}),
		duration: reg.Histogram(metrics.Desc{
			Name:    "addons_task_duration_seconds",
			Help:    "Time of one attempt at a job.",
			Labels:  []metrics.Label{metrics.L("kind"), metrics.L("outcome")},
			Keys:    []string{"task.{kind}.runtime"},
			Buckets: taskBuckets,
		}),
		waits: reg.Histogram(metrics.Desc{
			Name:    "addons_task_wait_seconds",
			Help:    "Time from when a job was due until a worker began it.",
			Labels:  []metrics.Label{metrics.L("kind")},
			Buckets: taskBuckets,
		}),
		jobs: reg.Gauge(metrics.Desc{
			Name:   "addons_task_queue_jobs",
			Help:   "Jobs that wait (later ones too), are with a worker, or are dead.",
			Labels: []metrics.Label{metrics.L("state", "waiting", "leased", "dead")},
		}),
		oldest: reg.Gauge(metrics.Desc{
			Name: "addons_task_oldest_age_seconds",
			Help: "How long the job that is due longest has been due; 0 if none is.",
		}).With(),
		broker: newBrokerMeters(reg),
	}
}

func newBrokerMeters(reg *metrics.Registry) brokerMeters {
	connection := metrics.L("connection")
	return brokerMeters{
		connected: reg.Gauge(metrics.Desc{
			Name:   "addons_task_broker_connected",
			Help:   "1 while the connection to the broker (publish or consume) stands.",
			Labels: []metrics.Label{connection},
		}),
		reconnects: reg.Counter(metrics.Desc{
			Name:   "addons_task_broker_reconnects_total",
			Help:   "Connections to the broker that were lost or could not be made, after which another try follows.",
			Labels: []metrics.Label{connection},
		}),
		blocked: reg.Gauge(metrics.Desc{
			Name:   "addons_task_broker_blocked",
			Help:   "1 while the broker takes nothing because it is short of memory or disk: jobs wait in the database.",
			Labels: []metrics.Label{connection},
		}),
		publishes: reg.Histogram(metrics.Desc{
			Name:   "addons_task_broker_publish_seconds",
			Help:   "Time until the broker answered for one message; unconfirmed ones wait in the database as well.",
			Labels: []metrics.Label{metrics.L("outcome")},
		}),
		redelivered: reg.Counter(metrics.Desc{
			Name:   "addons_task_broker_redelivered_total",
			Help:   "Messages that another worker or connection had before and did not acknowledge.",
			Labels: []metrics.Label{metrics.L("queue")},
			Debug:  true,
		}),
	}
}

// kindMeters are one kind's instruments.
type kindMeters struct {
	sent, done, failed, retried, dead *metrics.Counter
	wait                              *metrics.Histogram
	runtimes                          map[outcome]*metrics.Histogram
}

func (m *meters) kind(name string) kindMeters {
	count := func(o outcome) *metrics.Counter { return m.total.With(name, string(o)) }
	return kindMeters{
		sent: count(sent), done: count(done), failed: count(failed), retried: count(retried), dead: count(dead),
		wait: m.waits.With(name),
		runtimes: map[outcome]*metrics.Histogram{
			done:   m.duration.With(name, string(done)),
			failed: m.duration.With(name, string(failed)),
		},
	}
}

func (k kindMeters) runtime(o outcome) *metrics.Histogram { return k.runtimes[o] }

// depth sets the gauges.
func (m *meters) depth(s Stats, now time.Time) {
	m.backlog(s, now)
	m.jobs.With("leased").Set(float64(s.Leased))
	m.jobs.With("dead").Set(float64(s.Dead))
}

// backlog sets those of what waits.
func (m *meters) backlog(s Stats, now time.Time) {
	m.jobs.With("waiting").Set(float64(s.Waiting))
	age := time.Duration(0)
	if !s.Oldest.IsZero() {
		age = max(0, now.Sub(s.Oldest))
	}
	m.oldest.Set(age.Seconds())
}
