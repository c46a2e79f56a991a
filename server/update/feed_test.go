package update_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/update"
)

// following is a Service that follows its source, in a synctest bubble.
type following struct {
	t    *testing.T
	db   *memory
	s    *update.Service
	stop context.CancelFunc
}

func follow(t *testing.T, db *memory) *following {
	f := &following{t: t, db: db}
	f.s, _ = newService(t, db)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.s.Run(ctx)
	}()
	f.stop = func() { stop(); <-done }
	// Half a second after a round, as all that the tests do then: at its instant, what they
	// change would come to some rounds in two parts.
	time.Sleep(update.Behind / 10)
	synctest.Wait()
	return f
}

func firefox(guid string) string { return query(guid, catalog.Firefox.GUID, "153.0", "normal") }

// is checks the outcome of a check, and that its answer has the version ("" for none).
func (f *following) is(guid, outcome, version string) {
	f.t.Helper()
	ctx, _ := metrics.Begin(f.t.Context(), "")
	got, err := f.s.Check(ctx, firefox(guid), 0)
	if got.Outcome != outcome || (err != nil) != (outcome == update.Error) || strings.Contains(string(got.Body), `"version"`) != (version != "") ||
		!strings.Contains(string(got.Body), version) {
		f.t.Errorf("check of %s: %s %s, %v; want %s of %q", guid, got.Outcome, got.Body, err, outcome, version)
	}
	quick, ok := f.s.Quick(firefox(guid), metrics.Now())
	if fromMemory := outcome == update.Hit || outcome == update.Negative || outcome == update.Stale; ok && !fromMemory && outcome != update.Miss {
		f.t.Errorf("quick check of %s: %s, want none", guid, quick.Outcome)
	}
	if ok && string(quick.Body) != string(got.Body) {
		f.t.Errorf("quick check of %s: %s, the other says %s", guid, quick.Body, got.Body)
	}
}

func TestACommitIsInTheAnswersWithinTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
		f := follow(t, db)
		defer f.stop()
		f.is("clock@example.org", update.Miss, "1.0")
		f.is("clock@example.org", update.Hit, "1.0")
		f.is("new@example.org", update.Negative, "")
		if db.asked != 1 {
			t.Errorf("%d statements, want one: the set knows that there is no new@example.org", db.asked)
		}
		for i, version := range []string{"1.1", "1.2", "1.3"} {
			db.set("clock@example.org", clock(2, version))
			db.set("new@example.org", clock(3, version))
			time.Sleep(update.Behind)
			f.is("clock@example.org", update.Hit, version) // read by the feed, not by who asks
			f.is("new@example.org", map[bool]string{true: update.Miss, false: update.Hit}[i == 0], version)
		}
		// Many at once: each has its change, though not all are read at once.
		db.set("clock@example.org", clock(2, "1.4"))
		for i := range 2000 {
			db.set(fmt.Sprintf("n%d@example.org", i), clock(1, "2.0"))
		}
		time.Sleep(update.Behind)
		f.is("clock@example.org", update.Miss, "1.4")
		for i := range 2000 {
			f.is(fmt.Sprintf("n%d@example.org", i), update.Miss, "2.0")
		}
		// What isn't known any more is as if all had changed.
		db.set("clock@example.org", clock(2, "1.5"))
		db.mu.Lock()
		db.versions["past@example.org"] = []*catalog.Version{clock(1, "1.0")} // written past the platform
		db.forgot = int64(len(db.changes))
		db.mu.Unlock()
		time.Sleep(update.Behind)
		f.is("clock@example.org", update.Miss, "1.5")
		f.is("past@example.org", update.Miss, "1.0")
		f.is("nobody@example.org", update.Negative, "")
	})
}

func TestADatabaseThatIsDownIsAnsweredThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}, "rare@example.org": {clock(1, "1.0")}}}
		f := follow(t, db)
		defer f.stop()
		f.is("clock@example.org", update.Miss, "1.0")
		db.fail(fmt.Errorf("down: %w", catalog.ErrUnavailable))
		f.is("clock@example.org", update.Hit, "1.0") // nobody has noticed
		f.is("nobody@example.org", update.Negative, "")
		f.is("rare@example.org", update.Error, "")
		time.Sleep(2 * update.Behind)
		f.is("clock@example.org", update.Stale, "1.0")
		f.is("nobody@example.org", update.Stale, "")
		f.is("rare@example.org", update.Error, "")
		time.Sleep(time.Hour)
		f.is("clock@example.org", update.Stale, "1.0")

		db.set("clock@example.org", clock(2, "1.1"))
		db.fail(nil)
		time.Sleep(2 * time.Second)
		f.is("clock@example.org", update.Hit, "1.1")
		f.is("nobody@example.org", update.Negative, "")
		f.is("rare@example.org", update.Miss, "1.0")

		db.fail(fmt.Errorf("down: %w", catalog.ErrUnavailable))
		time.Sleep(25 * time.Hour)
		f.is("clock@example.org", update.Error, "")
		f.is("nobody@example.org", update.Error, "")
	})
}

