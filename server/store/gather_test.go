package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/catalog"
)

// asked is a database that has even numbers and takes a second for a statement.
type asked struct {
	mu    sync.Mutex
	lists [][]int
	err   error
}

func (a *asked) ask(_ context.Context, keys []int) (map[int]string, error) {
	time.Sleep(time.Second)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists = append(a.lists, slices.Clone(keys))
	rows := map[int]string{}
	for _, k := range keys {
		if k == 666 {
			panic("no such number")
		}
		if k%2 == 0 {
			rows[k] = fmt.Sprint(k)
		}
	}
	return rows, a.err
}

func TestManyLookupsAtOnceShareStatements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &asked{}
		g := gather[int, string]{ask: db.ask}
		const callers = abreast + together + 10
		start := time.Now()
		var wait sync.WaitGroup
		for i := range callers {
			wait.Go(func() {
				v, shared, err := g.one(t.Context(), i)
				switch {
				case i%2 == 0 && (v != fmt.Sprint(i) || err != nil):
					t.Errorf("%d: %q, %v", i, v, err)
				case i%2 == 1 && !errors.Is(err, catalog.ErrNotFound):
					t.Errorf("%d: %q, %v, want not found", i, v, err)
				case shared > 2*time.Second:
					t.Errorf("%d waited for %v", i, shared)
				}
			})
		}
		wait.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want two statements' time", took)
		}
		var sizes []int
		for _, l := range db.lists {
			sizes = append(sizes, len(l))
		}
		slices.Sort(sizes)
		if want := []int{1, 1, 1, 10, together}; !slices.Equal(sizes, want) {
			t.Errorf("statements for %v keys, want %v", sizes, want)
		}
		if _, shared, _ := g.one(t.Context(), 2); shared != 0 || g.underWay != 0 {
			t.Errorf("afterwards a lookup shares a statement of %v, %d are under way", shared, g.underWay)
		}
	})
}

func TestALookupEndsWithItsCallerAndIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &asked{}
		g := gather[int, string]{ask: db.ask}
		var wait sync.WaitGroup
		for i := range abreast {
			wait.Go(func() { g.one(t.Context(), i) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := g.one(ctx, 8); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want its deadline", err)
		}
		wait.Wait()
		if len(db.lists) != abreast {
			t.Errorf("%v were asked for, want the first %d alone", db.lists, abreast)
		}
	})
}

func TestWhatAStatementFailsWithIsEveryCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &asked{err: catalog.ErrUnavailable}
		g := gather[int, string]{ask: db.ask}
		var wait sync.WaitGroup
		failed := make([]error, abreast+20)
		for i := range failed {
			wait.Go(func() { _, _, failed[i] = g.one(t.Context(), i) })
		}
		wait.Wait()
		for i, err := range failed {
			if !errors.Is(err, catalog.ErrUnavailable) {
				t.Errorf("%d: %v, want unavailable", i, err)
			}
		}
		db.err = nil
		for i := range abreast {
			wait.Go(func() { g.one(t.Context(), i) })
		}
		synctest.Wait()
		wait.Go(func() {
			if _, _, err := g.one(t.Context(), 666); err == nil || !strings.Contains(err.Error(), "no such number") {
				t.Errorf("%v, want the panic as an error", err)
			}
		})
		wait.Wait()
	})
}
