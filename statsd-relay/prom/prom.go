// Package prom asks a Prometheus: the one in the process, through its handler,
// or a real one by its URL. Whoever asks cannot tell them apart.
package prom

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// Timeout bounds every call; a Prometheus's own limit is two minutes unless told
// otherwise, which no page should wait for.
const Timeout = 30 * time.Second

// Client asks one Prometheus. It is safe for concurrent use.
type Client struct{ api v1.API }

// Dial returns a client of the Prometheus at base, such as
// http://prometheus:9090; nothing is sent yet.
func Dial(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("prometheus %q: want a URL like http://host:9090", base)
	}
	return client(base, nil)
}

// Local returns a client of the Prometheus whose API h answers under /api/v1/.
func Local(h http.Handler) *Client {
	c, err := client("http://embedded", handlerTransport{h})
	if err != nil {
		panic(err) // the URL is a constant
	}
	return c
}

func client(base string, transport http.RoundTripper) (*Client, error) {
	c, err := api.NewClient(api.Config{Address: base, RoundTripper: transport})
	if err != nil {
		return nil, fmt.Errorf("prometheus %q: %w", base, err)
	}
	return &Client{v1.NewAPI(c)}, nil
}

// Query evaluates an expression at one instant.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (model.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	v, _, _, err := c.api.Query(ctx, expr, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	return v, nil
}

// Range evaluates an expression at every step from start to end.
func (c *Client) Range(ctx context.Context, expr string, start, end time.Time, step time.Duration) (model.Matrix, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	v, _, _, err := c.api.QueryRange(ctx, expr, v1.Range{Start: start, End: end, Step: step})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	m, ok := v.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("query %s: got a %s, want a matrix", expr, v.Type())
	}
	return m, nil
}

// LabelValues returns the values of a label among the series that match, sorted.
func (c *Client) LabelValues(ctx context.Context, label string, matches []string, start, end time.Time) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	values, _, _, err := c.api.LabelValues(ctx, label, matches, start, end)
	if err != nil {
		return nil, fmt.Errorf("values of label %s: %w", label, err)
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out, nil
}

// Exemplars returns those of the series that an expression asks for.
func (c *Client) Exemplars(ctx context.Context, expr string, start, end time.Time) ([]v1.ExemplarQueryResult, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	all, err := c.api.QueryExemplars(ctx, expr, start, end)
	if err != nil {
		return nil, fmt.Errorf("exemplars of %s: %w", expr, err)
	}
	return all, nil
}

// Rules returns the groups of alerting and recording rules with their state.
func (c *Client) Rules(ctx context.Context) ([]v1.RuleGroup, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := c.api.Rules(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return r.Groups, nil
}

// Alerts returns the alerts that are pending or firing.
func (c *Client) Alerts(ctx context.Context) ([]v1.Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := c.api.Alerts(ctx)
	if err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	return r.Alerts, nil
}

// maxAnswer is the largest answer taken from a handler, in bytes: far more than
// a page of charts, far less than the memory.
const maxAnswer = 64 << 20

// handlerTransport answers requests by a handler in the same goroutine.
type handlerTransport struct{ handler http.Handler }

func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, r)
	if w.err != nil {
		return nil, w.err
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body{&w.body}, ContentLength: int64(w.body.Len()),
	}, nil
}

var errTooLarge = errors.New("the answer is too large: ask for fewer series or a shorter time")

// answer collects what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	err    error
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(p []byte) (int, error) {
	if a.body.Len()+len(p) > maxAnswer {
		a.err = errTooLarge
		return 0, a.err
	}
	return a.body.Write(p)
}

type body struct{ *bytes.Buffer }

func (body) Close() error { return nil }
