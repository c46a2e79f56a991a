package load

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"addons/server/catalog"
	"addons/server/store"
)

// SampleSize is how many add-ons a sample catalogue has if nobody says otherwise.
const SampleSize = 300

// MaxSample bounds a sample: there are no more made-up names than that.
const MaxSample = 5000

// made is an add-on of the sample with the bytes that belong to it.
type made struct {
	addon    *catalog.Addon
	versions []madeVersion
	ratings  []catalog.Rating
	icon     []byte
	previews [][]byte // in the order of addon.Previews
	packed   bool     // has its bytes
}

// madeVersion is a version and its package.
type madeVersion struct {
	version *catalog.Version
	body    []byte
}

// Sample loads the sample catalogue: n add-ons (0 is SampleSize) that depend on
// seed and n alone, packages included. One in 25 is there to be hidden: disabled,
// unlisted, not reviewed yet or without any version.
func (l *Loader) Sample(ctx context.Context, seed uint64, n int, progress func(done, total int, name string)) (Report, error) {
	if n == 0 {
		n = SampleSize
	}
	if n < 0 || n > MaxSample {
		return Report{}, fmt.Errorf("a sample of %d add-ons: it may have 1 to %d: %w", n, MaxSample, catalog.ErrInvalid)
	}
	drafts, err := plan(seed, n)
	if err != nil {
		return Report{}, err
	}
	report := Report{}
	tell := tracker(progress, n)
	// More than there are processors: most of the time goes into waiting for the
	// disk to have a package for good.
	err = inOrder(ctx, slices.Values(drafts), 4*runtime.GOMAXPROCS(0), func(ctx context.Context, d *draft) (*store.Import, error) {
		m, err := d.make()
		if err != nil {
			return nil, err
		}
		return l.store(ctx, m)
	}, func(in *store.Import) error {
		saved, err := l.save(ctx, *in)
		if err != nil {
			return err
		}
		report.count(saved)
		tell(in.Addon.Name.In(in.Addon.DefaultLocale))
		return nil
	})
	if err != nil {
		return report, fmt.Errorf("sample catalogue: %w", err)
	}
	return report, nil
}

// inOrder prepares items at the same time and finishes them one by one, in
// their order, so that ids too depend on the seed alone.
func inOrder[T, P any](ctx context.Context, items iter.Seq[T], workers int, prepare func(context.Context, T) (P, error), finish func(P) error) error {
	g, ctx := errgroup.WithContext(ctx)
	// Bounded: what is prepared waits for its turn with its bytes already stored.
	turns := make(chan chan P, workers)
	g.Go(func() error {
		defer close(turns)
		prepared, ctx := errgroup.WithContext(ctx)
		prepared.SetLimit(workers)
		for item := range items {
			turn := make(chan P, 1)
			select {
			case turns <- turn:
			case <-ctx.Done():
				return prepared.Wait()
			}
			prepared.Go(func() error {
				p, err := prepare(ctx, item)
				if err == nil {
					turn <- p
				}
				return err
			})
		}
		return prepared.Wait()
	})
	g.Go(func() error {
		for turn := range turns {
			select {
			case p := <-turn:
				if err := finish(p); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return ctx.Err()
	})
	return g.Wait()
}

// store puts the bytes and returns what is to be saved.
func (l *Loader) store(ctx context.Context, m *made) (*store.Import, error) {
	var err error
	if m.icon != nil {
		if m.addon.Icon, err = l.key(ctx, m.icon); err != nil {
			return nil, err
		}
	}
	for i, image := range m.previews {
		if m.addon.Previews[i].Image, err = l.key(ctx, image); err != nil {
			return nil, err
		}
	}
	in := &store.Import{Addon: m.addon, Ratings: m.ratings}
	for _, v := range m.versions {
		blob, err := l.put(ctx, v.body)
		if err != nil {
			return nil, err
		}
		v.version.File.Key, v.version.File.Hash, v.version.File.Size = blob.Key, blob.Hash, blob.Size
		in.Versions = append(in.Versions, v.version)
	}
	return in, nil
}

// key stores bytes and returns where.
func (l *Loader) key(ctx context.Context, body []byte) (string, error) {
	blob, err := l.put(ctx, body)
	return blob.Key, err
}

// sampleEnd is the last day of the sample's history. It is fixed, because the
// sample is the same on every day.
func sampleEnd() time.Time { return time.Date(2026, 10, 30, 12, 0, 0, 0, time.UTC) }
