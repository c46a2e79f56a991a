package views

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// deploy is when a version was first seen: after From, at At at the latest.
type deploy struct {
	From, At time.Time
	Version  string
}

const (
	// lookback is how long Prometheus takes a series that has ended to be there still.
	lookback = 5 * time.Minute
	// maxDeploys are told of, the last ones.
	maxDeploys = 20
)

// deploys asks which versions came in a window. What was there from its beginning, or
// from the first time that there were numbers, did not come.
func (n numbers) deploys(ctx context.Context, w window) ([]deploy, error) {
	step := max(w.Length/480, 15*time.Second).Truncate(time.Second)
	matrix, err := n.prometheus.Range(ctx, fmt.Sprintf(`count by (version, revision) (last_over_time(%s[%s]))`, versionsMetric, during(max(step, lookback))), w.Now.Add(-w.Length), w.Now, step)
	if err != nil {
		return nil, reason(err)
	}
	there := map[model.Time][]string{} // versions
	for _, stream := range matrix {
		version := strings.TrimSpace(string(stream.Metric["version"]) + " " + string(stream.Metric["revision"]))
		for _, pair := range stream.Values {
			there[pair.Timestamp] = append(there[pair.Timestamp], version)
		}
	}
	return came(there, step), nil
}

// came compares which versions were there at each time with those before.
func came(there map[model.Time][]string, step time.Duration) (all []deploy) {
	var times []model.Time
	for at := range there {
		times = append(times, at)
	}
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		for _, version := range there[times[i]] {
			if !slices.Contains(there[times[i-1]], version) {
				at := times[i].Time()
				all = append(all, deploy{at.Add(-step), at, version})
			}
		}
	}
	return all[max(0, len(all)-maxDeploys):]
}

// enough views on either side let a comparison say something.
const enough = 50

// comparison is a page before and after a deploy, in times of equal length.
type comparison struct {
	deploy
	Length time.Duration
	Rows   []compared
}

// compared is one vital before and after.
type compared struct{ Before, After measure }

// compare asks for the vitals in equal times before and after the deploy all[i]: as long as
// the window has, and no other deploy lies in them.
func (n numbers) compare(ctx context.Context, a among, all []deploy, i int, w window) (*comparison, error) {
	d := all[i]
	before, after := d.From.Sub(w.Now.Add(-w.Length)), w.Now.Sub(d.At)
	if i > 0 {
		before = d.From.Sub(all[i-1].At)
	}
	if i+1 < len(all) {
		after = all[i+1].From.Sub(d.At)
	}
	c := &comparison{deploy: d, Length: min(before, after).Truncate(time.Second)}
	if c.Length < time.Second {
		return c, nil
	}
	earlier, err := n.measures(ctx, a, "", c.Length, d.From)
	if err != nil {
		return nil, err
	}
	later, err := n.measures(ctx, a, "", c.Length, d.At.Add(c.Length))
	for i, v := range vitals {
		none := measure{vital: v, p75: math.NaN()}
		row := compared{none, none}
		if m := earlier[group{}]; m != nil {
			row.Before = m[i]
		}
		if m := later[group{}]; m != nil {
			row.After = m[i]
		}
		c.Rows = append(c.Rows, row)
	}
	return c, err
}

// Verdict says what has become of the share of good views: a difference counts if it is
// more than chance would make of it in nineteen of twenty cases (two-proportion z-test).
func (c compared) Verdict() string {
	n, m := c.Before.N(), c.After.N()
	if min(n, m) < enough-.5 {
		return fmt.Sprintf("too few views: %d are needed on either side", enough)
	}
	p, q := c.Before.Share(), c.After.Share()
	both := (c.Before.shares.Good + c.After.shares.Good) / (n + m)
	deviation := math.Sqrt(both * (1 - both) * (1/n + 1/m))
	switch {
	case q-p > 1.96*deviation:
		return "better"
	case p-q > 1.96*deviation:
		return "worse"
	}
	return "no clear difference"
}

// Class is the verdict's badge.
func (c compared) Class() string {
	switch c.Verdict() {
	case "better":
		return "badge ok"
	case "worse":
		return "badge bad"
	}
	return "dim"
}
