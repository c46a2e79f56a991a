package relay

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	// maxScrapes is how many pages are made at a time; more are told to come again.
	maxScrapes = 4
	// scrapeTimeout is how long one may take, unless Prometheus says less.
	scrapeTimeout = 30 * time.Second
	// drawn is how many series are rendered in one go, under the aggregator's lock:
	// half a millisecond.
	drawn = 256
)

// canvas is what a scrape has rendered and not yet written: a few small families,
// or one large one. Its memory is used again and again.
type canvas struct {
	now      time.Time
	hidden   map[string]bool // names that are not statsd's
	families []*dto.MetricFamily
	metrics  [dto.MetricType_GAUGE_HISTOGRAM + 1][]*dto.Metric // spare ones, by type
	used     [dto.MetricType_GAUGE_HISTOGRAM + 1]int
	spare    []*dto.MetricFamily

	last    *metric // the last that was looked at
	rule    *rule   // of the family it belongs to
	skip    bool    // that family
	partial bool    // there is more of that family
}

// reset makes all that was drawn spare, unless it is kept.
func (c *canvas) reset(kept bool) {
	if kept {
		c.families = nil
		clear(c.metrics[:])
	}
	c.spare = append(c.spare, c.families...)
	c.families = c.families[:0]
	clear(c.used[:])
}

// draw renders the series after the last one, up to about a number of drawn, and
// tells whether there are more.
func (e *exposition) draw(c *canvas) (more bool) {
	from := ""
	if c.last != nil {
		from = c.last.id
	}
	n := 0
	for m := range e.metrics.from(from) {
		if c.last != nil && compareIDs(m.id, c.last.id) <= 0 {
			continue
		}
		same := c.last != nil && sameName(m.id, c.last.id)
		if n == drawn {
			c.partial = same
			return true
		}
		n++
		if !same {
			c.begin(m)
		}
		c.last = m
		c.add(m, same)
	}
	c.partial = false
	return false
}

// begin begins a family with its first metric.
func (c *canvas) begin(m *metric) {
	c.rule, c.skip = nil, c.hidden[mangle(m.id)]
}

// add renders m, unless nobody may see it.
func (c *canvas) add(m *metric, same bool) {
	switch {
	case c.skip || c.rule != nil && !m.rule.alike(c.rule): // the name was given up and taken in between
		return
	case m.stale(c.now):
		m.buckets = nil
		return
	}
	if c.rule == nil {
		c.rule = m.rule
		c.families = append(c.families, c.family(m))
	}
	f := c.families[len(c.families)-1]
	d := c.metric(m.rule.kind)
	m.draw(d, c.now)
	f.Metric = append(f.Metric, d)
}

// family returns a spare family, with what m's has in common.
func (c *canvas) family(m *metric) *dto.MetricFamily {
	f := &dto.MetricFamily{}
	if n := len(c.spare); n > 0 {
		f, c.spare = c.spare[n-1], c.spare[:n-1]
		f.Metric = f.Metric[:0]
	}
	m.family(f)
	return f
}

// metric returns a spare metric of a type.
func (c *canvas) metric(kind dto.MetricType) *dto.Metric {
	if c.used[kind] == len(c.metrics[kind]) {
		c.metrics[kind] = append(c.metrics[kind], &dto.Metric{})
	}
	c.used[kind]++
	return c.metrics[kind][c.used[kind]-1]
}

// page brings everything up to date and calls write with each family of the page,
// by name. A family is write's until it returns, or for ever if kept is set. The
// aggregator is locked for a few series at a time and never while write runs, so
// a page's series are of slightly different moments, each of one.
func (r *Relay) page(kept bool, write func(*dto.MetricFamily) error) error {
	c, own, gathered := r.begin()
	for more := true; more; {
		r.agg.mu.Lock()
		more = r.agg.prom.draw(c)
		r.agg.mu.Unlock()
		if c.partial {
			continue
		}
		for _, f := range c.families {
			for len(own) > 0 && own[0].GetName() < f.GetName() {
				if err := write(own[0]); err != nil {
					return err
				}
				own = own[1:]
			}
			if err := write(f); err != nil {
				return err
			}
		}
		c.reset(kept)
	}
	for _, f := range own {
		if err := write(f); err != nil {
			return err
		}
	}
	return gathered
}

