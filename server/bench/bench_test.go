package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

// filled is a database with some add-ons of each kind that an update check can meet.
func filled(t *testing.T) string {
	t.Helper()
	rawURL := "sqlite:" + filepath.Join(t.TempDir(), "addons.db")
	db, err := store.Open(t.Context(), rawURL, metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	version := func(number, lower, upper string, strict bool, notes catalog.Text) *catalog.Version {
		return &catalog.Version{
			Number: number, Strict: strict, ReleaseNotes: notes, Compatibility: []catalog.Compat{{App: "firefox", Min: lower, Max: upper}},
			File: catalog.File{Name: "x-" + number + ".xpi", Hash: "sha256:" + strings.Repeat("0a", 32), Status: catalog.Public},
		}
	}
	for guid, in := range map[string]struct {
		status   catalog.Status
		versions []*catalog.Version
	}{
		"plain@example.org":    {catalog.Public, []*catalog.Version{version("1.0", "100.0", "*", false, nil), version("1.1", "120.0", "*", false, catalog.Text{"en-US": "New."})}},
		"newer@example.org":    {catalog.Public, []*catalog.Version{version("1.0", "999.0", "*", false, nil)}},
		"strict@example.org":   {catalog.Public, []*catalog.Version{version("1.0", "1.0", "140.*", true, nil), version("0.9", "1.0", "152.*", true, nil)}},
		"none@example.org":     {catalog.Public, nil},
		"review@example.org":   {catalog.Nominated, []*catalog.Version{version("1.0", "1.0", "*", false, nil)}},
		"disabled@example.org": {catalog.Disabled, []*catalog.Version{version("1.0", "1.0", "*", false, nil)}},
	} {
		name, _, _ := strings.Cut(guid, "@")
		_, err := db.Save(t.Context(), store.Import{Versions: in.versions, Addon: &catalog.Addon{
			GUID: guid, Slug: name, Type: catalog.Extension, Status: in.status, DefaultLocale: "en-US", Name: catalog.Text{"en-US": name},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rawURL
}

// TestEveryTierGivesTheSameAnswers: else the table would compare different work.
func TestEveryTierGivesTheSameAnswers(t *testing.T) {
	t.Parallel()
	b := Backends{Database: filled(t)}
	tiers := Tiers()
	db, err := openStore(t.Context(), b.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	q, err := newQuestions(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for range 100 {
		for _, query := range []string{q.popular(), q.any(), q.unknown()} {
			if want[query], err = reference(t.Context(), db, query); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tier := range tiers {
		if tier.serve == nil || tier.Name == "bare" || tier.Name == "thin" {
			continue
		}
		t.Run(tier.Name, func(t *testing.T) {
			b := b
			if tier.cache {
				b.Cache = enginetest.URL(t, "MEMCACHE")
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- Serve(ctx, tier.Name, b, l) }()
			for range 2 { // the second time from whatever it remembers
				if err := compare(ctx, l.Addr().String(), want); err != nil {
					t.Error(err)
				}
			}
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestADifferenceBetweenGeneratorAndServerIsSeen(t *testing.T) {
	t.Parallel()
	const before = "addons_update_checks_total{outcome=\"hit\"} 5\n"
	exposition := func(hits, seconds, answers, bytes string) string {
		return "# HELP x y\n" + `addons_update_checks_total{outcome="hit"} ` + hits + "\n" +
			`addons_update_check_seconds_count{outcome="hit"} ` + seconds + "\n" +
			`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/update/VersionCheck.php",module="update",view="check"} ` + answers + "\n" +
			`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/",module="pages",view="root"} 99` + "\n" +
			`http_server_response_body_size_bytes_sum{http_route="/update/VersionCheck.php"} ` + bytes + "\n"
	}
	seen := newTally()
	for range 3 {
		seen.record(answer{200, []byte("{}")}, time.Millisecond, nil)
	}
	for _, c := range []struct {
		after   string
		differs bool
	}{
		{exposition("8", "3", "3", "6"), false},
		{exposition("9", "3", "3", "6"), true},
		{exposition("8", "4", "3", "6"), true},
		{exposition("8", "3", "2", "6"), true},
		{exposition("8", "3", "3", "7"), true},
		{exposition("8", "3", "3", "6") + `http_server_request_duration_seconds_count{http_response_status_code="503",http_route="/update/VersionCheck.php"} 1` + "\n", true},
	} {
		b, err := series(strings.NewReader(before))
		if err != nil {
			t.Fatal(err)
		}
		a, err := series(strings.NewReader(c.after))
		if err != nil {
			t.Fatal(err)
		}
		r := &LoadReport{}
		r.compare(seen, b, a)
		if r.Differs() != c.differs {
			t.Errorf("differs: %v, want %v: %+v", r.Differs(), c.differs, r.Compared)
		}
	}
}

// TestAServerThatStandsStillCannotHideIt: a check that is due meanwhile counts from
// when it was due, though nobody could send it.
func TestAServerThatStandsStillCannotHideIt(t *testing.T) {
	t.Parallel()
	const still = 400 * time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan bool, 1)
	first <- true
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-first:
			time.Sleep(still) // what is measured
		default:
		}
		io.WriteString(w, "{}")
	})}
	go server.Serve(l)
	defer server.Close()
	seen, _ := LoadConfig{Rate: 200, For: time.Second, Conns: 1}.ask(t.Context(), l.Addr().String(), [][]byte{request("x", "id=a@b")}, nil)
	n := seen.answered()
	if n < 120 || n > 300 || seen.Failed > 0 {
		t.Fatalf("%d answers, %d failed (%s), want about 200", n, seen.Failed, seen.Error)
	}
	// Of 200, 80 were due meanwhile; half of these waited for more than half of it.
	if seen.millis(85) < 1000*still.Seconds()/4 {
		t.Errorf("15 %% of the checks took %v ms or more, want those that were due while it stood still", seen.millis(85))
	}
}

func TestTiersThatCannotBeMeasuredAreRefused(t *testing.T) {
	t.Parallel()
	for _, only := range []string{"junk", "memcached", withoutInstruments} {
		if _, err := (Config{Only: []string{only}}).tiers(); err == nil || !strings.Contains(err.Error(), only) {
			t.Errorf("--only %s: %v", only, err)
		}
	}
	all, err := Config{}.tiers()
	if err != nil || slices.ContainsFunc(all, func(t Tier) bool { return t.cache }) || len(all) != len(Tiers())-1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := Serve(t.Context(), "junk", Backends{}, nil); err == nil {
		t.Error("a tier that there isn't was served")
	}
	if _, err := openSQL("postgres://x"); err == nil {
		t.Error("a database that there isn't was opened")
	}
}

func TestACommandIsShownWithoutItsPasswords(t *testing.T) {
	t.Parallel()
	got := redacted("addons bench update --database=mysql://me:secret@db/x --cache memcache://a:1 --database mysql://me:secret@db/y")
	if strings.Contains(got, "secret") || !strings.Contains(got, "--database=mysql://me:xxxxx@db/x --cache memcache://a:1") {
		t.Error(got)
	}
}

func TestAnAnswerWithoutLengthIsRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, sent := range []string{"HTTP/1.1 200 OK\r\n\r\n", "junk\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"} {
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			conn.Read(make([]byte, 4096))
			io.WriteString(conn, sent)
		}()
		c, err := dial(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.do(request("x", "")); !errors.Is(err, errAnswer) {
			t.Errorf("%q: %v, want it refused", sent, err)
		}
		c.close()
	}
}
