package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	blevedocument "github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/numeric"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"
)

// bleveDriver keeps the index in this process, in memory or in a folder that
// belongs to this process alone.
type bleveDriver struct {
	path string // "" in memory
	log  *slog.Logger
	// slots bounds the searches under way, and with them memory: each holds the
	// keys of its best hits. More than a few per processor would not be faster.
	slots chan struct{}

	mu      sync.RWMutex // held for writing while what follows is replaced
	index   bleve.Index
	columns *columns
}

// bleveLayout changes whenever (document).bleve does.
const bleveLayout = "bleve 3"

// openBleve opens the folder's index, or makes one. What an older program made
// in another way is removed: it can always be made again from the database.
func openBleve(folder string, log *slog.Logger) (*bleveDriver, error) {
	d := &bleveDriver{log: log, columns: newColumns(), slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	if folder != "" {
		d.path = filepath.Join(folder, fingerprint(bleveLayout))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("search index in %s: %w", folder, err)
		}
	}
	var err error
	if d.index, err = d.open(); err != nil {
		return nil, err
	}
	d.removeOthers(folder)
	return d, nil
}

func (d *bleveDriver) open() (bleve.Index, error) {
	// Bolt waits for ever for a file that another process holds unless told otherwise.
	config := map[string]any{"bolt_timeout": "1s"}
	if d.path == "" {
		return bleve.NewUsing("", bleve.NewIndexMapping(), scorch.Name, scorch.Name, config)
	}
	ix, err := bleve.OpenUsing(d.path, config)
	switch {
	case err == nil:
		return ix, nil
	case errors.Is(err, bleve.ErrorIndexPathDoesNotExist):
	case strings.Contains(err.Error(), "timeout"): // bbolt's ErrTimeout, which bleve does not wrap
		return nil, fmt.Errorf("search index %s is in use by another process: stop it, or give each its own folder: %w", d.path, err)
	default:
		d.log.Warn("search index is damaged and begun anew", "path", d.path, "error", err)
		if err := os.RemoveAll(d.path); err != nil {
			return nil, fmt.Errorf("damaged search index %s: %w", d.path, err)
		}
	}
	ix, err = bleve.NewUsing(d.path, bleve.NewIndexMapping(), scorch.Name, scorch.Name, config)
	if err != nil {
		return nil, fmt.Errorf("search index %s: %w", d.path, err)
	}
	return ix, nil
}

// removeOthers removes the indexes of other versions of this program.
func (d *bleveDriver) removeOthers(folder string) {
	metas, err := filepath.Glob(filepath.Join(folder, "*", "index_meta.json"))
	if folder == "" || err != nil {
		return
	}
	for _, meta := range metas {
		other := filepath.Dir(meta)
		if other == d.path {
			continue
		}
		d.log.Info("search index of another version removed", "path", other)
		if err := os.RemoveAll(other); err != nil {
			d.log.Warn("old search index stays", "path", other, "error", err)
		}
	}
}

func (*bleveDriver) name() string { return "bleve" }

func (d *bleveDriver) put(_ context.Context, docs []document) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	batch := d.index.NewBatch()
	for _, doc := range docs {
		if err := batch.IndexAdvanced(doc.bleve()); err != nil {
			return fmt.Errorf("search: add-on %d: %w", doc.id, err)
		}
	}
	return d.index.Batch(batch)
}

func (d *bleveDriver) delete(_ context.Context, ids []int64) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	batch := d.index.NewBatch()
	for _, id := range ids {
		batch.Delete(strconv.FormatInt(id, 10))
	}
	return d.index.Batch(batch)
}

