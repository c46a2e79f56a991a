package dashboards

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"addons/statsd-relay/prom"
)

// span is a time range that can be chosen.
type span struct {
	Name   string
	Length time.Duration
}

var spans = []span{{"15m", 15 * time.Minute}, {"1h", time.Hour}, {"6h", 6 * time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

// chooseSpan reads ?range=6h; anything else is the dashboard's own range, as
// "now-6h" in its JSON, and an hour if that is none of ours either.
func chooseSpan(name, from string) span {
	for _, wanted := range []string{name, strings.TrimPrefix(from, "now-")} {
		if i := slices.IndexFunc(spans, func(s span) bool { return s.Name == wanted }); i >= 0 {
			return spans[i]
		}
	}
	return spans[1]
}

// steps between points are round, so that points and ticks of a clock agree.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
}

// maxPoints of a line: about one for three pixels of a wide screen.
const maxPoints = 300

// window is the time that a page shows and how finely.
type window struct {
	span
	Start, End time.Time
	Step       time.Duration
	interval   time.Duration // between scrapes
}

func newWindow(s span, interval time.Duration, now time.Time) window {
	w := window{span: s, interval: interval, Step: steps[len(steps)-1]}
	if i := slices.IndexFunc(steps, func(d time.Duration) bool { return d >= interval && s.Length/d <= maxPoints }); i >= 0 {
		w.Step = steps[i]
	}
	// Round, so that points stay where they are from one refresh to the next, but
	// never further from now than a reader would notice.
	w.End = now.Truncate(min(w.Step, time.Minute))
	w.Start = w.End.Add(-s.Length)
	return w
}

// macros are Grafana's: what $__interval and its like stand for.
// https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/
func (w window) macros() map[string]string {
	seconds := fmt.Sprint(int(w.Length.Seconds()))
	return map[string]string{
		"__interval":      promDuration(w.Step),
		"__rate_interval": promDuration(max(w.Step+w.interval, 4*w.interval)),
		"__range":         seconds + "s",
		"__range_s":       seconds,
	}
}

func promDuration(d time.Duration) string { return model.Duration(d).String() }

var reference = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(?::\w+)?\}`)

// Expand is a query with the variables' values and, for the last hour at a scrape
// every 15 seconds, Grafana's macros in it.
func Expand(query string, variables map[string]string) string {
	w := newWindow(spans[1], 15*time.Second, time.Now())
	return expand(expand(query, variables), w.macros())
}

// expand replaces $name, ${name} and ${name:format} by their values; what it
// does not know stays as it is.
func expand(text string, values map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		m := reference.FindStringSubmatch(ref)
		if v, ok := values[m[1]+m[2]]; ok {
			return v
		}
		return ref
	})
}

// choice is a variable with what can be and what was chosen.
type choice struct {
	Variable
	Options  []string
	Selected []string
}

const all = "$__all"

// Has says whether an option was chosen.
func (c choice) Has(option string) bool { return slices.Contains(c.Selected, option) }

// value is what takes the variable's place in a query: a regular expression if
// it may be several, as Grafana has it for Prometheus.
func (c choice) value() string {
	if c.Has(all) {
		if c.AllValue != "" {
			return c.AllValue
		}
		return ".*"
	}
	if !c.Multi && !c.IncludeAll {
		return strings.Join(c.Selected, "|")
	}
	quoted := make([]string, len(c.Selected))
	for i, s := range c.Selected {
		// Within a PromQL string a backslash is written twice.
		quoted[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(regexp.QuoteMeta(s))
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(" + strings.Join(quoted, "|") + ")"
}

var labelValues = regexp.MustCompile(`^label_values\((?:(.+),\s*)?(\w+)\)$`)

// choose resolves the dashboard's variables against the page's address
// (?var-name=value, as Grafana's). Data sources are not the viewer's choice: it
// has one.
func choose(ctx context.Context, c *prom.Client, d *Dashboard, w window, query url.Values) ([]choice, error) {
	var chosen []choice
	for _, v := range d.Templating.List {
		if v.Type == "datasource" {
			continue
		}
		options, err := options(ctx, c, v, w)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		chosen = append(chosen, choice{v, options, selected(v, options, query["var-"+v.Name])})
	}
	return chosen, nil
}

func options(ctx context.Context, c *prom.Client, v Variable, w window) ([]string, error) {
	if v.Type != "query" {
		return v.choices(), nil
	}
	m := labelValues.FindStringSubmatch(v.Definition)
	if m == nil {
		return nil, fmt.Errorf("%q: the viewer knows label_values(metric, label) only", v.Definition)
	}
	var matches []string
	if m[1] != "" {
		matches = []string{expand(m[1], w.macros())}
	}
	return c.LabelValues(ctx, m[2], matches, w.Start, w.End)
}

// selected takes what was asked for as far as it exists; else all, if that can
// be chosen, else the first.
func selected(v Variable, options, asked []string) []string {
	asked = slices.DeleteFunc(slices.Clone(asked), func(a string) bool {
		return !slices.Contains(options, a) && !(a == all && v.IncludeAll)
	})
	switch {
	case slices.Contains(asked, all):
		return []string{all}
	case len(asked) > 0 && v.Multi:
		return asked
	case len(asked) > 0:
		return asked[:1]
	case v.IncludeAll:
		return []string{all}
	case len(options) > 0:
		return options[:1]
	}
	return nil
}

// values are all that queries may refer to.
func values(w window, chosen []choice) map[string]string {
	vs := w.macros()
	for _, c := range chosen {
		vs[c.Name] = c.value()
	}
	return vs
}
