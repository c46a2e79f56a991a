package site

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/store"
)

// Download is a package on its way to a visitor. The caller closes Body, which
// is nil when the bytes are elsewhere, at File.URL.
type Download struct {
	File     *catalog.File
	Addon    *catalog.Addon // its id, slug, type and names
	Body     io.ReadSeekCloser
	Modified time.Time

	site *Site
}

// Count counts the download: once for each whole package that is sent, not for
// those who only ask whether it is there.
func (d Download) Count() { d.site.downloads.add(d.File.ID) }

// located is a file with its add-on; nil when there is none to give.
type located struct {
	File  *catalog.File
	Addon *catalog.Addon
}

// Empty makes nothing found a negative entry of the cache.
func (l located) Empty() bool { return l.File == nil }

// Download opens the package of a public add-on; catalog.ErrNotFound if there is none.
func (s *Site) Download(ctx context.Context, fileID int64) (Download, error) {
	l, err := cache.Fetch(ctx, s.Cache, fileFamily, strconv.FormatInt(fileID, 10), func(ctx context.Context) (located, error) {
		f, a, err := s.DB.File(ctx, fileID)
		if errors.Is(err, catalog.ErrNotFound) {
			cache.UsesAny(ctx)
			return located{}, nil
		}
		if err != nil {
			return located{}, err
		}
		uses(ctx, a)
		return located{f, a}, nil
	})
	if err == nil && l.File == nil {
		err = catalog.ErrNotFound
	}
	if err != nil {
		return Download{}, fmt.Errorf("file %d: %w", fileID, err)
	}
	if l.Addon.Status != catalog.Public || l.File.Status != catalog.Public {
		return Download{}, fmt.Errorf("file %d is not public: %w", fileID, catalog.ErrNotFound)
	}
	d := Download{File: l.File, Addon: l.Addon, Modified: l.File.Created, site: s}
	if l.File.Key == "" {
		return d, nil
	}
	body, _, _, err := s.Files.Open(ctx, l.File.Key)
	if err != nil {
		return Download{}, fmt.Errorf("file %d: %w", fileID, err)
	}
	d.Body = body
	return d, nil
}

// Image opens an icon or a preview by its key.
func (s *Site) Image(ctx context.Context, key string) (body io.ReadSeekCloser, modified time.Time, err error) {
	body, _, modified, err = s.Files.Open(ctx, key)
	return body, modified, err
}

const (
	// flushEvery is how old a counted download may get before it is written down.
	flushEvery = 10 * time.Second
	// maxFiles bounds what is counted between two flushes; beyond it, downloads of
	// further files are dropped and counted as such.
	maxFiles = 10_000
	// flushBatch is how many files one statement writes.
	flushBatch = 500
	// flushTimeout bounds one flush, the last one at Close included.
	flushTimeout = 10 * time.Second
)

// downloads counts in memory, because a row per download would make the most
// popular file the hottest lock of the database.
type downloads struct {
	db      *store.DB
	log     *slog.Logger
	counted *metrics.Counter
	dropped *metrics.Counter
	stop    chan struct{}
	done    chan struct{}
	err     error // of the last flush, when done is closed
	once    sync.Once

	mu     sync.Mutex
	counts map[counting]int
}

// counting is what is counted apart: a file, on a day.
type counting struct {
	file int64
	day  int64 // since 1970, UTC
}

func countDownloads(db *store.DB, reg *metrics.Registry, log *slog.Logger) *downloads {
	total := reg.Counter(metrics.Desc{
		Name: "addons_downloads_total", Help: "Packages downloaded: counted, or dropped because too many different files waited to be written down.",
		Labels: []metrics.Label{metrics.L("outcome", "counted", "dropped")}, Keys: []string{"downloads.{outcome}"},
	})
	d := &downloads{
		db: db, log: log, counted: total.With("counted"), dropped: total.With("dropped"),
		stop: make(chan struct{}), done: make(chan struct{}), counts: map[counting]int{},
	}
	go d.run()
	return d
}

func (d *downloads) add(file int64) {
	key := counting{file, time.Now().Unix() / int64(24*time.Hour/time.Second)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.counts[key]; !ok && len(d.counts) >= maxFiles {
		d.dropped.Inc()
		return
	}
	d.counts[key]++
	d.counted.Inc()
}

// run flushes from time to time until close.
func (d *downloads) run() {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := d.flush(); err != nil {
				d.log.Warn("downloads not written down yet", "error", err)
			}
		case <-d.stop:
			d.err = d.flush()
			close(d.done)
			return
		}
	}
}

// close flushes what is left; further calls get the same answer.
func (d *downloads) close() error {
	d.once.Do(func() { close(d.stop) })
	<-d.done
	if d.err != nil {
		return fmt.Errorf("downloads: %w", d.err)
	}
	return nil
}

// flush writes down what was counted; what could not be written is kept for the
// next time.
func (d *downloads) flush() error {
	d.mu.Lock()
	counts := d.counts
	d.counts = map[counting]int{}
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	rows := make([]store.Download, 0, min(len(counts), flushBatch))
	var err error
	for key, n := range counts {
		rows = append(rows, store.Download{FileID: key.file, Day: time.Unix(key.day*24*60*60, 0).UTC(), Count: n})
		if len(rows) == flushBatch {
			err = d.write(ctx, rows, err)
			rows = rows[:0]
		}
	}
	return d.write(ctx, rows, err)
}

// write writes rows unless an earlier batch failed, and takes them back if it fails.
func (d *downloads) write(ctx context.Context, rows []store.Download, failed error) error {
	if failed == nil && len(rows) > 0 {
		failed = d.db.DownloadCounted(ctx, rows...)
	} else if len(rows) == 0 {
		return failed
	}
	if failed == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		d.counts[counting{r.FileID, r.Day.Unix() / (24 * 60 * 60)}] += r.Count
	}
	return failed
}
