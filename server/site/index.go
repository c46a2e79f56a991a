package site

import (
	"context"
	"errors"
	"fmt"
	"time"

	"addons/server/search"
	"addons/server/store"
	"addons/server/task"
)

// indexed is the payload of the index task.
type indexed struct{ ID int64 }

// aggregated is the payload of the nightly task.
type aggregated struct{ Day time.Time }

// tasks registers the kinds of work that are done later. Both are idempotent:
// they bring what is derived to what the database says now.
func (s *Site) tasks() {
	s.index = task.Register(s.Queue, task.Kind[indexed]{
		Name: "index", Timeout: 30 * time.Second, Attempts: 10,
		Run: func(ctx context.Context, t indexed) error { return s.bringIndex(ctx, t.ID) },
	})
	s.aggregate = task.Register(s.Queue, task.Kind[aggregated]{
		Name: "aggregate", Timeout: 10 * time.Minute, Attempts: 5,
		Run: s.runAggregate,
	})
	// After midnight UTC, when the day that is summed up is over. The spec is a
	// constant, so that an error is a programmer's.
	if err := s.Queue.Schedule("17 1 * * *", "nightly", func(ctx context.Context) error {
		return s.aggregate.Send(ctx, aggregated{time.Now().UTC().AddDate(0, 0, -1)})
	}); err != nil {
		panic(err)
	}
}

// bringIndex makes the index agree with the database on one add-on, and this process's
// cache on all.
func (s *Site) bringIndex(ctx context.Context, id int64) error {
	addons, err := s.DB.Addons(ctx, []int64{id})
	if err != nil {
		return fmt.Errorf("index add-on %d: %w", id, err)
	}
	if len(addons) == 1 && shown(addons[0]) {
		err = s.Index.Put(ctx, search.NewDoc(addons[0]))
	} else {
		err = s.Index.Delete(ctx, id)
	}
	// This process need not wait for its next look at what has changed.
	if err := errors.Join(err, s.Cache.CatchUp(ctx, s.DB)); err != nil {
		return fmt.Errorf("index add-on %d: %w", id, err)
	}
	s.searchAnew(ctx)
	return nil
}

// searchAnew ends what searches are remembered. A cache that is down holds up no task: this
// process then uses none of its copies, and those of others end by themselves.
func (s *Site) searchAnew(ctx context.Context) {
	if err := s.Cache.InvalidateAll(ctx, searchFamily); err != nil {
		s.Log.WarnContext(ctx, "other processes may remember searches for two minutes", "error", err)
	}
}

func (s *Site) runAggregate(ctx context.Context, t aggregated) error {
	rows, err := s.DB.Aggregate(ctx, t.Day)
	if err != nil {
		return fmt.Errorf("aggregate %s: %w", t.Day.Format(time.DateOnly), err)
	}
	s.Log.Info("day summed up", "day", t.Day.Format(time.DateOnly), "rows", rows)
	return nil
}

// IndexJobs is the work to do after an add-on changed: for store.Save to write
// in the transaction that changes it.
func (s *Site) IndexJobs(addonID int64) []store.Job {
	return []store.Job{s.index.Job(context.Background(), indexed{addonID})}
}

// batch is how many add-ons Reindex has in memory at a time.
const batch = 1000

// Reindex brings the whole index to what the database says, and tells progress
// (nil: nobody) how many add-ons are done. What processes remember of add-ons for
// update checks is read anew too.
func (s *Site) Reindex(ctx context.Context, progress func(done int)) error {
	done := 0
	for after := int64(0); ; {
		ids, err := s.DB.IDs(ctx, after, batch)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			s.searchAnew(ctx)
			return s.DB.ChangedAll(ctx)
		}
		if err := s.reindex(ctx, ids); err != nil {
			return fmt.Errorf("reindex after add-on %d: %w", after, err)
		}
		after = ids[len(ids)-1]
		done += len(ids)
		if progress != nil {
			progress(done)
		}
	}
}

func (s *Site) reindex(ctx context.Context, ids []int64) error {
	addons, err := s.DB.Addons(ctx, ids)
	if err != nil {
		return err
	}
	gone := make(map[int64]bool, len(ids))
	for _, id := range ids {
		gone[id] = true
	}
	var docs []search.Doc
	for _, a := range addons {
		if shown(a) {
			docs = append(docs, search.NewDoc(a))
			delete(gone, a.ID)
		}
	}
	if err := s.Index.Put(ctx, docs...); err != nil || len(gone) == 0 {
		return err
	}
	hidden := make([]int64, 0, len(gone))
	for id := range gone {
		hidden = append(hidden, id)
	}
	return s.Index.Delete(ctx, hidden...)
}
