// Package expr reads PromQL: which metrics an expression asks for, so that
// tests can hold rules and dashboards against what the code really emits.
package expr

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Selector is one metric that an expression asks for and the labels it uses.
type Selector struct {
	Metric string
	Labels []string
	// Rated says that it stands directly in rate, irate or increase.
	Rated bool
}

// Parse returns the selectors of an expression in their order; an error says
// where it is not PromQL.
func Parse(text string) ([]Selector, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	var all []Selector
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			all = append(all, selector(v, path))
		}
		return nil
	})
	return all, nil
}

// Metrics returns the names of the metrics of an expression, sorted, each once.
func Metrics(text string) ([]string, error) {
	selectors, err := Parse(text)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range selectors {
		names = append(names, s.Metric)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func selector(v *parser.VectorSelector, path []parser.Node) Selector {
	s := Selector{Metric: v.Name}
	for _, m := range v.LabelMatchers {
		if m.Name != model.MetricNameLabel {
			s.Labels = append(s.Labels, m.Name)
		} else if s.Metric == "" && m.Type == labels.MatchEqual {
			s.Metric = m.Value
		}
	}
	for _, n := range path {
		if c, ok := n.(*parser.Call); ok && slices.Contains([]string{"rate", "irate", "increase"}, c.Func.Name) {
			s.Rated = true
		}
	}
	return s
}
