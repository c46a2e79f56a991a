package cache

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"addons/server/catalog"
	"addons/server/metrics"
)

// A load that fails gives back the old copy that was there when it took its lease,
// not one that its caller had seen before that.
func TestAnInvalidatedCopyIsNotPutBackByAFailedLoad(t *testing.T) {
	c, err := Open("memory:", metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := Family{Name: "brief", TTL: time.Nanosecond, Stale: time.Hour}
	ctx, text := t.Context(), reflect.TypeFor[string]()
	if _, err := Fetch(ctx, c, f, "k", func(context.Context) (string, error) { return "old", nil }); err != nil {
		t.Fatal(err)
	}
	r := c.request(ctx, f, "k", text)
	r.lookup(ctx)
	if r.old.raw == nil {
		t.Fatal("there is no old copy")
	}
	if err := c.Invalidate(ctx, f, "k"); err != nil {
		t.Fatal(err)
	}
	r.join(ctx, func(context.Context) (any, []byte, error) {
		return nil, nil, fmt.Errorf("database: %w", catalog.ErrUnavailable)
	})
	again := c.request(ctx, f, "k", text)
	if _, ok := again.lookup(ctx); ok || again.old.usable(time.Now()) {
		t.Error("the invalidated copy is back")
	}
}

// What a server gives back may be anything: another build's, or another program's.
func FuzzOpen(f *testing.F) {
	now := time.Unix(1700000000, 5)
	f.Add(seal(entry{schema: 7, fresh: now, dead: now.Add(time.Hour), excused: true, payload: []byte(`{"a":1}`)}), uint64(7))
	f.Add(seal(entry{schema: 7, fresh: now, made: made{seq: 3, any: true, objects: []byte("\x01a\x02bc")}, fill: fill{at: now, by: []byte("host")}}), uint64(7))
	f.Add([]byte{format}, uint64(0))
	f.Add([]byte("END\r\n"), uint64(0))
	f.Fuzz(func(t *testing.T, raw []byte, schema uint64) {
		e, ok := open(raw, schema)
		if !ok {
			return
		}
		n := 0
		for object := range e.made.each() {
			n += len(object) + 1
		}
		if n > len(e.made.objects) {
			t.Errorf("%d bytes of objects in %d", n, len(e.made.objects))
		}
		again := seal(e)
		// Any other excused byte than 1 counts as 0.
		if raw[1] == 1 && !bytes.Equal(again, raw) {
			t.Errorf("seal(open(%x)) = %x", raw, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, url := range []string{"memory:?size=64MiB", "memcache://a:1,[::1],b?near=0", "redis://u:p@h:1/2?timeout=1s&near_ttl=1s", "redis://%zz", "memcache:///x"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		o, err := parse(url)
		if err != nil {
			return
		}
		if d, err := o.open(); err == nil {
			d.close()
		}
	})
}

// counted counts what is put into a driver.
type counted struct {
	driver
	sets int
}

func (c *counted) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.sets++
	return c.driver.set(ctx, key, value, ttl)
}

// Not even for a moment: another reader could see it.
func TestACopyReadBeforeAnInvalidationDoesNotGoIntoTheLayerAbove(t *testing.T) {
	c, err := Open("memcache://127.0.0.1:1", metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	near := &counted{driver: c.near.driver}
	c.near.driver = near
	ctx := t.Context()
	f := Family{Name: "brief", TTL: time.Minute}
	before := c.request(ctx, f, "k", reflect.TypeFor[string]())
	before.keepNear(ctx, []byte("old"), time.Now().Add(time.Minute), made{})
	c.Invalidate(ctx, f, "k") // an error: the backend is not there
	c.forgetNear(ctx, c.Family(f), before.key)
	before.keepNear(ctx, []byte("old"), time.Now().Add(time.Minute), made{})
	if near.sets != 1 {
		t.Errorf("put into the layer %d times, want only before the invalidation", near.sets)
	}
}
