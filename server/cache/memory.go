package cache

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
)

// memory keeps values in process, bounded by their bytes. Which ones stay is
// otter's choice (W-TinyLFU): those asked for often and lately.
type memory struct {
	values *otter.Cache[string, kept]
	size   int
}

type kept struct {
	value []byte
	ttl   time.Duration
}

// overhead is about what one value costs beside its bytes: otter's node, its
// place in the table and the two headers.
const overhead = 128

func newMemory(size int) (*memory, error) {
	values, err := otter.New(&otter.Options[string, kept]{
		MaximumWeight:    uint64(size),
		Weigher:          func(key string, k kept) uint32 { return uint32(len(key) + len(k.value) + overhead) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, kept]) time.Duration { return e.Value.ttl }),
	})
	if err != nil {
		return nil, fmt.Errorf("cache: memory: %w", err)
	}
	return &memory{values, size}, nil
}

func (m *memory) name() string    { return "memory" }
func (m *memory) nodes() int      { return 1 }
func (m *memory) node(string) int { return 0 }

// limit keeps one value from emptying the whole cache.
func (m *memory) limit() int { return m.size / 8 }

func (m *memory) get(_ context.Context, key string) ([]byte, error) {
	k, ok := m.values.GetIfPresent(key)
	if !ok {
		return nil, errMiss
	}
	return k.value, nil
}

func (m *memory) set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	m.values.Set(key, kept{value, ttl})
	return nil
}

func (m *memory) add(_ context.Context, key string, value []byte, ttl time.Duration) error {
	if _, ok := m.values.SetIfAbsent(key, kept{value, ttl}); !ok {
		return errExists
	}
	return nil
}

func (m *memory) swap(_ context.Context, key string, head, value []byte, ttl time.Duration) error {
	swapped := false
	m.values.ComputeIfPresent(key, func(old kept) (kept, otter.ComputeOp) {
		if !bytes.HasPrefix(old.value, head) {
			return old, otter.CancelOp
		}
		swapped = true
		return kept{value, ttl}, otter.WriteOp
	})
	if !swapped {
		return errExists
	}
	return nil
}

func (m *memory) delete(_ context.Context, key string) error {
	m.values.Invalidate(key)
	return nil
}

func (m *memory) check(context.Context) error { return nil }

func (m *memory) close() error {
	m.values.InvalidateAll()
	m.values.StopAllGoroutines()
	return nil
}
