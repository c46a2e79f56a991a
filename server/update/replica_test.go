package update_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/update"
)

// TestACommitIsInTheAnswersThoughTheReplicaStandsStill: what the feed has taken in is in
// what is read after it, of whatever server.
func TestACommitIsInTheAnswersThoughTheReplicaStandsStill(t *testing.T) {
	ctx := t.Context()
	p := enginetest.NewPair(t)
	open := func(replicas ...string) *store.DB {
		t.Helper()
		db, err := store.Open(ctx, p.Writer.String(), metrics.New(nil), slog.New(slog.DiscardHandler), replicas...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	site, importer := open(p.Replica.String()+"?lag=10s"), open()
	const guid = "clock@example.org"
	save := func(id int64, version string) {
		t.Helper()
		_, err := importer.Save(ctx, store.Import{
			Addon: &catalog.Addon{GUID: guid, Slug: "clock", Type: catalog.Extension, Status: catalog.Public,
				Name: catalog.Text{"en-US": "Clock"}, DefaultLocale: "en-US"},
			Versions: []*catalog.Version{clock(id, version)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// has looks past the service: what an ordinary read finds.
	has := func(version string) bool {
		_, versions, _, err := site.Candidates(ctx, guid, "firefox")
		return err == nil && len(versions) > 0 && versions[0].Number == version
	}
	save(1, "1.0")
	p.Await("the replica is read from", func() bool { return site.CheckReplicas(ctx) == nil && has("1.0") })
	p.Stop()
	save(2, "1.1")
	if !has("1.0") {
		t.Error("the replica is not read from")
	}
	s, _ := newService(t, site)
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(running)
	}()
	defer func() { stop(); <-done }()
	says := func(version string) bool {
		ctx, _ := metrics.Begin(ctx, "")
		got, err := s.Check(ctx, firefox(guid), 0)
		return err == nil && strings.Contains(string(got.Body), `"version":"`+version+`"`)
	}
	p.Await("the answer as of the start", func() bool { return says("1.1") })
	for i, version := range []string{"1.2", "1.3", "1.4"} {
		committed := time.Now()
		save(int64(3+i), version)
		p.Await(version, func() bool { return says(version) })
		if took := time.Since(committed); took > update.Behind {
			t.Errorf("%s came after %v, while the replica stands still; want within %v", version, took, update.Behind)
		}
	}
	p.GoOn()
	p.Await("the replica is used again", func() bool { return site.CheckReplicas(ctx) == nil && has("1.4") })
}