// TestOneAddonThatCannotBeReadIsNotAnsweredByTheOld: the feed works, the statement
// for one add-on doesn't.
func TestOneAddonThatCannotBeReadIsNotAnsweredByTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
		f := follow(t, db)
		defer f.stop()
		f.is("clock@example.org", update.Miss, "1.0")
		db.broken = errors.New("broken")
		db.set("clock@example.org", clock(2, "1.1"))
		time.Sleep(update.Behind)
		f.is("clock@example.org", update.Error, "")
		db.broken = nil
		f.is("clock@example.org", update.Miss, "1.1")
	})
}

func TestAnOldPageIsReadAnewInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
		f := follow(t, db)
		defer f.stop()
		f.is("clock@example.org", update.Miss, "1.0")
		db.mu.Lock()
		db.versions["clock@example.org"] = []*catalog.Version{clock(2, "1.1")} // past the platform
		db.mu.Unlock()
		time.Sleep(time.Hour + time.Minute)
		f.is("clock@example.org", update.Hit, "1.0")
		synctest.Wait()
		f.is("clock@example.org", update.Hit, "1.1")
		if db.asked != 2 {
			t.Errorf("%d statements, want 2", db.asked)
		}
	})
}

// TestASharedCopyFromBeforeAChangeIsNotBelieved: another process read the add-on
// before the commit and kept it after everybody had forgotten it.
func TestASharedCopyFromBeforeAChangeIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := metrics.New(nil)
		c, err := cache.Open("memory:", reg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		old := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
		slow := update.New(old, c, base, reg)
		db := &memory{versions: map[string][]*catalog.Version{}}
		for range 100 {
			db.set("other@example.org")
		}
		db.set("clock@example.org", clock(2, "1.1"))
		s := update.New(db, c, base, reg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		defer func() { stop(); <-done }()
		synctest.Wait()
		for round := range 2 {
			if got, err := slow.Check(t.Context(), firefox("clock@example.org"), 0); err != nil || round == 0 && !strings.Contains(string(got.Body), `"1.0"`) {
				t.Fatalf("%s, %v", got.Body, err)
			}
			if got, err := s.Check(t.Context(), firefox("clock@example.org"), 0); err != nil || !strings.Contains(string(got.Body), `"1.1"`) {
				t.Errorf("%s, %v, want 1.1", got.Body, err)
			}
		}
	})
}

