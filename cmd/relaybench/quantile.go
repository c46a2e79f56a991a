//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// samples of each distribution are sent in one flush.
const samples = 1_000_000

// quantileFlush holds them all at quantileRate lines a second, which the slowest
// peers can take.
const (
	quantileFlush = 40 * time.Second
	quantileRate  = 100_000
)

// percentiles are those that are compared.
var percentiles = []float64{50, 95, 99}

// distribution is a named set of samples, rounded as they are sent.
type distribution struct {
	name   string
	values []float64
}

// distributions are a service's usual times, times with a heavy tail, and those
// of a cache that hits or misses.
func distributions() []distribution {
	rng := rand.New(rand.NewPCG(5, 6))
	make := func(name string, sample func() float64) distribution {
		d := distribution{name: name}
		for range samples {
			// As the line has it: what is compared must be what was sent.
			d.values = append(d.values, math.Round(sample()*1000)/1000)
		}
		return d
	}
	return []distribution{
		make("lognormal", func() float64 { return math.Exp(4 + rng.NormFloat64()) }),
		make("pareto", func() float64 { return 10 / math.Pow(1-rng.Float64(), 1/1.5) }),
		make("bimodal", func() float64 {
			if rng.IntN(10) < 7 {
				return math.Max(.1, 5+rng.NormFloat64())
			}
			return math.Max(.1, 400+80*rng.NormFloat64())
		}),
	}
}

// exact is the nearest rank, as statsd's timers define it: docs/metric_types.md.
func exact(sorted []float64, percentile float64) float64 {
	return sorted[int(math.Round(percentile/100*float64(len(sorted))))-1]
}

// quantile measures how far a peer's percentiles are from the exact ones.
func (b *bench) quantile(ctx context.Context, t *trial) error {
	shapes := distributions()
	g, err := t.prepare(ctx, plan{Load: "quantile", Packed: true, Rate: quantileRate, Lines: len(shapes) * samples})
	if err != nil {
		return err
	}
	defer g.close()
	s, err := g.send()
	if err != nil {
		return err
	}
	total, err := t.output(ctx, s)
	if err != nil {
		return err
	}
	value, err := t.quantiles(ctx)
	if err != nil {
		return err
	}
	for _, d := range shapes {
		slices.Sort(d.values)
		for _, p := range percentiles {
			want := exact(d.values, p)
			b.add("quantile", t.peer.name, fmt.Sprintf("%s p%v error %%", d.name, p), 100*(value(d.name, p)-want)/want)
		}
	}
	b.add("quantile", t.peer.name, "loss %", loss(s, total))
	return nil
}

// quantiles returns a function that tells a percentile of a key as the peer sees it.
func (t *trial) quantiles(ctx context.Context) (func(key string, percentile float64) float64, error) {
	if !t.peer.scraped {
		return func(key string, p float64) float64 {
			return t.carbon.value("stats.timers.bench.q." + key + ".upper_" + strconv.FormatFloat(p, 'f', -1, 64))
		}, nil
	}
	all, err := t.scrape(ctx)
	return func(key string, p float64) float64 { // its timers are in seconds
		return 1000 * all.values[fmt.Sprintf("bench_q_%s{quantile=\"%v\"}", key, p/100)]
	}, err
}
