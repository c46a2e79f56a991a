package cache

import (
	"context"
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"sync"
)

// usesMax is how many objects a value tells apart. One that is made of more is made
// of any: each change outdates it.
const usesMax = 300

// made is what a copy was made of, as of which change.
type made struct {
	seq     int64  // all changes up to it are in the copy
	any     bool   // objects that are not yet among them may come to be: it is a list, or says that there is nothing
	objects []byte // ids, each after its length (a varint)
}

// follows says whether changes matter to the copy at all.
func (m made) follows() bool { return m.any || len(m.objects) > 0 }

// each yields the objects' ids; what is cut off or broken ends it.
func (m made) each() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := m.objects; len(rest) > 0; {
			n, width := binary.Uvarint(rest)
			if width <= 0 || n > uint64(len(rest)-width) {
				return
			}
			if !yield(rest[width : width+int(n)]) {
				return
			}
			rest = rest[width+int(n):]
		}
	}
}

// uses collects what a load uses.
type uses struct {
	mu      sync.Mutex
	seq     int64
	any     bool
	objects map[string]bool
}

type usesKey struct{}

// collect returns ctx for a load that begins when all changes up to seq are committed.
func collect(ctx context.Context, seq int64) (context.Context, *uses) {
	u := &uses{seq: seq, objects: map[string]bool{}}
	return context.WithValue(ctx, usesKey{}, u), u
}

// Uses notes, within a load, objects that its value is made of, by the ids that the
// Source has for them: a change of one of them ends every copy. A load that fetches
// other values has noted theirs. Outside of a load it does nothing.
func Uses(ctx context.Context, objects ...string) {
	u, _ := ctx.Value(usesKey{}).(*uses)
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, object := range objects {
		u.add(object)
	}
}

// UsesAny notes, within a load, that any object may come to be a part of its value,
// as of a list, or of what was not found.
func UsesAny(ctx context.Context) {
	if u, _ := ctx.Value(usesKey{}).(*uses); u != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.any = true
	}
}

func (u *uses) add(object string) {
	if len(u.objects) >= usesMax && !u.objects[object] {
		u.any = true
		return
	}
	u.objects[object] = true
}

// take notes in ctx's load what a value that it has fetched is made of.
func (m made) take(ctx context.Context) {
	u, _ := ctx.Value(usesKey{}).(*uses)
	if u == nil || !m.follows() {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seq = min(u.seq, m.seq)
	u.any = u.any || m.any
	for object := range m.each() {
		u.add(string(object))
	}
}

// made returns what was noted.
func (u *uses) made() made {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := made{seq: u.seq, any: u.any}
	for _, object := range slices.Sorted(maps.Keys(u.objects)) {
		m.objects = append(binary.AppendUvarint(m.objects, uint64(len(object))), object...)
	}
	return m
}