// begin takes in what the shards hold, and gathers the metrics that are not
// statsd's.
func (r *Relay) begin() (c *canvas, own []*dto.MetricFamily, err error) {
	r.agg.mu.Lock()
	r.countDrops()
	r.agg.merge()
	r.agg.mu.Unlock()

	if own, err = prometheus.Gatherer(r.self.registry.Prometheus()).Gather(); err != nil {
		err = fmt.Errorf("%w: %w", errGathered, err)
	}
	c = &canvas{now: time.Now(), hidden: map[string]bool{}}
	r.agg.mu.Lock()
	defer r.agg.mu.Unlock()
	r.self.reserved.Set(float64(r.agg.prom.hide(own, c.hidden)))
	return c, own, err
}

// hide notes the names of families that have a name of another's, and returns how
// many series those have.
func (e *exposition) hide(others []*dto.MetricFamily, hidden map[string]bool) (series int) {
	for _, f := range others {
		for _, n := range claimed(f.GetName(), f.GetType()) {
			m := e.holder(n)
			if m == nil || hidden[mangle(m.id)] {
				continue
			}
			hidden[mangle(m.id)] = true
			for other := range e.metrics.from(mangle(m.id)) {
				if !sameName(other.id, m.id) {
					break
				}
				series++
			}
		}
	}
	return series
}

// gather renders the whole page at once.
func (r *Relay) gather() (all []*dto.MetricFamily, err error) {
	err = r.page(true, func(f *dto.MetricFamily) error {
		all = append(all, f)
		return nil
	})
	return all, err
}

// scraper serves /metrics.
type scraper struct {
	relay *Relay
	slots chan struct{}
	zips  chan *gzip.Writer // spare ones: each has a megabyte
}

func newScraper(r *Relay) *scraper {
	return &scraper{relay: r, slots: make(chan struct{}, maxScrapes), zips: make(chan *gzip.Writer, 1)}
}

// errGathered is about metrics that are not statsd's; the page has all others.
var errGathered = errors.New("gathering metrics")

// ServeHTTP writes the page family by family, so that none is in memory whole. A
// page that can't be finished breaks the connection: it must not look complete.
func (s *scraper) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("%d scrapes are under way: come again", maxScrapes), http.StatusServiceUnavailable)
		return
	}
	timeout := patience(req)
	ctx, cancel := context.WithTimeout(req.Context(), timeout)
	defer cancel()
	// Where it can't be set, as in a test, the context is all there is.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout))
	if err := s.write(ctx, w, req); err != nil {
		s.relay.log.Warn("metrics page", "error", err, "remote", req.RemoteAddr)
		panic(http.ErrAbortHandler)
	}
}

// patience is how long who scrapes will wait, which Prometheus tells.
func patience(req *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(req.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0 && seconds < scrapeTimeout.Seconds()) {
		return scrapeTimeout
	}
	return time.Duration(seconds * float64(time.Second))
}

func (s *scraper) write(ctx context.Context, w http.ResponseWriter, req *http.Request) error {
	format := expfmt.NegotiateAccept(req.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	w.Header().Set("Content-Type", string(format))
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	var out io.Writer = w
	if acceptsGzip(req.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		z := s.zip(w)
		defer s.unzip(z)
		out = z
	}
	encoder := expfmt.NewEncoder(out, format)
	names := req.URL.Query()["name[]"]
	err := s.relay.page(false, func(f *dto.MetricFamily) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(names) > 0 && !slices.Contains(names, f.GetName()) {
			return nil
		}
		return encoder.Encode(f)
	})
	if errors.Is(err, errGathered) {
		s.relay.log.Error("metrics page", "error", err)
	} else if err != nil {
		return err
	}
	return errors.Join(encoder.(expfmt.Closer).Close(), finish(out))
}

// finish writes what a gzip.Writer still has.
func finish(out io.Writer) error {
	if z, ok := out.(*gzip.Writer); ok {
		return z.Close()
	}
	return nil
}

func (s *scraper) zip(w io.Writer) *gzip.Writer {
	select {
	case z := <-s.zips:
		z.Reset(w)
		return z
	default:
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			panic(err) // there is that level
		}
		return z
	}
}

func (s *scraper) unzip(z *gzip.Writer) {
	z.Reset(io.Discard)
	select {
	case s.zips <- z:
	default:
	}
}

// acceptsGzip reads an Accept-Encoding.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) != "gzip" {
			continue
		}
		q, ok := strings.CutPrefix(strings.TrimSpace(weight), "q=")
		v, err := strconv.ParseFloat(q, 64)
		return !ok || err == nil && v > 0
	}
	return false
}
