package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/olivere/elastic/v7"

	"addons/server/catalog"
	"addons/server/metrics"
)

// elasticDriver keeps the index in Elasticsearch 7 or OpenSearch. The client,
// olivere/elastic, is no longer maintained; this file is the only one that knows
// it, and goes around what is known to bite: nothing of it runs by itself (no
// sniffing, no health checks, no retries), and what it calls success is looked at.
type elasticDriver struct {
	client    *elastic.Client
	transport *http.Transport
	index     string // with the fingerprint
	refresh   string // "true": what was put is found at once; for tests
	log       *slog.Logger

	mu    sync.Mutex
	ready bool // the index is known to exist
}

const (
	elasticConns    = 32      // at once; further requests wait for their turn or their deadline
	elasticResponse = 8 << 20 // bytes; 10,000 hits are less than 2 MB
	// elasticShards is how long Elasticsearch itself waits for its shards before
	// it answers with what it has: less than readTimeout, or that would never be seen.
	elasticShards = 1500 * time.Millisecond
	bulkTries     = 3 // how often documents are sent that a busy node refused
)

var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,200}$`)

// openElastic makes a driver for elasticsearch://[user:password@]host:port/index.
// It contacts nobody: a node that is down shows at the first use.
func openElastic(u *url.URL, reg *metrics.Registry, log *slog.Logger) (*elasticDriver, error) {
	name := strings.Trim(u.Path, "/")
	if u.Host == "" || !indexName.MatchString(name) {
		return nil, errors.New("search: want elasticsearch://[user:password@]host:port/index, the index in lower case")
	}
	scheme, refresh := "http", "false"
	for key, values := range u.Query() {
		switch {
		case key == "tls" && values[0] == "true":
			scheme = "https"
		case key == "refresh" && values[0] == "true":
			refresh = "true"
		default:
			return nil, fmt.Errorf("search: elasticsearch takes the parameters tls=true and refresh=true, not %s=%s", key, values[0])
		}
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   time.Second,
		ResponseHeaderTimeout: writeTimeout,
		MaxConnsPerHost:       elasticConns,
		MaxIdleConnsPerHost:   elasticConns,
		IdleConnTimeout:       30 * time.Second, // less than proxies and nodes keep them
	}
	options := []elastic.ClientOptionFunc{
		elastic.SetURL(scheme + "://" + u.Host),
		elastic.SetHttpClient(&http.Client{Transport: reg.Transport("elasticsearch", transport), Timeout: writeTimeout}),
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, elastic.SetBasicAuth(u.User.Username(), password))
	}
	client, err := elastic.NewSimpleClient(options...)
	if err != nil {
		return nil, fmt.Errorf("search: elasticsearch at %s: %w", u.Host, err)
	}
	return &elasticDriver{
		client: client, transport: transport, refresh: refresh, log: log,
		index: name + "-" + fingerprint(elasticLayout()),
	}, nil
}

func (*elasticDriver) name() string { return "es" }

// elasticLayout is the body that creates the index. Terms come analysed and are
// kept whole (keyword); numbers are doubles as they are in bleve; no document is
// kept, for hits are ids.
func elasticLayout() map[string]any {
	properties := map[string]any{orderName: map[string]any{"type": "keyword", "index": false}}
	for _, field := range termFields {
		properties[field] = map[string]any{"type": "keyword", "doc_values": false}
	}
	for _, field := range numberFields {
		properties[field] = map[string]any{"type": "double"}
	}
	return map[string]any{
		"settings": map[string]any{
			// Said outright, because an index that nobody searched for a while stops refreshing by default.
			"refresh_interval":     "1s",
			"number_of_shards":     1, // an add-ons catalogue is small; more would only cost
			"auto_expand_replicas": "0-1",
		},
		"mappings": map[string]any{"dynamic": "strict", "_source": map[string]any{"enabled": false}, "properties": properties},
	}
}

func (d *elasticDriver) put(ctx context.Context, docs []document) error {
	if err := d.ensure(ctx); err != nil {
		return err
	}
	var requests []elastic.BulkableRequest
	for _, doc := range docs {
		body := map[string]any{}
		if doc.order != "" {
			body[orderName] = doc.order
		}
		for field, terms := range doc.terms {
			body[field] = terms
		}
		for field, number := range doc.numbers {
			body[field] = number
		}
		requests = append(requests, elastic.NewBulkIndexRequest().Index(d.index).Id(strconv.FormatInt(doc.id, 10)).Doc(body))
	}
	return d.bulk(ctx, requests)
}

func (d *elasticDriver) delete(ctx context.Context, ids []int64) error {
	if err := d.ensure(ctx); err != nil {
		return err
	}
	var requests []elastic.BulkableRequest
	for _, id := range ids {
		requests = append(requests, elastic.NewBulkDeleteRequest().Index(d.index).Id(strconv.FormatInt(id, 10)))
	}
	return d.bulk(ctx, requests)
}

// bulk sends requests, and again those that were refused because the node is
// busy. The answer is a success even if every item in it failed.
func (d *elasticDriver) bulk(ctx context.Context, requests []elastic.BulkableRequest) error {
	for try := 1; ; try++ {
		var answer *elastic.BulkResponse
		err := d.try(ctx, "bulk", func() (err error) {
			answer, err = d.client.Bulk().Refresh(d.refresh).Add(requests...).Do(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if requests, err = refused(requests, answer); err != nil || len(requests) == 0 {
			return err
		}
		if try == bulkTries {
			return fmt.Errorf("search: elasticsearch bulk: %w: %d documents refused %d times, the node is busy", catalog.ErrUnavailable, len(requests), try)
		}
		if err := sleep(ctx, time.Duration(try)*100*time.Millisecond); err != nil {
			return fmt.Errorf("search: elasticsearch bulk: %w: %w", catalog.ErrUnavailable, err)
		}
	}
}

// refused returns the requests to send again; an item that failed for good is an error.
func refused(requests []elastic.BulkableRequest, answer *elastic.BulkResponse) (again []elastic.BulkableRequest, err error) {
	if len(answer.Items) != len(requests) {
		return nil, fmt.Errorf("search: elasticsearch bulk: %w: %d answers to %d documents", catalog.ErrUnavailable, len(answer.Items), len(requests))
	}
	for i, item := range answer.Items {
		for action, result := range item {
			switch {
			case result.Status < 300, action == "delete" && result.Status == http.StatusNotFound:
			case result.Status == http.StatusTooManyRequests, result.Status == http.StatusServiceUnavailable:
				again = append(again, requests[i])
			default:
				return nil, fmt.Errorf("search: elasticsearch add-on %s: status %d: %s", result.Id, result.Status, reason(result.Error))
			}
		}
	}
	return again, nil
}

func reason(e *elastic.ErrorDetails) string {
	if e == nil {
		return "no reason given"
	}
	return e.Type + ": " + e.Reason
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (d *elasticDriver) search(ctx context.Context, p plan) (Result, error) {
	var found *elastic.SearchResult
	err := d.try(ctx, "search", func() (err error) {
		found, err = d.client.Search(d.index).MaxResponseSize(elasticResponse).Source(p.elastic()).Do(ctx)
		return err
	})
	switch {
	case isNotFound(err): // an index that is yet to be made
		d.forget()
		return Result{}, nil
	case err != nil:
		return Result{}, err
	}
	if found.Shards == nil || found.Hits == nil { // JSON, but somebody else's
		return Result{}, fmt.Errorf("search: elasticsearch search: %w: the answer has no shards or no hits", catalog.ErrUnavailable)
	}
	result := Result{
		Total:   int(found.TotalHits()),
		Took:    time.Duration(found.TookInMillis) * time.Millisecond,
		Partial: found.TimedOut || found.Shards.Failed > 0,
	}
	for _, match := range found.Hits.Hits {
		id, err := strconv.ParseInt(match.Id, 10, 64)
		if err != nil {
			return Result{}, fmt.Errorf("search: document %q in the index is no add-on", match.Id)
		}
		hit := Hit{ID: id}
		if match.Score != nil {
			hit.Score = *match.Score
		}
		result.Hits = append(result.Hits, hit)
	}
	return result, nil
}

func (d *elasticDriver) count(ctx context.Context) (int, error) {
	var n int64
	err := d.try(ctx, "count", func() (err error) {
		n, err = d.client.Count(d.index).Do(ctx)
		return err
	})
	if isNotFound(err) {
		d.forget()
		return 0, nil
	}
	return int(n), err
}

// check fails when the cluster is red: some of the index is nowhere.
func (d *elasticDriver) check(ctx context.Context) error {
	var health *elastic.ClusterHealthResponse
	err := d.try(ctx, "health", func() (err error) {
		health, err = d.client.ClusterHealth().Do(ctx)
		return err
	})
	if err == nil && health.Status == "red" {
		return fmt.Errorf("search: elasticsearch: %w: the cluster is red, %d shards are unassigned", catalog.ErrUnavailable, health.UnassignedShards)
	}
	return err
}

func (d *elasticDriver) reset(ctx context.Context) error {
	d.forget()
	err := d.try(ctx, "delete index", func() error {
		_, err := d.client.DeleteIndex(d.index).Do(ctx)
		return err
	})
	if err != nil && !isNotFound(err) {
		return err
	}
	return d.ensure(ctx)
}

func (d *elasticDriver) close() error {
	d.client.Stop()
	d.transport.CloseIdleConnections()
	return nil
}

// ensure creates the index if it is not there, before the first write: a write
// to no index would make one whose fields are guessed.
func (d *elasticDriver) ensure(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ready {
		return nil
	}
	var exists bool
	err := d.try(ctx, "index exists", func() (err error) {
		exists, err = d.client.IndexExists(d.index).Do(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if !exists {
		if err := d.create(ctx); err != nil {
			return err
		}
	}
	d.ready = true
	return nil
}

func (d *elasticDriver) create(ctx context.Context) error {
	err := d.try(ctx, "create index", func() error {
		_, err := d.client.CreateIndex(d.index).BodyJson(elasticLayout()).Do(ctx)
		return err
	})
	if e, ok := errors.AsType[*elastic.Error](err); ok && e.Details != nil && e.Details.Type == "resource_already_exists_exception" {
		return nil // another process was faster
	}
	if err == nil {
		d.log.Info("search index created", "index", d.index)
	}
	return err
}

// forget makes the next write look for the index again.
func (d *elasticDriver) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ready = false
}

// try makes one call, twice if the connection broke: all our calls can be made
// again. After a broken connection the client takes its only node for dead and
// answers the next call without a try, though the node may be long back; that
// answer does not count.
func (d *elasticDriver) try(ctx context.Context, what string, call func() error) error {
	broken := 0
	err := call()
	for range 3 {
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, elastic.ErrNoClient):
			err = call()
			continue
		case isBroken(err) && broken == 0:
			broken++
			err = call()
			continue
		}
		break
	}
	return elasticError(ctx, what, err)
}

func isNotFound(err error) bool {
	e, ok := errors.AsType[*elastic.Error](err)
	return ok && e.Status == http.StatusNotFound
}

// isBroken says that a connection ended under a request, as it does when a node
// restarts or closes one that was idle.
func isBroken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// elasticError says which errors mean that the engine is down: all but those in
// which it says that the request is wrong, and the caller's own going away.
func elasticError(ctx context.Context, what string, err error) error {
	e, answered := errors.AsType[*elastic.Error](err)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("search: elasticsearch %s: %w", what, ctx.Err())
	case answered && e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout:
		return fmt.Errorf("search: elasticsearch %s: %w", what, err)
	}
	return fmt.Errorf("search: elasticsearch %s: %w: %w", what, catalog.ErrUnavailable, err)
}

// elastic is the body of the search request.
func (p plan) elastic() map[string]any {
	query := p.elasticQuery()
	var by []any
	switch {
	case p.random:
		query = object("function_score", map[string]any{
			"query": query, "boost_mode": "replace",
			"random_score": map[string]any{"seed": rand.Int64(), "field": numberID},
		})
		by = append(by, object("_score", "desc"))
	case p.scored():
		query = object("function_score", map[string]any{
			"query": query, "boost_mode": "multiply",
			"field_value_factor": map[string]any{"field": numberWeight, "missing": 1},
		})
	}
	for _, o := range p.sort {
		key, direction := o.field, "asc"
		if key == "" {
			key = "_score"
		}
		if o.desc {
			direction = "desc"
		}
		by = append(by, object(key, direction))
	}
	return map[string]any{
		"query": query, "sort": by, "from": p.offset, "size": p.limit, "_source": false,
		"track_total_hits": true, // else 10,000 is the most it counts to
		"timeout":          fmt.Sprintf("%dms", elasticShards.Milliseconds()),
	}
}

func (p plan) elasticQuery() map[string]any {
	parts := map[string]any{}
	if p.match != nil {
		parts["must"] = elasticNode(p.match)
	}
	if len(p.filters) > 0 {
		parts["filter"] = elasticNodes(p.filters)
	}
	if len(p.not) > 0 {
		parts["must_not"] = elasticNodes(p.not)
	}
	return object("bool", parts) // an empty one matches everything
}

func elasticNodes(nodes []node) []any {
	var each []any
	for _, n := range nodes {
		each = append(each, elasticNode(n))
	}
	return each
}

func elasticNode(n node) map[string]any {
	switch n := n.(type) {
	case term:
		return object("term", object(n.field, n.value))
	case anyTerm:
		return object("terms", object(n.field, n.values))
	case near:
		return object("fuzzy", object(n.field, map[string]any{
			// Every term within reach, as bleve does, not the default's best 50.
			"value": n.value, "fuzziness": n.edits, "prefix_length": 1, "rewrite": "constant_score",
		}))
	case within:
		return object("range", object(n.field, bounds(n)))
	case worth:
		return object("constant_score", map[string]any{"filter": elasticNode(n.node), "boost": n.score})
	case all:
		return object("bool", object("must", elasticNodes(n)))
	case best:
		return object("dis_max", object("queries", elasticNodes(n)))
	case some:
		return object("bool", map[string]any{"should": elasticNodes(n.nodes), "minimum_should_match": n.need})
	case bonus:
		return object("bool", map[string]any{"must": elasticNode(n.node), "should": elasticNodes(n.others)})
	}
	panic(fmt.Sprintf("search: %T is no node of a plan", n))
}

// bounds leaves out infinities, which JSON lacks.
func bounds(w within) map[string]any {
	b := map[string]any{}
	for key, value := range map[string]float64{"gte": w.low, "lte": w.high} {
		if number, err := json.Marshal(value); err == nil {
			b[key] = json.RawMessage(number)
		}
	}
	return b
}

func object(key string, value any) map[string]any { return map[string]any{key: value} }
