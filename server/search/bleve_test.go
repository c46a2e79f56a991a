package search

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

func TestAnIndexOnDiskIsThereAgainAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ix, err := Open("bleve:"+folder, metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := ix.Put(t.Context(), sample()...); err != nil {
		t.Fatal(err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	ix = open(t, "bleve:"+folder)
	if got := find(t, ix, Query{Text: "ublock"}); got.Total == 0 || got.Hits[0].ID != 1 {
		t.Errorf("after a restart ublock finds %v", got)
	}
}

func TestDocumentsKeepTheirNumbersWhenSegmentsAreMerged(t *testing.T) {
	t.Parallel()
	ix := open(t, "bleve:"+t.TempDir())
	const n = 200
	for i := range n { // one segment each, which bleve merges in the background
		users := (i*7919 + 1) % 100_003
		doc := Doc{ID: int64(i + 1), Status: catalog.Public, Type: catalog.Extension, Slug: fmt.Sprint("merged-", i),
			Name: catalog.Text{"en-US": fmt.Sprint("Merged ", i)}, DefaultLocale: "en-US", Users: users}
		if err := ix.Put(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	got := find(t, ix, Query{Sort: []string{"users"}, Limit: n})
	last := math.MaxInt
	for _, h := range got.Hits {
		users := (int(h.ID-1)*7919 + 1) % 100_003
		if users > last {
			t.Fatalf("add-on %d with %d users stands after one with %d", h.ID, users, last)
		}
		last = users
	}
	if got.Total != n {
		t.Errorf("%d found, want %d", got.Total, n)
	}
}

func TestAFolderInUseIsRefusedWithAdvice(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	open(t, "bleve:"+folder)
	_, err := Open("bleve:"+folder, metrics.New(nil), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second Open: %v, want an error that says the folder is in use", err)
	}
}

func TestADamagedIndexIsBegunAnew(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, fingerprint(bleveLayout))
	for _, file := range []string{"index_meta.json", "store/root.bolt"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(path, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, file), []byte("junk"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ix := open(t, "bleve:"+folder)
	if err := ix.Put(t.Context(), sample()...); err != nil {
		t.Fatal(err)
	}
	if n, err := ix.Count(t.Context()); n != len(sample()) || err != nil {
		t.Errorf("Count = %d, %v", n, err)
	}
}

func TestAnotherVersionsIndexIsRemovedButNothingElse(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, file := range []string{"0123abcd/index_meta.json", "photos/cat.png"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	open(t, "bleve:"+folder)
	if _, err := os.Stat(filepath.Join(folder, "0123abcd")); !os.IsNotExist(err) {
		t.Errorf("the old index: %v, want it gone", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "photos/cat.png")); err != nil {
		t.Error(err)
	}
}

func TestSearchesGoOnWhileTheIndexChanges(t *testing.T) {
	t.Parallel()
	ix := open(t, "bleve:"+t.TempDir())
	docs := sample()
	stop := make(chan struct{})
	var searching sync.WaitGroup
	for range 4 {
		searching.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := ix.Search(t.Context(), Query{Text: "dark tabs"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		for _, change := range []func() error{
			func() error { return ix.Put(t.Context(), docs...) },
			func() error { return ix.Delete(t.Context(), 1, 2, 3) },
			func() error { return ix.Reset(t.Context()) },
		} {
			if err := change(); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	searching.Wait()
}

func FuzzSearch(f *testing.F) {
	ix := open(f, "bleve::memory:")
	if err := ix.Put(f.Context(), sample()...); err != nil {
		f.Fatal(err)
	}
	for _, m := range meanings {
		f.Add(m.text, m.lang)
	}
	for _, text := range []string{"a:b", `"unbalanced`, "+-&&||!(){}[]^~*?:\\/", "name:*", "\x00", "a\nb", "\u202e\ufeff", strings.Repeat("a ", 50), strings.Repeat("書", 100), "é́́́́", "🏳️‍🌈", "..", "%s%n"} {
		f.Add(text, "en-US")
	}
	f.Fuzz(func(t *testing.T, text, lang string) {
		if _, err := ix.Search(t.Context(), Query{Text: text, Lang: lang}); err != nil {
			t.Errorf("search %q in %q: %v", text, lang, err)
		}
		if _, err := ix.Complete(t.Context(), text, Query{Lang: lang}); err != nil {
			t.Errorf("complete %q in %q: %v", text, lang, err)
		}
	})
}

// many makes n documents of the sample's words.
func many(n int) []Doc {
	base := sample()
	docs := make([]Doc, n)
	for i := range docs {
		d := base[i%len(base)]
		other := base[(i*31+7)%len(base)]
		d.ID, d.Slug = int64(i+1), fmt.Sprintf("%s-%d", d.Slug, i)
		d.GUID = d.Slug + "@bench.test"
		d.Name = catalog.Text{"en-US": fmt.Sprintf("%s %d", d.Name.In("en-US"), i), "de": other.Name.In("de")}
		d.Description = catalog.Text{"en-US": strings.Repeat(other.Summary.In("en-US")+" "+d.Summary.In("en-US")+" ", 3)}
		d.Users = (i * 7919) % 1_000_003
		d.Updated = d.Updated.Add(time.Duration(i) * time.Minute)
		docs[i] = d
	}
	return docs
}

func BenchmarkSearch(b *testing.B) {
	for _, place := range []string{"memory", "disk"} {
		url := "bleve::memory:"
		if place == "disk" {
			url = "bleve:" + b.TempDir()
		}
		ix := open(b, url)
		if err := ix.Put(b.Context(), many(5000)...); err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			query Query
		}{
			{"word", Query{Text: "youtube", Lang: "en-US"}},
			{"words", Query{Text: "dark mode for every website", Lang: "en-US"}},
			{"misspelt", Query{Text: "tampermonky", Lang: "en-US"}},
			{"cjk", Query{Text: "タブセッション管理", Lang: "ja"}},
			{"filtered", Query{Text: "tabs", Types: []string{"extension"}, App: "firefox", AppVersion: "128.0", Promoted: []string{"recommended"}}},
			{"browse", Query{Types: []string{"extension"}, Sort: []string{"recommended", "users"}}},
		} {
			b.Run(place+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ix.Search(b.Context(), c.query); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(place+"/complete", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ix.Complete(b.Context(), "tab s", Query{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	docs := many(100)
	ix := open(b, "bleve:"+b.TempDir())
	for b.Loop() {
		if err := ix.Put(b.Context(), docs...); err != nil {
			b.Fatal(err)
		}
	}
}
