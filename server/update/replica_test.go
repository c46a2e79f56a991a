package update_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

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
	dial := func(variable string) (*url.URL, *sql.DB) {
		u, err := url.Parse(enginetest.URL(t, variable))
		if err != nil {
			t.Fatal(err)
		}
		server, err := sql.Open("mysql", "root@tcp("+u.Host+")/")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return u, server
	}
	writer, onWriter := dial("MYSQL_WRITER")
	replica, onReplica := dial("MYSQL_REPLICA")
	exec := func(on *sql.DB, text string) {
		t.Helper()
		if _, err := on.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	// One test at a time has the pair, in whatever process.
	conn, err := onWriter.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got int
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK('replication', 300)").Scan(&got); err != nil || got != 1 {
		t.Fatalf("the pair is taken: %d, %v", got, err)
	}
	name := "addons_update_" + strings.ToLower(rand.Text()[:12])
	exec(onWriter, "CREATE DATABASE "+name)
	defer exec(onWriter, "DROP DATABASE "+name)
	defer exec(onReplica, "START SLAVE")
	writer.Path, replica.Path = "/"+name, "/"+name

	open := func(replicas ...string) *store.DB {
		t.Helper()
		db, err := store.Open(ctx, writer.String(), metrics.New(nil), slog.New(slog.DiscardHandler), replicas...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	site, importer := open(replica.String()+"?lag=10s"), open()
	await := func(what string, is func() bool) {
		t.Helper()
		tick, late := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
		defer tick.Stop()
		for !is() {
			select {
			case <-tick.C:
			case <-late:
				t.Fatalf("not in time: %s", what)
			}
		}
	}
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
	await("the replica is read from", func() bool { return site.CheckReplicas(ctx) == nil && has("1.0") })
	exec(onReplica, "STOP SLAVE SQL_THREAD")
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
	await("the answer as of the start", func() bool { return says("1.1") })
	for i, version := range []string{"1.2", "1.3", "1.4"} {
		committed := time.Now()
		save(int64(3+i), version)
		await(version, func() bool { return says(version) })
		if took := time.Since(committed); took > update.Behind {
			t.Errorf("%s came after %v, while the replica stands still; want within %v", version, took, update.Behind)
		}
	}
	exec(onReplica, "START SLAVE")
	await("the replica is used again", func() bool { return site.CheckReplicas(ctx) == nil && has("1.4") })
}