func TestADamagedCopyIsReadAnew(t *testing.T) {
	t.Parallel()
	reg := metrics.New(nil)
	c, err := cache.Open("memory:", reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
	s := update.New(db, c, base, reg)
	for _, junk := range []string{"", "u", "k", "K", "K\x00", "K\x00\x00\x05", "U", "U\x00\x00", strings.Repeat("\xff", 40)} {
		key := update.Keys("clock@example.org")[0]
		if err := c.Invalidate(t.Context(), update.Family(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Fetch(t.Context(), c, update.Family(), key, func(context.Context) ([]byte, error) { return []byte(junk), nil }); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Check(t.Context(), firefox("clock@example.org"), 0); err != nil || got.Outcome != update.Miss || !strings.Contains(string(got.Body), `"1.0"`) {
			t.Errorf("after %q: %s %s, %v", junk, got.Outcome, got.Body, err)
		}
	}
}

// TestMemoryAnswersAsTheRuleDoes: one add-on for each range, all questions.
func TestMemoryAnswersAsTheRuleDoes(t *testing.T) {
	const client = catalog.Client(17)
	synctest.Test(t, func(t *testing.T) {
		numbers := []string{"", "*", "100.0", "115.0a1", "115.0", "115.*"}
		db := &memory{versions: map[string][]*catalog.Version{}}
		for i, lower := range numbers {
			for j, upper := range numbers {
				for strict := range 4 { // of two versions, each may bind
					guid := fmt.Sprintf("r%d-%d-%d@example.org", i, j, strict)
					db.versions[guid] = []*catalog.Version{
						{ID: 1, Number: "1", Channel: catalog.Listed, Strict: strict&1 > 0, File: catalog.File{ID: 1, Name: "x.xpi", Status: catalog.Public},
							Compatibility: []catalog.Compat{{App: "firefox", Max: upper}}},
						{ID: 2, Number: "2", Channel: catalog.Listed, Strict: strict&2 > 0, File: catalog.File{ID: 2, Name: "x.xpi", Status: catalog.Public},
							Compatibility: []catalog.Compat{{App: "firefox", Min: lower, Max: upper}, {App: "android", Min: upper}}},
					}
				}
			}
		}
		f := follow(t, db)
		defer f.stop()
		rows := 0
		r := rand.New(rand.NewPCG(7, 8))
		for round := range 3 {
			for guid, versions := range db.versions {
				for _, app := range catalog.Apps() {
					for _, mode := range catalog.Modes() {
						for _, appVersion := range []string{"1", "100.0", "115.0a1", "115.0", "115.7", "140.1", "999.0"} {
							rows++
							ask := query(guid, url.QueryEscape(app.GUID), appVersion, string(mode))
							got, ok := f.s.Quick(ask, metrics.Now())
							if !ok {
								var err error
								if got, err = f.s.Check(t.Context(), ask, client); err != nil {
									t.Fatal(err)
								}
							}
							want := ""
							if v := catalog.ChooseFor(client, versions, app, appVersion, mode); v != nil {
								want = fmt.Sprintf("%s/%s/downloads/file/%d/x.xpi", base, app.Slug, v.File.ID)
							}
							if link := linkOf(t, got.Body, guid); link != want {
								t.Fatalf("%s, quick: %v\n got %q\nwant %q%s", ask, ok, link, want, show(versions))
							}
							if !ok && round > 0 && got.Outcome != update.Hit {
								t.Fatalf("%s in round %d: %s", ask, round, got.Outcome)
							}
						}
					}
				}
			}
			for guid := range db.versions { // and now others
				db.set(guid, randomVersions(r)...)
			}
			time.Sleep(update.Behind)
			for guid := range db.versions { // read once by who asks: they were too many for the feed
				for _, app := range catalog.Apps() {
					if _, err := f.s.Check(t.Context(), query(guid, app.GUID, "1", "strict"), 0); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if rows < 15_000 {
			t.Errorf("%d rows", rows)
		}
	})
}

// TestAnswersGoOnWhileAddonsChange, with -race: of an add-on whose versions only go
// up, no reader sees one that is lower than what was committed before the bound.
func TestAnswersGoOnWhileAddonsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const addons = 20
		db := &memory{versions: map[string][]*catalog.Version{}}
		guid := func(i int) string { return fmt.Sprintf("a%d@example.org", i) }
		type commit struct {
			at time.Time
			n  int
		}
		var mu sync.Mutex
		log := map[string][]commit{}
		set := func(i, n int) {
			db.set(guid(i), clock(int64(n), fmt.Sprint(n)))
			mu.Lock()
			defer mu.Unlock()
			log[guid(i)] = append(log[guid(i)], commit{time.Now(), n})
		}
		for i := range addons {
			set(i, 1)
		}
		f := follow(t, db)
		defer f.stop()
		var wait sync.WaitGroup
		end := time.Now().Add(2 * time.Minute)
		for w := range 2 {
			wait.Go(func() {
				for n := 2; time.Now().Before(end); n++ {
					for i := w; i < addons; i += 2 {
						set(i, n)
						time.Sleep(time.Duration(70+13*w+i) * time.Millisecond)
					}
				}
			})
		}
		for w := range 4 {
			wait.Go(func() {
				r := rand.New(rand.NewPCG(uint64(w), 1))
				for time.Now().Before(end) {
					id := guid(r.IntN(addons))
					got, err := f.s.Check(t.Context(), firefox(id), 0)
					if err != nil {
						t.Error(err)
						return
					}
					var n int
					_, after, _ := strings.Cut(string(got.Body), `"version":"`)
					fmt.Sscanf(after, "%d", &n)
					mu.Lock()
					for _, c := range log[id] {
						if n < c.n && time.Since(c.at) > update.Behind {
							t.Errorf("%s is %d, but %d was committed %v ago", id, n, c.n, time.Since(c.at))
						}
					}
					mu.Unlock()
					time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
				}
			})
		}
		wait.Wait()
	})
}
