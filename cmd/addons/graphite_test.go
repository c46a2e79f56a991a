package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// sumOf adds all points of the last hour of a Graphite target's series.
func sumOf(t *testing.T, graphite, target string) float64 {
	t.Helper()
	query := url.Values{"target": {target}, "from": {"-1h"}, "format": {"json"}, "noCache": {"1"}}
	resp, err := http.Get(graphite + "/render?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var series []struct {
		Datapoints [][2]*float64
	}
	if err := json.NewDecoder(resp.Body).Decode(&series); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	sum := 0.0
	for _, s := range series {
		for _, p := range s.Datapoints {
			if p[0] != nil {
				sum += *p[0]
			}
		}
	}
	return sum
}
