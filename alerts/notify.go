package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"addons/server/metrics"
)

const (
	// waiting batches, one per rule that fires. Beyond them the newest is dropped:
	// what fires is said again a minute later.
	maxWaiting    = 100
	notifyTimeout = 10 * time.Second
)

// Notifier tells somebody of alerts: an Alertmanager, or a webhook in
// Alertmanager's format. A notification that fails is logged, counted and not
// tried again, because the rules' manager says what fires every minute and what
// is resolved for a quarter of an hour.
type Notifier struct {
	url     string
	encode  func([]*model.Alert) any
	client  *http.Client
	waiting chan []*model.Alert
	log     *slog.Logger

	sent, failed, dropped *metrics.Counter
}

// NewAlertmanager returns a Notifier that tells the Alertmanager at base, such
// as http://alertmanager:9093.
func NewAlertmanager(base string, reg *metrics.Registry, log *slog.Logger) (*Notifier, error) {
	return newNotifier(strings.TrimSuffix(base, "/")+"/api/v2/alerts", postable, reg, log)
}

// NewWebhook returns a Notifier that posts to rawURL what Alertmanager's webhook
// would. external is where operators reach this process.
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
func NewWebhook(rawURL, external string, reg *metrics.Registry, log *slog.Logger) (*Notifier, error) {
	return newNotifier(rawURL, func(all []*model.Alert) any { return newMessage(all, external) }, reg, log)
}

func newNotifier(rawURL string, encode func([]*model.Alert) any, reg *metrics.Registry, log *slog.Logger) (*Notifier, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("alert notifications: want a URL like https://host/path")
	}
	total := reg.Counter(metrics.Desc{
		Name: "addons_alert_notifications_total", Help: "Notifications of alerts, by what became of them.",
		Labels: []metrics.Label{metrics.L("outcome", "sent", "failed", "dropped")},
	})
	return &Notifier{
		url: rawURL, encode: encode, client: &http.Client{Timeout: notifyTimeout, Transport: reg.Transport("alerts", nil)},
		waiting: make(chan []*model.Alert, maxWaiting), log: log,
		sent: total.With("sent"), failed: total.With("failed"), dropped: total.With("dropped"),
	}, nil
}

// Notify takes alerts of one rule and never blocks.
func (n *Notifier) Notify(all []*model.Alert) {
	select {
	case n.waiting <- all:
	default:
		n.dropped.Inc()
	}
}

// Run sends until ctx is done.
func (n *Notifier) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case all := <-n.waiting:
			if err := n.send(ctx, all); err != nil {
				n.failed.Inc()
				n.log.Warn("alert notification", "alert", all[0].Name(), "error", err)
				continue
			}
			n.sent.Inc()
		}
	}
}

func (n *Notifier) send(ctx context.Context, all []*model.Alert) error {
	body, err := json.Marshal(n.encode(all))
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := n.client.Do(r)
	if err != nil {
		// The URL may hold a secret; the error of url.Error repeats it.
		return fmt.Errorf("post: %w", errorWithoutURL(err))
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection can be used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

func errorWithoutURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// postable is the body of Alertmanager's POST /api/v2/alerts.
func postable(all []*model.Alert) any { return all }

// message is the body of Alertmanager's webhook, version 4.
type message struct {
	Version           string         `json:"version"`
	GroupKey          string         `json:"groupKey"`
	TruncatedAlerts   int            `json:"truncatedAlerts"`
	Status            string         `json:"status"`
	Receiver          string         `json:"receiver"`
	GroupLabels       model.LabelSet `json:"groupLabels"`
	CommonLabels      model.LabelSet `json:"commonLabels"`
	CommonAnnotations model.LabelSet `json:"commonAnnotations"`
	ExternalURL       string         `json:"externalURL"`
	Alerts            []one          `json:"alerts"`
}

type one struct {
	Status       string         `json:"status"`
	Labels       model.LabelSet `json:"labels"`
	Annotations  model.LabelSet `json:"annotations"`
	StartsAt     time.Time      `json:"startsAt"`
	EndsAt       time.Time      `json:"endsAt"`
	GeneratorURL string         `json:"generatorURL"`
	Fingerprint  string         `json:"fingerprint"`
}

func newMessage(all []*model.Alert, external string) message {
	name := all[0].Labels[model.AlertNameLabel]
	m := message{
		Version: "4", GroupKey: fmt.Sprintf("{}:{alertname=%q}", name), Receiver: "webhook", ExternalURL: external,
		Status:      string(model.Alerts(all).Status()),
		GroupLabels: model.LabelSet{model.AlertNameLabel: name},
	}
	var labels, annotations []model.LabelSet
	for _, a := range all {
		shown := one{
			Status: string(a.Status()), Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: a.StartsAt, GeneratorURL: a.GeneratorURL, Fingerprint: a.Fingerprint().String(),
		}
		if a.Resolved() {
			shown.EndsAt = a.EndsAt
		}
		m.Alerts = append(m.Alerts, shown)
		labels, annotations = append(labels, a.Labels), append(annotations, a.Annotations)
	}
	m.CommonLabels, m.CommonAnnotations = common(labels), common(annotations)
	return m
}

// common are the pairs that all sets have.
func common(sets []model.LabelSet) model.LabelSet {
	out := sets[0].Clone()
	for _, s := range sets[1:] {
		for name, value := range out {
			if s[name] != value {
				delete(out, name)
			}
		}
	}
	return out
}
