package cache

import (
	"bytes"
	"testing"
	"time"
)

// What a server gives back may be anything: another build's, or another program's.
func FuzzOpen(f *testing.F) {
	now := time.Unix(1700000000, 5)
	f.Add(seal(entry{schema: 7, fresh: now, dead: now.Add(time.Hour), excused: true, payload: []byte(`{"a":1}`)}), uint64(7))
	f.Add([]byte{format}, uint64(0))
	f.Add([]byte("END\r\n"), uint64(0))
	f.Fuzz(func(t *testing.T, raw []byte, schema uint64) {
		e, ok := open(raw, schema)
		if !ok {
			return
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
