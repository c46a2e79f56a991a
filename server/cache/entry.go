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
//	format (1 byte) · flags (1) · schema (8) · fresh (8) · dead (8) · token (8) · until (8) · payload
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
	payload  []byte
}

const (
	format    = 2
	headerLen = 42

	flagExcused  = 1
	flagNegative = 2
)

// seal encodes e.
func seal(e entry) []byte {
	raw := make([]byte, headerLen, headerLen+len(e.payload))
	raw[0] = format
	if e.excused {
		raw[1] |= flagExcused
	}
	if e.negative {
		raw[1] |= flagNegative
	}
	binary.BigEndian.PutUint64(raw[2:], e.schema)
	binary.BigEndian.PutUint64(raw[10:], uint64(e.fresh.UnixNano()))
	binary.BigEndian.PutUint64(raw[18:], uint64(e.dead.UnixNano()))
	binary.BigEndian.PutUint64(raw[26:], e.token)
	if !e.until.IsZero() {
		binary.BigEndian.PutUint64(raw[34:], uint64(e.until.UnixNano()))
	}
	return append(raw, e.payload...)
}

// open decodes what seal made; false if it is of another format or type.
func open(raw []byte, schema uint64) (entry, bool) {
	if len(raw) < headerLen || raw[0] != format || binary.BigEndian.Uint64(raw[2:]) != schema {
		return entry{}, false
	}
	return entry{
		raw:      raw,
		schema:   schema,
		excused:  raw[1]&flagExcused != 0,
		negative: raw[1]&flagNegative != 0,
		fresh:    time.Unix(0, int64(binary.BigEndian.Uint64(raw[10:]))),
		dead:     time.Unix(0, int64(binary.BigEndian.Uint64(raw[18:]))),
		token:    binary.BigEndian.Uint64(raw[26:]),
		until:    time.Unix(0, int64(binary.BigEndian.Uint64(raw[34:]))),
		payload:  raw[headerLen:],
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
