package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"addons/server/catalog"
	"addons/server/store"
)

// Beside is what people got while the checks were asked for.
type Beside struct {
	What      string           `json:"what"`
	Sent      int64            `json:"sent"`
	Failed    int64            `json:"failed"`
	Error     string           `json:"error,omitempty"`
	Answers   map[int]int64    `json:"answers"`
	Quantiles map[string]int64 `json:"latency_nanoseconds"` // from when it was due
}

// besideConns is how many pages of a kind are under way at the most.
const besideConns = 64

// page is a kind of what people ask for, and many of it.
type page struct {
	name  string
	paths []string
}

// maxPages is how many different ones of a kind are drawn.
const maxPages = 20_000

// drawPages draws add-ons as checks do: most by their popularity, some of any.
func (c LoadConfig) drawPages(ctx context.Context, db *store.DB, q *questions) ([]page, error) {
	if c.Beside == 0 {
		return nil, nil
	}
	ids := make([]int64, max(100, min(int(c.Beside*(c.For+c.Warm).Seconds()), maxPages)))
	for i := range ids {
		ids[i] = 1 + int64(q.zipf.Uint64())
		if q.rng.Float64() < c.Cold {
			ids[i] = 1 + q.rng.Int64N(int64(len(q.guids)))
		}
	}
	all, err := db.Addons(ctx, slices.Compact(slices.Sorted(slices.Values(ids))))
	if err != nil {
		return nil, err
	}
	slug, name := map[int64]string{}, map[int64]string{}
	for _, a := range all {
		if a.Status == catalog.Public && a.Current != nil {
			slug[a.ID], name[a.ID] = a.Slug, a.Name.In(a.DefaultLocale, "en-US")
		}
	}
	details, searches := page{name: "detail page"}, page{name: "API search"}
	for _, id := range ids {
		if slug[id] == "" {
			continue
		}
		details.paths = append(details.paths, "/en-US/firefox/addon/"+url.PathEscape(slug[id])+"/")
		words := strings.Fields(name[id])
		words = words[:min(len(words), 1+q.rng.IntN(3))]
		searches.paths = append(searches.paths, "/api/v5/addons/search/?app=firefox&lang=en-US&q="+url.QueryEscape(strings.Join(words, " ")))
	}
	if len(details.paths) == 0 {
		return nil, fmt.Errorf("--beside: no add-on of %d drawn has a page", len(ids))
	}
	return []page{details, searches}, nil
}

// visitor is a browser with one connection.
type visitor struct {
	client *http.Client
	host   string
	paths  []string
}

func newVisitor(host string, paths []string) visitor {
	return visitor{&http.Client{Timeout: patience, Transport: &http.Transport{MaxConnsPerHost: 1}}, host, paths}
}

func (v visitor) ask(n int) (a answer, err error) {
	resp, err := v.client.Get("http://" + v.host + v.paths[n%len(v.paths)])
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d", resp.Request.URL.Path, resp.StatusCode)
	}
	return answer{resp.StatusCode, body}, err
}

func (v visitor) close() { v.client.CloseIdleConnections() }

// besides is the table of what people got.
func (r *LoadReport) besides(b *strings.Builder) {
	if len(r.Beside) == 0 {
		return
	}
	b.WriteString("\nWhat people asked for beside the checks; its CPU time is among theirs.\n\n| beside | sent | failed | p50 ms | p90 ms | p99 ms | p99.9 ms | max ms |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, of := range r.Beside {
		fmt.Fprintf(b, "| %s | %d | %d %s|\n", of.What, of.Sent, of.Failed, cells(of.Quantiles))
		if of.Error != "" {
			fmt.Fprintf(b, "\nThe last failure: %s\n\n", of.Error)
		}
	}
}
