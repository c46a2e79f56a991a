package views

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// returns are the views of visitors who went back to a page.
type returns struct {
	Restored float64 // that the browser had kept as it was
	Anew     []cause // why others had to be loaded anew, the most frequent first
}

// cause is why a page was not kept, and of how many views Chromium has said so.
type cause struct {
	Reason string
	N      float64
}

// Any says whether there is something to tell.
func (r returns) Any() bool { return r.Restored >= .5 || len(r.Anew) > 0 }

// returns asks for those to a page.
func (n numbers) returns(ctx context.Context, page string, w window) (r returns, _ error) {
	of := func(metric, more string) string {
		return fmt.Sprintf(`increase(%s{page="%s"%s}[%s])`, metric, page, more, during(w.Length))
	}
	var err error
	if r.Restored, err = n.number(ctx, "sum("+of(viewsMetric, `,source="back_forward_cache"`)+")", w.Now); err != nil {
		return returns{}, err
	}
	vector, err := n.vector(ctx, "sum by (reason) ("+of(notRestoredMetric, "")+")", w.Now)
	for _, s := range vector {
		if x := float64(s.Value); x >= .5 {
			r.Anew = append(r.Anew, cause{string(s.Metric["reason"]), x})
		}
	}
	slices.SortFunc(r.Anew, func(a, b cause) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Reason, b.Reason)) })
	return r, err
}

// confidence is how far browsers trust their times of a page's views. Told is of how many
// they have said it, Low those of low confidence, Random how many are to be expected to have
// been answered by chance, half of them low.
type confidence struct{ Told, Low, Random float64 }

// share of low confidence, without what chance has added, as the specification says
// (https://w3c.github.io/navigation-timing/#sec-performance-timing-confidence).
func (c confidence) share() float64 { return (c.Low - c.Random/2) / (c.Told - c.Random) }

// margin is that of the share, in nineteen of twenty cases; infinite if nothing was told.
func (c confidence) margin() float64 {
	if c.Told-c.Random < .5 {
		return math.Inf(1)
	}
	return 1.96 * math.Sqrt(c.Told*.25) / (c.Told - c.Random)
}

// Any says whether there is something to tell.
func (c confidence) Any() bool { return c.Told >= .5 }

// Text says it in a sentence.
func (c confidence) Text() string {
	if c.margin() > .15 {
		return fmt.Sprintf("Of %s views browsers have told how far they trust their times: too few to say more, for they answer many by chance.", count(c.Told))
	}
	return fmt.Sprintf("Of %s views browsers have told how far they trust their times: about %s (± %s) were slow for the browser's own sake, as when it is starting.",
		count(c.Told), percent(min(max(c.share(), 0), 1)), percent(c.margin()))
}

// confidence asks for that of a page.
func (n numbers) confidence(ctx context.Context, page string, w window) (c confidence, err error) {
	for _, ask := range []struct {
		metric, more string
		into         *float64
	}{{confidenceMetric, "", &c.Told}, {confidenceMetric, `,confidence="low"`, &c.Low}, {randomMetric, "", &c.Random}} {
		*ask.into, err = n.number(ctx, fmt.Sprintf(`sum(increase(%s{page="%s"%s}[%s]))`, ask.metric, page, ask.more, during(w.Length)), w.Now)
		if err != nil {
			return confidence{}, err
		}
	}
	return c, nil
}
