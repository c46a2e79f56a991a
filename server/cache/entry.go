package cache

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"time"
)

// entry is one copy as it is kept. Its encoding, big endian:
//
//	format (1 byte) · flags (1) · schema (8) · fresh (8) · dead (8) · token (8) · until (8) ·
//	change (8) · filled (8) · took (8) · database (8) · length of objects (4) · of fill (4) · objects · fill · payload
//
// with times as Unix nanoseconds.
type entry struct {
	raw      []byte
	schema   uint64
	fresh    time.Time // until then it is served without a load
	dead     time.Time // until then it is served if the load is unavailable
	negative bool      // the result was empty
	excused  bool      // it is stale, and fresh is when the load may be tried again
	token    uint64    // of the lease that it is, or was filled under: no two entries of a key begin alike
	until    time.Time // others wait so long for the lease's holder; past if it is no lease
	made     made
	fill     fill
	payload  []byte
}

// fill is how an entry came about.
type fill struct {
	at       time.Time
	took     time.Duration // of the load
	database time.Duration // of the load's queries, which a hit saves
	by       []byte        // process and queries, a line each
}

const (
	format    = 3
	headerLen = 82

	flagExcused  = 1
	flagNegative = 2
	flagAny      = 4
)

// seal encodes e.
func seal(e entry) []byte {
	raw := make([]byte, headerLen, headerLen+len(e.made.objects)+len(e.fill.by)+len(e.payload))
	raw[0] = format
	if e.excused {
		raw[1] |= flagExcused
	}
	if e.negative {
		raw[1] |= flagNegative
	}
	if e.made.any {
		raw[1] |= flagAny
	}
	for i, n := range []uint64{
		e.schema, nanos(e.fresh), nanos(e.dead), e.token, nanos(e.until),
		uint64(e.made.seq), nanos(e.fill.at), uint64(e.fill.took), uint64(e.fill.database),
	} {
		binary.BigEndian.PutUint64(raw[2+8*i:], n)
	}
	binary.BigEndian.PutUint32(raw[74:], uint32(len(e.made.objects)))
	binary.BigEndian.PutUint32(raw[78:], uint32(len(e.fill.by)))
	return append(append(append(raw, e.made.objects...), e.fill.by...), e.payload...)
}

// nanos is 0 for no time.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

// open decodes what seal made; false if it is of another format or type.
func open(raw []byte, schema uint64) (entry, bool) {
	if e, ok := inspect(raw); ok && e.schema == schema {
		return e, true
	}
	return entry{}, false
}

// inspect is open whatever the type.
func inspect(raw []byte) (entry, bool) {
	if len(raw) < headerLen || raw[0] != format {
		return entry{}, false
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(raw[2+8*i:]) }
	at := func(i int) time.Time { return time.Unix(0, int64(number(i))) }
	rest, objects, by := raw[headerLen:], uint64(binary.BigEndian.Uint32(raw[74:])), uint64(binary.BigEndian.Uint32(raw[78:]))
	if objects+by > uint64(len(rest)) {
		return entry{}, false
	}
	return entry{
		raw: raw, schema: number(0), fresh: at(1), dead: at(2), token: number(3), until: at(4),
		excused: raw[1]&flagExcused != 0, negative: raw[1]&flagNegative != 0,
		made:    made{seq: int64(number(5)), any: raw[1]&flagAny != 0, objects: rest[:objects:objects]},
		fill:    fill{at: at(6), took: time.Duration(number(7)), database: time.Duration(number(8)), by: rest[objects : objects+by]},
		payload: rest[objects+by:],
	}, true
}

// head is what tells raw from every other entry of its key.
func head(raw []byte) []byte { return raw[:min(len(raw), headerLen)] }

// usable says whether e is there and may still be served as a stale copy.
func (e entry) usable(now time.Time) bool { return e.raw != nil && now.Before(e.dead) }

// empty says whether v is a result without anything in it.
func empty(v any) bool {
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil() {
		return true
	}
	if e, ok := v.(interface{ Empty() bool }); ok {
		return e.Empty()
	}
	switch r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return false
}

// encode turns a value into a payload that is not nil.
func encode(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return append([]byte{}, b...), nil
	}
	return json.Marshal(v)
}

func decode[T any](payload []byte) (T, error) {
	var v T
	if b, ok := any(&v).(*[]byte); ok {
		*b = payload
		return v, nil
	}
	return v, json.Unmarshal(payload, &v)
}

// schema is a number that changes when the type, or one that it is made of, does:
// a copy that was kept by an older build is a miss, not a half-empty value.
func (c *Cache) schema(t reflect.Type) uint64 {
	if n, ok := c.schemas.Load(t); ok {
		return n.(uint64)
	}
	h := fnv.New64a()
	describe(h, t, map[reflect.Type]bool{})
	n := h.Sum64()
	c.schemas.Store(t, n)
	return n
}

// describe writes out what JSON sees of t.
func describe(w interface{ Write([]byte) (int, error) }, t reflect.Type, seen map[reflect.Type]bool) {
	fmt.Fprintf(w, "%s %s;", t.Kind(), t)
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		describe(w, t.Elem(), seen)
	case reflect.Map:
		describe(w, t.Key(), seen)
		describe(w, t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() {
				fmt.Fprintf(w, "%s %q ", f.Name, f.Tag.Get("json"))
				describe(w, f.Type, seen)
			}
		}
	}
}
