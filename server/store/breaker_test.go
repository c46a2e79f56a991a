package store

import (
	"cmp"
	"crypto/rand"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
)

func TestABreakerOpensForSilenceAloneAndLetsOneTryAtATime(t *testing.T) {
	t.Parallel()
	var b breaker
	const limit = 5 * time.Second
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	b.worked(at(0))
	b.failed(at(1), at(1), false) // refused
	b.failed(at(-1), at(4), true) // slow, while others were answered
	if !b.allow(at(4), limit) {
		t.Fatal("open without a silence")
	}
	b.failed(at(4), at(9), true)
	if b.allow(at(9.9), limit) {
		t.Error("tried within a second of the silence")
	}
	if !b.allow(at(10), limit) || b.allow(at(10), limit) || b.allow(at(15), limit) {
		t.Error("want one try after a second, and no other while that may last")
	}
	b.failed(at(10), at(10.1), false)
	if b.allow(at(11), limit) || !b.allow(at(11.1), limit) {
		t.Error("want another try a second after the last one failed")
	}
	b.worked(at(11.2))
	if !b.allow(at(11.2), limit) || !b.allow(at(11.2), limit) {
		t.Error("closed to some after an answer")
	}
}

// behindFront opens a new MySQL database by way of a Front, with a short limit.
func behindFront(t *testing.T) (*DB, *enginetest.Front) {
	t.Helper()
	u, err := url.Parse(enginetest.URL(t, "MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/mysql"
	cfg, _, err := mysqlConfig(u.String(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server, err := sql.Open("mysql", cfg.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	f := enginetest.NewFront(t, u.Host)
	u.Host, u.Path = f.Addr, "/addons_weather_"+strings.ToLower(rand.Text()[:12])
	if _, err := server.Exec("CREATE DATABASE " + u.Path[1:]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Exec("DROP DATABASE " + u.Path[1:])
		server.Close()
	})
	db, err := Open(t.Context(), u.String(), metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.limit = 300 * time.Millisecond
	return db, f
}

func TestAFrozenDatabaseSoonCostsNothing(t *testing.T) {
	t.Parallel()
	db, f := behindFront(t)
	if _, err := db.Addon(t.Context(), "nobody"); !errors.Is(err, catalog.ErrNotFound) {
		t.Fatal(err)
	}
	f.Freeze()
	begun := time.Now()
	for range 100 {
		if _, err := db.Addon(t.Context(), "nobody"); !errors.Is(err, catalog.ErrUnavailable) {
			t.Fatalf("frozen: %v, want unavailable", err)
		}
	}
	// One waits for the limit, and perhaps another a second later.
	if took := time.Since(begun); took > time.Second {
		t.Errorf("100 queries of a frozen database took %v", took)
	}
	f.Thaw()
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("ping of a database that is back: %v", err)
	}
	if _, err := db.Addon(t.Context(), "nobody"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("after an answered ping: %v, want the query to be made", err)
	}
}

func TestATransactionThatFreezesHalfWayEnds(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]error{"commit": nil, "rollback": catalog.ErrInvalid} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, f := behindFront(t)
			ended := make(chan error, 1)
			go func() {
				ended <- db.tx(t.Context(), func(h handle) error {
					if _, err := h.exec(t.Context(), qJobDead, "UPDATE jobs SET attempt = 0"); err != nil {
						return err
					}
					f.Freeze()
					return do
				})
			}()
			select {
			case err := <-ended:
				if !errors.Is(err, cmp.Or(do, catalog.ErrUnavailable)) {
					t.Errorf("%v, want %v", err, cmp.Or(do, catalog.ErrUnavailable))
				}
			case <-time.After(4 * timeout):
				t.Error("hangs with the database")
			}
			f.Thaw()
			if err := db.Ping(t.Context()); err != nil {
				t.Errorf("ping of a database that is back: %v", err)
			}
		})
	}
}
