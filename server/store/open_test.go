package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/metrics"
	"addons/server/store"
)

func TestOpenRefusesAURLItDoesntKnowAndNeverShowsAPassword(t *testing.T) {
	t.Parallel()
	for rawURL, says := range map[string]string{
		"":                                   "the known ones are",
		"postgres://joe:s3cret@localhost/db": "the known ones are",
		"sqlite:":                            "names no file",
		"sqlite:x.db?reader=3":               "the known ones are readers",
		"sqlite:x.db?readers=none":           "a number from 1",
		"mysql://root:s3cret":                "percent-encode",
		"mysql://root:s3cret@localhost":      "percent-encode",
		"mysql://root:s3%zzcret@localhost/x": "percent-encode",
		"mysql://root:s3cret@localhost/x?charset=latin1": "the known ones are pool, tls",
		"mysql://root:s3cret@localhost/x?tls=custom-s":   "MySQL at localhost:3306",
		"mysql://root:s3cret@127.0.0.1:1/x":              "unavailable",
	} {
		var log strings.Builder
		_, err := store.Open(t.Context(), rawURL, metrics.New(nil), slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Open(%q) = %v, want an error with %q", rawURL, err, says)
		}
		if all := fmt.Sprint(err, log.String()); strings.Contains(all, "s3cret") {
			t.Errorf("Open(%q) shows the password: %s", rawURL, all)
		}
	}
}

func TestMySQLRefusesAWrongPasswordWithoutShowingIt(t *testing.T) {
	t.Parallel()
	url := strings.Replace(newMySQL(t), "//root", "//nobody:s3cret", 1)
	_, err := store.Open(t.Context(), url, metrics.New(nil), quiet())
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Open with a wrong password: %v", err)
	}
}

func TestManyProcessesOpenANewDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		openAtOnce(t, "sqlite:"+filepath.Join(t.TempDir(), "a folder", "add%ons#1.db"))
	})
	t.Run("mysql", func(t *testing.T) {
		enginetest.URL(t, "MYSQL")
		openAtOnce(t, newMySQL(t))
	})
}

// openAtOnce opens as different processes would, and lets each write.
func openAtOnce(t *testing.T, rawURL string) {
	var wg sync.WaitGroup
	for p := range 6 {
		wg.Go(func() {
			db, err := store.Open(t.Context(), rawURL, metrics.New(nil), quiet())
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for i := range 10 {
				if _, err := db.Save(t.Context(), simple(p*10+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if ids, err := open(t, rawURL).IDs(t.Context(), 0, 100); len(ids) != 60 || err != nil {
		t.Errorf("%d add-ons, want 60; %v", len(ids), err)
	}
}

func TestSQLiteKeepsWhatWasSavedAndIsInWAL(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "addons.db")
	db, err := store.Open(t.Context(), "sqlite:"+path+"?readers=2", metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	save(t, db, clock())
	if _, err := os.Stat(path + "-wal"); err != nil {
		t.Errorf("no write-ahead log: %v", err)
	}
	// What a kill leaves: the files as they are now, the connections never closed.
	crashed := filepath.Join(t.TempDir(), "addons.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + end)
		if err == nil {
			err = os.WriteFile(crashed+end, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, crashed} {
		must[*catalog.Addon](t)(open(t, "sqlite:"+p).Addon(t.Context(), "clock"))
	}
}

func TestAClosedDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), "sqlite::memory:", metrics.New(nil), quiet())
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := db.Ping(t.Context()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("Ping = %v, want unavailable", err)
	}
	if _, err := db.Save(t.Context(), clock()); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("Save = %v, want unavailable", err)
	}
}

func TestAWriterThatHoldsTheFileMakesWritersWaitAndReadersNot(t *testing.T) {
	t.Parallel()
	path := "sqlite:" + filepath.Join(t.TempDir(), "addons.db")
	one, other := open(t, path), open(t, path)
	save(t, one, clock())
	in := simple(1)
	held, done := make(chan bool), make(chan error)
	in.Jobs = func(int64) []store.Job { // within the transaction
		held <- true
		<-held
		return nil
	}
	go func() { _, err := one.Save(t.Context(), in); done <- err }()
	<-held
	must[*catalog.Addon](t)(other.Addon(t.Context(), "clock"))
	go func() { _, err := other.Save(t.Context(), simple(2)); done <- err }()
	select {
	case err := <-done:
		t.Errorf("a writer didn't wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	held <- true
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
