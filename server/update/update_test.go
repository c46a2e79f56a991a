package update_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"addons/server/cache"
	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/update"
)

// memory is a Source that counts, and fails when it is told to.
type memory struct {
	mu       sync.Mutex
	versions map[string][]*catalog.Version
	changes  []string // from number 1 on, but for
	forgot   int64    // the first ones
	asked    int
	err      error
	broken   error // of Candidates alone
}

func (m *memory) Clock(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.changes)), m.err
}

func (m *memory) Changes(_ context.Context, after int64, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && after < m.forgot {
		return nil, catalog.ErrBehind
	}
	return slices.Clone(m.changes[after:min(after+int64(limit), int64(len(m.changes)))]), m.err
}

func (m *memory) GUIDs(_ context.Context, after string, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Sorted(maps.Keys(m.versions))
	i, found := slices.BinarySearch(all, after)
	if found {
		i++
	}
	return all[i:min(i+limit, len(all))], m.err
}

// set changes an add-on, as a commit does.
func (m *memory) set(guid string, versions ...*catalog.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.versions[guid] = versions
	m.changes = append(m.changes, guid)
}

func (m *memory) Candidates(_ context.Context, guid, _ string) (bool, []*catalog.Version, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	versions, known := m.versions[guid]
	return known, versions, "clock", errors.Join(m.err, m.broken)
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

const base = "http://127.0.0.1:8000"

func newService(t testing.TB, db update.Source) (*update.Service, *metrics.Registry) {
	t.Helper()
	reg := metrics.New(nil)
	c, err := cache.Open("memory:?size=16MiB", reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return update.New(db, c, base, reg), reg
}

// hash is a sha256 of nothing in particular.
var hash = "sha256:" + strings.Repeat("0a", 32)

func clock(id int64, number string, change ...func(*catalog.Version)) *catalog.Version {
	v := &catalog.Version{
		ID: id, Number: number, Channel: catalog.Listed,
		Compatibility: []catalog.Compat{{App: "firefox", Min: "140.0", Max: "*"}, {App: "android", Min: "120.0", Max: "*"}},
		File:          catalog.File{ID: id * 10, Name: "clock-" + number + ".xpi", Hash: hash, Status: catalog.Public},
	}
	for _, c := range change {
		c(v)
	}
	return v
}

func query(guid, app, appVersion, mode string) string {
	return "id=" + url.QueryEscape(guid) + "&appID=" + app + "&appVersion=" + appVersion + "&compatMode=" + mode
}

// TestAnswersAreWhatFirefoxAccepts: one row for each thing that Firefox 153 was seen
// to insist on.
func TestAnswersAreWhatFirefoxAccepts(t *testing.T) {
	t.Parallel()
	const guid = "clock@example.org"
	const link = base + "/firefox/downloads/file/20/clock-1.1.xpi"
	head, tail := `{"addons":{"clock@example.org":{"updates":[{"version":"1.1","update_link":"`+link+`","applications":{"gecko":{`, `}]}}}`
	none := `{"addons":{"clock@example.org":{"updates":[]}}}`
	hashed := `,"update_hash":"` + hash + `"`
	for _, c := range []struct {
		name    string
		version *catalog.Version
		app     catalog.App
		mode    string
		want    string
	}{
		{"an absolute link, the hash with its algorithm, the version a string", clock(2, "1.1"), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0"}}` + hashed + tail},
		{"no sha1, which Firefox would refuse over http", clock(2, "1.1", func(v *catalog.Version) { v.File.Hash = "sha1:abc" }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0"}}` + tail},
		{"no hash when none is known", clock(2, "1.1", func(v *catalog.Version) { v.File.Hash = "" }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0"}}` + tail},
		{"no maximum unless it is strict, for Firefox would let any bind", clock(2, "1.1", func(v *catalog.Version) { v.Compatibility[0].Max = "150.*" }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0"}}` + hashed + tail},
		{"a strict maximum", clock(2, "1.1", func(v *catalog.Version) { v.Strict, v.Compatibility[0].Max = true, "160.*" }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0","strict_max_version":"160.*"}}` + hashed + tail},
		{"a strict maximum without a limit", clock(2, "1.1", func(v *catalog.Version) { v.Strict = true }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0","strict_max_version":"*"}}` + hashed + tail},
		{"gecko even without bounds: an offer without it is skipped", clock(2, "1.1", func(v *catalog.Version) { v.Compatibility[0] = catalog.Compat{App: "firefox"} }), catalog.Firefox, "normal",
			head + `}}` + hashed + tail},
		{"release notes, the locale for Firefox to fill in", clock(2, "1.1", func(v *catalog.Version) { v.ReleaseNotes = catalog.Text{"de": ""} }), catalog.Firefox, "normal",
			head + `"strict_min_version":"140.0"}}` + hashed + `,"update_info_url":"` + base + `/%APP_LOCALE%/firefox/addon/clock/versions/1.1/updateinfo/"` + tail},
		{"gecko for Android as well", clock(2, "1.1"), catalog.Android, "normal",
			strings.ReplaceAll(head, "/firefox/", "/android/") + `"strict_min_version":"120.0"}}` + hashed + tail},
		{"no offer that needs a newer Firefox", clock(2, "1.1", func(v *catalog.Version) { v.Compatibility[0].Min = "154.0" }), catalog.Firefox, "normal", none},
		{"no offer with a strict maximum below", clock(2, "1.1", func(v *catalog.Version) { v.Strict, v.Compatibility[0].Max = true, "152.*" }), catalog.Firefox, "normal", none},
		{"no offer with any maximum below to a strict Firefox", clock(2, "1.1", func(v *catalog.Version) { v.Compatibility[0].Max = "152.*" }), catalog.Firefox, "strict", none},
		{"the installed version itself: Firefox compares", clock(2, "1.1"), catalog.Firefox, "ignore",
			head + `"strict_min_version":"140.0"}}` + hashed + tail},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newService(t, &memory{versions: map[string][]*catalog.Version{guid: {c.version}}})
			got, err := s.Check(t.Context(), query(guid, c.app.GUID, "153.7.0", c.mode)+"&version=1.1", 0)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Body) != c.want {
				t.Errorf("got  %s\nwant %s", got.Body, c.want)
			}
			if !json.Valid(got.Body) || len(got.ETag) != 1 || len(got.ETag[0]) < 3 {
				t.Errorf("body %s with ETag %s", got.Body, got.ETag)
			}
		})
	}
}

func TestAnUnknownAddonIsNoErrorToFirefox(t *testing.T) {
	t.Parallel()
	db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
	s, _ := newService(t, db)
	for _, guid := range []string{"nobody@example.org", "Clock@example.org", "not an id", "{", "\xff"} {
		got, err := s.Check(t.Context(), query(guid, catalog.Firefox.GUID, "153.0", "normal"), 0)
		if err != nil || string(got.Body) != "{}" {
			t.Errorf("check of %q: %s, %v, want {}", guid, got.Body, err)
		}
	}
	if db.asked != 2 {
		t.Errorf("%d statements, want one for each id that Firefox could have", db.asked)
	}
}

func TestEveryCheckHasOneOutcome(t *testing.T) {
	t.Parallel()
	db := &memory{versions: map[string][]*catalog.Version{
		"clock@example.org": {clock(1, "1.0"), clock(2, "1.1")}, "brief@example.org": {clock(3, "1.0")},
	}}
	s, reg := newService(t, db)
	known := query("clock@example.org", catalog.Firefox.GUID, "153.0", "normal")
	check := func(query, want string, wantErr error) update.Response {
		t.Helper()
		ctx, _ := metrics.Begin(t.Context(), "")
		got, err := s.Check(ctx, query, 0)
		if !errors.Is(err, wantErr) || got.Outcome != want {
			t.Errorf("check: %s, %v, want %s, %v", got.Outcome, err, want, wantErr)
		}
		return got
	}
	first := check(known, update.Miss, nil)
	again := check(known, update.Hit, nil)
	check(strings.Replace(known, "153.0", "152.0.1", 1), update.Hit, nil) // another version of Firefox needs no other query
	check(strings.Replace(known, "normal", "strict", 1), update.Hit, nil)
	check(query("nobody@example.org", catalog.Firefox.GUID, "153.0", "normal"), update.Miss, nil)
	check(query("nobody@example.org", catalog.Firefox.GUID, "153.0", "normal"), update.Negative, nil)
	check("id=clock@example.org", update.Bad, catalog.ErrInvalid)
	if db.asked != 2 {
		t.Errorf("%d statements, want 2", db.asked)
	}

	family := update.Family()
	family.TTL = time.Nanosecond // past its time at once
	s.SetFamily(family)
	brief := query("brief@example.org", catalog.Firefox.GUID, "153.0", "normal")
	fresh := check(brief, update.Miss, nil)
	db.fail(fmt.Errorf("the database is down: %w", catalog.ErrUnavailable))
	stale := check(brief, update.Stale, nil)
	check(brief, update.Stale, nil)
	check(known, update.Hit, nil) // what is fresh doesn't notice
	check(query("other@example.org", catalog.Firefox.GUID, "153.0", "normal"), update.Error, catalog.ErrUnavailable)
	for _, pair := range [][2]update.Response{{first, again}, {fresh, stale}} {
		if before, after := pair[0], pair[1]; string(before.Body) != string(after.Body) || before.ETag[0] != after.ETag[0] {
			t.Errorf("answer changed: %s %s, before %s %s", after.ETag, after.Body, before.ETag, before.Body)
		}
	}
	want := "# HELP addons_update_checks_total Update checks by outcome: hit (no query), miss (one query), stale (database down, an older answer), negative (unknown add-on, no query), bad (not a valid question), error (no answer).\n" +
		"# TYPE addons_update_checks_total counter\n"
	for _, n := range []string{`"bad"} 1`, `"error"} 1`, `"hit"} 4`, `"miss"} 3`, `"negative"} 1`, `"stale"} 2`} {
		want += "addons_update_checks_total{outcome=" + n + "\n"
	}
	if err := testutil.GatherAndCompare(reg.Prometheus(), strings.NewReader(want), "addons_update_checks_total"); err != nil {
		t.Error(err)
	}
}

func TestManyChecksOfOneAddonMakeOneStatement(t *testing.T) {
	t.Parallel()
	db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
	s, _ := newService(t, db)
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if _, err := s.Check(t.Context(), query("clock@example.org", catalog.Firefox.GUID, fmt.Sprint(140+i), "normal"), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if db.asked != 1 {
		t.Errorf("%d statements, want 1", db.asked)
	}
}

// TestTheSheetAnswersAsTheRuleDoes on random catalogues: the cached way and
// catalog.Choose agree on every question.
func TestTheSheetAnswersAsTheRuleDoes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	var guids []string
	db := &memory{versions: map[string][]*catalog.Version{}}
	for i := range 400 {
		guid := fmt.Sprintf("a%d@example.org", i)
		guids = append(guids, guid)
		db.versions[guid] = randomVersions(r)
	}
	s, _ := newService(t, db)
	for range 40_000 {
		guid, app := guids[r.IntN(len(guids))], catalog.Apps()[r.IntN(2)]
		request := update.Request{GUID: guid, App: app, AppVersion: randomNumber(r), Mode: catalog.Modes()[r.IntN(3)], Client: catalog.Client(r.IntN(50))}
		got, err := s.Answer(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		if v := catalog.ChooseFor(request.Client, db.versions[guid], app, request.AppVersion, request.Mode); v != nil {
			want = fmt.Sprintf("%s/%s/downloads/file/%d/x.xpi", base, app.Slug, v.File.ID)
		}
		if link := linkOf(t, got.Body, guid); link != want {
			t.Fatalf("%+v of %s:\n got %q\nwant %q", request, show(db.versions[guid]), link, want)
		}
	}
}

func TestARolloutIsForItsClientsAndAHaltForAll(t *testing.T) {
	t.Parallel()
	const guid = "clock@example.org"
	next := clock(2, "1.1")
	db := &memory{versions: map[string][]*catalog.Version{guid: {clock(1, "1.0"), next}}}
	reg := metrics.New(nil)
	c, err := cache.Open("memory:", reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := update.New(db, c, base, reg)
	const clients = 2000
	offered, rolling := 0, 0
	share := func(percent int) (got int) {
		t.Helper()
		rolled := *next
		rolled.HeldBack = 100 - percent
		db.set(guid, clock(1, "1.0"), &rolled)
		if err := c.Invalidate(t.Context(), update.Family(), update.Keys(guid)...); err != nil {
			t.Fatal(err)
		}
		for client := range clients {
			r, err := s.Check(t.Context(), query(guid, catalog.Firefox.GUID, "153.0", "normal"), catalog.Client(client))
			if err != nil {
				t.Fatal(err)
			}
			if r.Private() != (percent < 100) {
				t.Fatalf("at %d %%: private %v", percent, r.Private())
			}
			switch link := linkOf(t, r.Body, guid); {
			case strings.Contains(link, "/file/20/"):
				got++
			case !strings.Contains(link, "/file/10/"):
				t.Fatalf("at %d %%: client %d is offered %q, want the version before", percent, client, link)
			}
		}
		if percent < 100 {
			offered, rolling = offered+got, rolling+clients
		}
		return got
	}
	for _, percent := range []int{0, 10, 50, 100} {
		if got := 100 * float64(share(percent)) / clients; got < float64(percent)-3 || got > float64(percent)+3 {
			t.Errorf("at %d %%: %.1f %% of the clients are offered it", percent, got)
		}
	}
	if got := share(0); got != 0 {
		t.Errorf("%d clients are offered it after a halt", got)
	}
	want := fmt.Sprintf(`
# HELP addons_update_rollout_checks_total Update checks of versions that are being rolled out, by whether the client was offered it or is held back so far.
# TYPE addons_update_rollout_checks_total counter
addons_update_rollout_checks_total{draw="held_back"} %d
addons_update_rollout_checks_total{draw="offered"} %d
`, rolling-offered, offered)
	if err := testutil.GatherAndCompare(reg.Prometheus(), strings.NewReader(want), "addons_update_rollout_checks_total"); err != nil {
		t.Error(err)
	}
}

func linkOf(t *testing.T, body []byte, guid string) string {
	t.Helper()
	var manifest struct {
		Addons map[string]struct {
			Updates []struct {
				Link string `json:"update_link"`
			}
		}
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		t.Fatal(err)
	}
	updates := manifest.Addons[guid].Updates
	if len(updates) == 0 {
		return ""
	}
	return updates[0].Link
}

func show(versions []*catalog.Version) string {
	var b strings.Builder
	for _, v := range versions {
		fmt.Fprintf(&b, "\n%d %s strict:%v held:%d %s deleted:%v %s %v", v.File.ID, v.Number, v.Strict, v.HeldBack, v.Channel, v.Deleted, v.File.Status, v.Compatibility)
	}
	return b.String()
}

func randomVersions(r *rand.Rand) []*catalog.Version {
	versions := []*catalog.Version{}
	for i := range r.IntN(12) {
		v := &catalog.Version{
			ID: int64(i + 1), Number: randomNumber(r), Strict: r.IntN(3) == 0, Deleted: r.IntN(10) == 0, Channel: catalog.Listed,
			File: catalog.File{ID: int64(i + 1), Name: "x.xpi", Status: catalog.Public},
		}
		if r.IntN(10) == 0 {
			v.Channel = catalog.Unlisted
		}
		if r.IntN(5) == 0 {
			v.HeldBack = 1 + r.IntN(100)
		}
		if r.IntN(10) == 0 {
			v.File.Status = catalog.Unreviewed
		}
		for _, app := range catalog.Apps() {
			if r.IntN(4) > 0 {
				v.Compatibility = append(v.Compatibility, catalog.Compat{App: app.Slug, Min: randomBound(r), Max: randomBound(r)})
			}
		}
		versions = append(versions, v)
	}
	return versions
}

func randomNumber(r *rand.Rand) string {
	numbers := []string{"1", "1.0", "1.0a1", "1.0.1", "1.5", "1.10", "2.0b3", "2.0", "2.*", "3", "3.-1", "3.0.0.1", "10", "99.9", "0", "-1"}
	return numbers[r.IntN(len(numbers))]
}

func randomBound(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return []string{"", "*"}[r.IntN(2)]
	}
	return randomNumber(r)
}

func TestInvalidatingTheKeysShowsANewVersionAtOnce(t *testing.T) {
	t.Parallel()
	reg := metrics.New(nil)
	c, err := cache.Open("memory:", reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	db := &memory{versions: map[string][]*catalog.Version{"clock@example.org": {clock(1, "1.0")}}}
	s := update.New(db, c, base, reg)
	ask := func() string {
		r, err := s.Check(t.Context(), query("clock@example.org", catalog.Firefox.GUID, "153.0", "normal"), 0)
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Body)
	}
	before := ask()
	db.mu.Lock()
	db.versions["clock@example.org"] = append(slices.Clone(db.versions["clock@example.org"]), clock(2, "1.1"))
	db.mu.Unlock()
	if diff := cmp.Diff(before, ask()); diff != "" {
		t.Errorf("changed before it was invalidated: %s", diff)
	}
	if err := c.Invalidate(t.Context(), update.Family(), update.Keys("clock@example.org")...); err != nil {
		t.Fatal(err)
	}
	if after := ask(); !strings.Contains(after, `"1.1"`) {
		t.Errorf("after: %s, want 1.1", after)
	}
}

func BenchmarkCheckHit(b *testing.B) {
	s, _ := newService(b, &memory{versions: map[string][]*catalog.Version{"seed@acceptance.invalid": {clock(1, "1.0"), clock(2, "1.1")}}})
	ctx, _ := metrics.Begin(b.Context(), "")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Check(ctx, asFirefox, 0); err != nil {
			b.Fatal(err)
		}
	}
}
