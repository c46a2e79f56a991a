package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	caching "addons/server/cache"
)

// caches are the commands that ask a running process about its cache.
type caches struct {
	Explain explain  `cmd:"" help:"Say what is kept under a key: by which queries, when, by whom, and what ends it."`
	Report  earnings `cmd:"" help:"Say what each named cache has earned."`
}

// asked is a running process by its operators' pages.
type asked struct {
	Admin string `help:"Operators' pages of the process to ask." default:"127.0.0.1:8001" env:"ADDONS_ADMIN"`
}

// ask gets JSON from the process.
func (a asked) ask(ctx context.Context, path string, to any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	base := a.Admin
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return fmt.Errorf("--admin: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("is it running there? give its --admin address: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body[:min(len(body), 500)])))
	}
	return json.Unmarshal(body, to)
}

type explain struct {
	asked
	Key string `arg:"" help:"NAME:KEY, as addon:some-slug. The Cache page among the operators' pages lists what was asked for lately."`
}

func (e explain) Run(ctx context.Context) error {
	var x caching.Explanation
	if err := e.ask(ctx, "/cache/explain.json?"+url.Values{"key": {e.Key}}.Encode(), &x); err != nil {
		return err
	}
	explained(os.Stdout, x, time.Now())
	return nil
}

// explained prints an explanation.
func explained(w io.Writer, x caching.Explanation, now time.Time) {
	fmt.Fprintf(w, "%s:%s is kept as %s\n", x.Cache, x.Key, x.Stored)
	for _, c := range x.Copies {
		fmt.Fprintf(w, "\nin %s: %s\n", c.Backend, c.State)
		if c.Filled.IsZero() {
			continue
		}
		fmt.Fprintf(w, "  filled        %v ago by %s\n", now.Sub(c.Filled).Round(time.Millisecond), c.By)
		fmt.Fprintf(w, "  took          %v, of which queries %v\n", c.Took.Round(time.Microsecond), c.Database.Round(time.Microsecond))
		for _, q := range c.Queries {
			fmt.Fprintf(w, "                %s\n", q)
		}
		fmt.Fprintf(w, "  answers       for %v more; while the database is down for %v\n", c.Fresh.Sub(now).Round(time.Second), c.Dead.Sub(now).Round(time.Second))
		fmt.Fprintf(w, "  as of change  %d\n", c.Change)
		fmt.Fprintf(w, "  ends with     %s\n", enders(c))
		if c.Last != "" {
			fmt.Fprintf(w, "  last change   %s\n", c.Last)
		}
		if c.Ended != "" {
			fmt.Fprintf(w, "  has ended by  %s\n", c.Ended)
		}
		fmt.Fprintf(w, "  bytes         %d\n", c.Bytes)
	}
	fmt.Fprintln(w)
	if x.Feed.Behind > 0 {
		fmt.Fprintf(w, "the process has heard of change %d, %v ago\n", x.Feed.Change, x.Feed.Behind.Round(time.Millisecond))
	} else {
		fmt.Fprintln(w, "the process does not follow changes")
	}
	for _, e := range x.History {
		fmt.Fprintf(w, "  %v ago: %s\n", now.Sub(e.At).Round(time.Millisecond), e.What)
	}
}

// enders are what ends a copy before its time.
func enders(c caching.Copy) string {
	switch {
	case c.Any:
		return "a change of any add-on"
	case len(c.Objects) == 0:
		return "nothing but its time, or its key's invalidation"
	}
	return "a change of " + strings.Join(c.Objects, ", ")
}

type earnings struct{ asked }

func (e earnings) Run(ctx context.Context) error {
	var all []caching.Report
	if err := e.ask(ctx, "/cache/report.json", &all); err != nil {
		return err
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CACHE\tHITS\tNEGATIVE\tRENEWED\tSTALE\tMISSES\tERRORS\tWAITED\tRACE LOST\tCOMPARED\tMISMATCHES\tDATABASE TIME SAVED")
	for _, r := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%v\n",
			r.Cache, r.Hits, r.Negative, r.Revalidated, r.Stale, r.Misses, r.Errors, r.Waited, r.Lost, r.Compared, r.Mismatches, r.Saved.Round(time.Millisecond))
	}
	return t.Flush()
}
