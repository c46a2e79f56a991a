package task_test

import (
	"context"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/fault"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/task"
)

// TestATaskSeesTheCommitThatSentItThoughTheReplicaStandsStill: as the index task, which is
// written in the transaction that changes the add-on.
func TestATaskSeesTheCommitThatSentItThoughTheReplicaStandsStill(t *testing.T) {
	p := enginetest.NewPair(t)
	reg := metrics.New(nil)
	db, err := store.Open(t.Context(), p.Writer.String(), reg, quiet(), p.Replica.String()+"?lag=10s")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := fault.New("", "test", reg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	q, err := task.Open(t.Context(), "database:", db, reg, f, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	seen := make(chan int, 1)
	index := task.Register(q, task.Kind[int64]{
		Name: "index", Timeout: 10 * time.Second, Attempts: 1,
		Run: func(ctx context.Context, id int64) error {
			addons, err := db.Addons(ctx, []int64{id})
			seen <- len(addons)
			return err
		},
	})
	p.Await("the replica is read from", func() bool { return db.CheckReplicas(t.Context()) == nil })
	p.Stop()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx, 1) }()
	saved, err := db.Save(t.Context(), store.Import{
		Addon: &catalog.Addon{GUID: "new@example.org", Slug: "new", Type: catalog.Extension, Status: catalog.Public,
			Name: catalog.Text{"en-US": "New"}, DefaultLocale: "en-US"},
		Jobs: func(id int64) []store.Job { return []store.Job{index.Job(t.Context(), id)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := <-seen; n != 1 {
		t.Errorf("the task finds %d add-ons, want the one that it was sent for", n)
	}
	if addons, err := db.Addons(t.Context(), []int64{saved.ID}); len(addons) != 0 || err != nil {
		t.Errorf("%d add-ons, %v: the replica is not read from", len(addons), err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
