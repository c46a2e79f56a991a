package alerts

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"addons/dashboards/console"
	"addons/statsd-relay/prom"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle []byte

// page answers the alerts' pages.
type page struct {
	prometheus *prom.Client
	console    *console.Console
	templates  *template.Template
	style      console.Asset
	markdown   goldmark.Markdown
	now        func() time.Time
}

// New returns the handler of the alerts' pages, for operators: the rules and
// what fires at the console's base, runbooks/<alert> below it.
func New(client *prom.Client, c *console.Console) http.Handler {
	p := &page{
		prometheus: client, console: c, now: time.Now,
		style:    console.NewAsset(c.Base()+"assets/", "alerts.css", pageStyle),
		markdown: goldmark.New(goldmark.WithExtensions(extension.GFM)),
	}
	p.templates = template.Must(template.New("").Funcs(template.FuncMap{
		"ago": func(t time.Time) string { return ago(p.now().Sub(t)) },
		"at":  func(t time.Time) string { return t.Format(time.RFC3339) },
	}).Parse(pageText))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+c.Base()+"{$}", p.list)
	mux.HandleFunc("GET "+c.Base()+"runbooks/{alert}", p.runbook)
	for _, a := range append(c.Files(), p.style) {
		mux.Handle("GET "+a.Path, a)
	}
	return mux
}

// group is a group of rules as it is shown.
type group struct {
	Name, File string
	Alerts     []rule
	Recordings []v1.RecordingRule
}

// rule is an alerting rule with what it has found.
type rule struct {
	v1.AlertingRule
	Class    string // of its state
	For      string // how long its condition must hold
	Severity string
	Impact   string
	Runbook  bool
	Active   []active
}

// active is an alert that is pending or fires.
type active struct {
	State                                   string
	Class                                   string // of its state
	Since                                   time.Time
	Value                                   string
	Summary, Description, Impact, Dashboard string
	Labels                                  []pair // those that its rule does not set
	Rule                                    *rule
}

type pair struct{ Name, Value string }

func (p *page) list(w http.ResponseWriter, r *http.Request) {
	groups, err := p.groups(r.Context())
	data := struct {
		Base    string
		Problem error
		Firing  []active // pending ones after those that fire
		Groups  []group
		Count   int // of alerting rules
	}{Base: p.console.Base(), Problem: err, Groups: groups}
	for _, g := range groups {
		data.Count += len(g.Alerts)
		for _, rule := range g.Alerts {
			if rule.Severity != "none" {
				data.Firing = append(data.Firing, rule.Active...)
			}
		}
	}
	slices.SortStableFunc(data.Firing, func(a, b active) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)), a.Since.Compare(b.Since))
	})
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadGateway
	}
	p.write(w, status, "list", "Alerts", data)
}

// urgency orders alerts: those that fire before those that may, the graver first.
func urgency(a active) int {
	rank := slices.Index([]string{"critical", "warning", "info"}, a.Rule.Severity)
	if rank < 0 {
		rank = 3
	}
	if a.State != string(v1.AlertStateFiring) {
		rank += 4
	}
	return rank
}

func (p *page) groups(ctx context.Context) ([]group, error) {
	found, err := p.prometheus.Rules(ctx)
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, g := range found {
		shown := group{Name: g.Name, File: g.File}
		for _, r := range g.Rules {
			switch r := r.(type) {
			case v1.AlertingRule:
				shown.Alerts = append(shown.Alerts, newRule(r))
			case v1.RecordingRule:
				shown.Recordings = append(shown.Recordings, r)
			}
		}
		groups = append(groups, shown)
	}
	return groups, nil
}

func newRule(r v1.AlertingRule) rule {
	out := rule{
		AlertingRule: r, For: "at once",
		Severity: string(r.Labels["severity"]), Impact: string(r.Annotations["impact"]),
		Class: stateClass(r.State), Runbook: slices.Contains(Runbooks(), r.Name),
	}
	if r.Duration > 0 {
		out.For = model.Duration(r.Duration * float64(time.Second)).String()
	}
	if out.Severity == "none" && r.State == string(v1.AlertStateFiring) {
		out.Class = "ok" // the Watchdog does its duty
	}
	for _, a := range r.Alerts {
		out.Active = append(out.Active, newActive(&out, a))
	}
	return out
}

func newActive(r *rule, a *v1.Alert) active {
	note := func(name model.LabelName) string { return string(a.Annotations[name]) }
	out := active{
		State: string(a.State), Class: stateClass(string(a.State)), Since: a.ActiveAt, Value: short(a.Value), Rule: r,
		Summary: note("summary"), Description: note("description"), Impact: note("impact"), Dashboard: note("dashboard_url"),
	}
	for name, value := range a.Labels {
		if name != model.AlertNameLabel && r.Labels[name] == "" {
			out.Labels = append(out.Labels, pair{string(name), string(value)})
		}
	}
	slices.SortFunc(out.Labels, func(a, b pair) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func stateClass(state string) string {
	return map[string]string{"inactive": "ok", "pending": "warn", "firing": "bad"}[state]
}

// short is a number as Prometheus writes it ("1.6666666e-01") with three digits.
func short(value string) string {
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	return strconv.FormatFloat(f, 'g', 3, 64)
}

// ago is a duration in its largest unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + " days"
}

func (p *page) runbook(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("alert")
	text, err := Runbook(name)
	if err != nil {
		p.write(w, http.StatusNotFound, "missing", "Not found", p.console.Base())
		return
	}
	var html bytes.Buffer
	if err := p.markdown.Convert(text, &html); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.write(w, http.StatusOK, "runbook", name, struct {
		Base string
		Text template.HTML // of our own files, and goldmark lets no raw HTML through
	}{p.console.Base(), template.HTML(html.String())})
}

func (p *page) write(w http.ResponseWriter, status int, name, title string, data any) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.console.Write(w, status, console.Page{ // fails only when the reader has gone
		Title: title, Here: p.console.Base(), Styles: []string{p.style.Path},
		Body: template.HTML(b.String()), // made by html/template above
	})
}
