package store_test

import (
	"fmt"
	"sync"
	"testing"

	"addons/server/catalog"
	"addons/server/metrics"
)

// TestAnUpdateCheckMakesOneStatementHoweverManyShareIt: for each application one would be
// more than the route's budget allows, and false alarms.
func TestAnUpdateCheckMakesOneStatementHoweverManyShareIt(t *testing.T) {
	bothEngines(t, func(t *testing.T, where func(testing.TB) string) {
		db := open(t, where(t))
		const addons, callers = 5, 120
		for n := range addons {
			in := simple(n)
			in.Versions[0].Compatibility = []catalog.Compat{{App: "firefox"}, {App: "android"}}
			save(t, db, in)
		}
		var wait sync.WaitGroup
		begin := make(chan struct{})
		for i := range callers {
			wait.Go(func() {
				ctx, ledger := metrics.Begin(t.Context(), "")
				<-begin
				for n := range addons {
					app := catalog.Apps()[(i+n)%2].Slug
					known, versions, _, err := db.Candidates(ctx, fmt.Sprintf("simple-%d@example.org", n), app)
					if !known || len(versions) != 1 || versions[0].Compatibility[0].App != app || err != nil {
						t.Errorf("%d for %s: %v, %d versions, %v", n, app, known, len(versions), err)
					}
					if made := ledger.Count("db"); made != n+1 {
						t.Errorf("%d lookups made %d queries", n+1, made)
						return
					}
				}
			})
		}
		close(begin)
		wait.Wait()
	})
}
