package update_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/update"
)

// TestALockedTableAndAFullPoolHoldUpWhatIsNotInMemory has a lock on the table, for which every
// query waits, and with them the pool's two connections: what lies ready is answered at once,
// all others are told so within the time of a query, and once the lock is gone they are answered.
func TestALockedTableAndAFullPoolHoldUpWhatIsNotInMemory(t *testing.T) {
	where, server := database(t)
	reg, log := metrics.New(nil), slog.New(slog.DiscardHandler)
	db, err := store.Open(t.Context(), where+"?pool=2", reg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	const cold = 20
	for i := range cold + 1 {
		v := clock(0, "1.0")
		v.File.ID = 0
		_, err := db.Save(t.Context(), store.Import{
			Addon: &catalog.Addon{
				GUID: fmt.Sprintf("a%d@example.org", i), Slug: fmt.Sprintf("a%d", i), Type: catalog.Extension, Status: catalog.Public,
				Name: catalog.Text{"en-US": "A"}, Authors: []catalog.Author{{Name: "Al", Username: "al"}},
			},
			Versions: []*catalog.Version{v},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := cache.Open("memory:", reg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := update.New(db, c, base, reg)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	ask := func(i int) (update.Response, time.Duration, error) {
		begun := time.Now()
		r, err := s.Check(ctx, firefox(fmt.Sprintf("a%d@example.org", i)), 0)
		return r, time.Since(begun), err
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // the feed runs, and the answer lies ready
		r, _, err := ask(cold)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", r, err)
		}
		if _, ok := s.Quick(firefox(fmt.Sprintf("a%d@example.org", cold)), metrics.Now()); ok {
			break
		}
	}

	lock, err := server.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	u, _ := url.Parse(where)
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLES "+u.Path[1:]+".offers WRITE"); err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for i := range cold {
		waiting.Go(func() {
			r, took, err := ask(i)
			if !errors.Is(err, catalog.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) || took > 12*time.Second {
				t.Errorf("a%d: %+v, %v after %v, want to be told within the time of two queries", i, r, err, took)
			}
		})
	}
	told := make(chan struct{})
	go func() { waiting.Wait(); close(told) }()
	for asked := false; !asked; {
		select {
		case <-told:
			asked = true
		case <-time.After(100 * time.Millisecond):
		}
		if r, took, err := ask(cold); err != nil || took > time.Second {
			t.Fatalf("what lies ready: %+v, %v after %v", r, err, took)
		}
	}
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		r, _, err := ask(0)
		if err == nil && r.Outcome == update.Miss && strings.Contains(string(r.Body), `"1.0"`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the lock: %+v, %v", r, err)
		}
	}
}

// database makes one on the real MySQL for the test; server is a connection to all of it.
func database(t *testing.T) (where string, server *sql.DB) {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	if server, err = sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")/"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	name := fmt.Sprintf("update_%d", time.Now().UnixNano())
	if _, err := server.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Exec("DROP DATABASE " + name) })
	u.Path = "/" + name
	return u.String(), server
}
