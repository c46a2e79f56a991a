//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// bench collects figures. It is used by one goroutine.
type bench struct {
	quick    bool
	runs     int
	profiles string // folder; "" is none
	figures  []*figure
	missing  []string // a line for each peer that could not be had
	buffers  string   // what was done about receive buffers
}

// figure is one column of one peer: a number for each run, or a text.
type figure struct {
	Part, Peer, Column string
	Values             []float64
	Text               string `json:",omitempty"`
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// add adds a run's number.
func (b *bench) add(part, peer, column string, v float64) {
	f := b.figure(part, peer, column)
	f.Values = append(f.Values, v)
	b.say("  %s %s: %s", peer, column, f.number(v))
}

// note sets a text; a later run's replaces it.
func (b *bench) note(part, peer, column, text string) {
	b.figure(part, peer, column).Text = text
	b.say("  %s %s: %s", peer, column, text)
}

// figure is the one of these names, new if there is none.
func (b *bench) figure(part, peer, column string) *figure {
	for _, f := range b.figures {
		if f.Part == part && f.Peer == peer && f.Column == column {
			return f
		}
	}
	f := &figure{Part: part, Peer: peer, Column: column}
	b.figures = append(b.figures, f)
	return f
}

// median is the middle one of the runs.
func (f *figure) median() float64 {
	sorted := slices.Sorted(slices.Values(f.Values))
	n := len(sorted)
	return (sorted[n/2] + sorted[(n-1)/2]) / 2
}

// number prints v with the digits that its column is worth.
func (f *figure) number(v float64) string {
	switch {
	case strings.Contains(f.Column, "MiB"):
		return fmt.Sprintf("%.0f", v)
	case strings.Contains(f.Column, "lines/s"):
		return fmt.Sprintf("%.0f", math.Round(v/1000)*1000)
	}
	return fmt.Sprintf("%.2f", v)
}

func (f *figure) String() string {
	if f.Text != "" {
		return strings.ReplaceAll(strings.ReplaceAll(f.Text, "\n", " "), "|", "\\|")
	}
	return f.number(f.median())
}

// references are brubeck's figures, which has neither module nor package: commit
// ebbd222 in C, built and measured by hand on 2 processors with the same load.
func references() []*figure {
	const name = "brubeck, measured elsewhere"
	var all []*figure
	add := func(part, column string, v float64) {
		all = append(all, &figure{Part: part, Peer: name, Column: column, Values: []float64{v}})
	}
	add("cpu", "packed-100k CPU s/M", 1.18)
	add("cpu", "packed-100k loss %", 0)
	add("cpu", "packed-100k RSS MiB", 11)
	add("cpu", "single-50k CPU s/M", 4.38)
	add("cpu", "single-50k loss %", 0)
	add("cpu", "packed-750k CPU s/M", .42)
	add("cpu", "packed-750k loss %", 0)
	add("ramp", "packed lines/s held", 750_000)
	add("ramp", "packed CPU s/M there", .42)
	add("ramp", "single lines/s held", 190_000)
	add("ramp", "single CPU s/M there", 2.92)
	add("memory", "idle MiB", 6)
	add("memory", "after load MiB", 33)
	add("memory", "after flush MiB", 33)
	add("memory", "peak MiB", 33)
	add("quantile", "lognormal p50 error %", -.78)
	add("quantile", "lognormal p95 error %", -.91)
	add("quantile", "lognormal p99 error %", 2.06)
	return all
}

// titles are what the parts are called in the table.
var titles = []struct{ part, title string }{
	{"cpu", "Processor time of the peer, user and system, for a million lines at a fixed rate; flush every 10 s"},
	{"ramp", "Highest rate held for 6 s with a flush in it, under 0.1 % lost; flush every 5 s"},
	{"memory", "100,000 timers of five samples each, at 40,000 lines/s; flush every 10 s"},
	{"quantile", "Error of percentiles against exact ones, a million samples of each distribution in one flush"},
}

// markdown renders all parts that have figures.
func (b *bench) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s, %d processors shared with the generator; medians of %d. %s.\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), b.runs, b.buffers)
	for _, m := range b.missing {
		fmt.Fprintf(&out, "Left out: %s.\n", m)
	}
	for _, t := range titles {
		var figures []*figure
		for _, f := range b.figures {
			if f.Part == t.part {
				figures = append(figures, f)
			}
		}
		if len(figures) > 0 {
			fmt.Fprintf(&out, "\n%s\n\n%s", t.title, table(t.part, figures))
		}
	}
	return out.String()
}

// table has a row for each peer and a column for each name, in order of appearance.
func table(part string, figures []*figure) string {
	columns := names(figures, func(f *figure) string { return f.Column })
	for _, f := range references() {
		if f.Part == part {
			figures = append(figures, f)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "| peer | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---:|", len(columns)))
	for _, peer := range names(figures, func(f *figure) string { return f.Peer }) {
		fmt.Fprintf(&out, "| %s |", peer)
		for _, column := range columns {
			text := ""
			for _, f := range figures {
				if f.Peer == peer && f.Column == column {
					text = f.String()
				}
			}
			fmt.Fprintf(&out, " %s |", text)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// names are the different values of name, in order of appearance.
func names(figures []*figure, name func(*figure) string) []string {
	var all []string
	for _, f := range figures {
		if n := name(f); !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// writeJSON writes every run's figures.
func (b *bench) writeJSON(file string) error {
	data, err := json.MarshalIndent(map[string]any{
		"date": time.Now().UTC().Format(time.RFC3339), "processors": runtime.NumCPU(), "go": runtime.Version(), "runs": b.runs,
		"buffers": b.buffers, "missing": b.missing, "figures": append(b.figures, references()...),
	}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