// bleve is doc as bleve stores it: past its mapping, for there is nothing to analyse.
func (doc document) bleve() *blevedocument.Document {
	out := blevedocument.NewDocument(strconv.FormatInt(doc.id, 10))
	for field, terms := range doc.terms {
		out.AddField(blevedocument.NewTextFieldCustom(field, nil, []byte(strings.Join(terms, separator)), index.IndexField|index.SkipFreqNorm, termList{}))
	}
	for field, number := range doc.numbers {
		out.AddField(blevedocument.NewTextFieldCustom(sortKey(field), nil, sortable(number), sortOptions, nil))
	}
	if doc.order != "" {
		out.AddField(blevedocument.NewTextFieldCustom(sortKey(orderName), nil, []byte(doc.order), sortOptions, nil))
	}
	return out
}

// sortOptions: the value of each document is kept. They stay compressed: with
// SkipDVCompression a search would be faster, but once segments have been merged
// (zapx v17.2.5) documents have other documents' values.
const sortOptions = index.IndexField | index.DocValues | index.SkipFreqNorm

// sortKey names the field that has the values of a number, or of the text that is sorted by.
// It is none of bleve's numeric fields, which keep sixteen terms a document for ranges.
func sortKey(field string) string { return "sort_" + field }

// sortable is a number as bytes that order as the numbers do.
func sortable(number float64) []byte {
	return numeric.MustNewPrefixCodedInt64(numeric.Float64ToInt64(number), 0)
}

// separator stands between a field's terms. No term has a line end: words have
// none, and for slugs, GUIDs and the like it would only split a term that matches nothing sensible.
const separator = "\n"

// termList is the analyzer that takes a list of terms as it is.
type termList struct{}

func (termList) Analyze(list []byte) analysis.TokenStream {
	var tokens analysis.TokenStream
	for i, t := range bytes.Split(list, []byte(separator)) {
		tokens = append(tokens, &analysis.Token{Term: t, Position: i + 1, End: len(t)})
	}
	return tokens
}

func (d *bleveDriver) search(ctx context.Context, p plan) (Result, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return Result{}, fmt.Errorf("search: too many at once: %w", ctx.Err())
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	began := time.Now()
	all, err := d.index.Advanced()
	if err != nil {
		return Result{}, err
	}
	reader, err := all.Reader()
	if err != nil {
		return Result{}, err
	}
	defer reader.Close()
	snapshot, ok := reader.(*scorch.IndexSnapshot)
	if !ok {
		return Result{}, fmt.Errorf("search: bleve reads its index by a %T", reader)
	}
	r, err := d.ranked(ctx, snapshot, p)
	if err != nil {
		return Result{}, err
	}
	return Result{Total: r.total, Hits: r.hits(), Took: time.Since(began)}, nil
}

func (d *bleveDriver) ranked(ctx context.Context, snapshot *scorch.IndexSnapshot, p plan) (*ranking, error) {
	near := map[near][]string{}
	if err := nears(snapshot, p.match, near); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := newRanking(p, d.columns)
	d.columns.forget(snapshot.Segments())
	for _, s := range snapshot.Segments() {
		m := &matcher{segment: s, columns: d.columns, near: near, dicts: map[string]segment.TermDictionary{}}
		found, err := m.found(p)
		if err == nil {
			err = r.add(ctx, s, found)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (d *bleveDriver) count(context.Context) (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	n, err := d.index.DocCount()
	return int(n), err
}

// check asks for one of the few documents that are recommended. It needs the folder, a
// dictionary and the columns that most searches do, which nobody else has to wait for then.
func (d *bleveDriver) check(ctx context.Context) error {
	_, err := d.search(ctx, plan{filters: []node{term{fieldPromoted, "recommended"}}, sort: relevance, limit: 1})
	return err
}

func (d *bleveDriver) reset(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.index.Close(); err != nil {
		return err
	}
	if d.path != "" {
		if err := os.RemoveAll(d.path); err != nil {
			return err
		}
	}
	fresh, err := d.open()
	if err != nil {
		return err
	}
	d.index, d.columns = fresh, newColumns()
	return nil
}

func (d *bleveDriver) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.index.Close()
}
