package cache_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"addons/server/cache"
	"addons/server/enginetest"
)

// owned runs the test over real engines of its own; memcachedArgs and redisArgs are for them.
func owned(t *testing.T, memcachedArgs, redisArgs []string, run func(t *testing.T, e *enginetest.Process, url string)) {
	t.Run("memcache", func(t *testing.T) {
		t.Parallel()
		e := enginetest.Memcached(t, memcachedArgs...)
		run(t, e, "memcache://"+e.Addr+"?near=0")
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		e := enginetest.Redis(t, redisArgs...)
		run(t, e, "redis://"+e.Addr+"/0?near=0")
	})
}

// say sends a command to the engine in its own protocol and returns the first line of the answer.
func say(t testing.TB, e *enginetest.Process, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// flush empties the engine.
func flush(t testing.TB, e *enginetest.Process, url string) {
	t.Helper()
	command := "flush_all"
	if strings.HasPrefix(url, "redis") {
		command = "FLUSHALL"
	}
	if got := say(t, e, command); !strings.Contains(got, "OK") {
		t.Fatalf("%s: %s", command, got)
	}
}

// usedAgain waits until the cache keeps what it is given.
func usedAgain(t *testing.T, c *cache.Cache) {
	t.Helper()
	n := 0
	wait(t, "the cache is used again", func() bool { n++; return fetchedFrom(t, c, fmt.Sprint("probe", n)) })
}

func TestAKilledOrFrozenEngineCostsALoadAndNoLongWaitAndIsUsedAgain(t *testing.T) {
	for name, fault := range map[string]struct {
		begin, end func(t *testing.T, e *enginetest.Process)
	}{
		"killed": {
			func(_ *testing.T, e *enginetest.Process) { e.Kill() },
			func(t *testing.T, e *enginetest.Process) { e.Start(t) },
		},
		"frozen": {
			func(_ *testing.T, e *enginetest.Process) { e.Freeze() },
			func(_ *testing.T, e *enginetest.Process) { e.Thaw() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			owned(t, nil, nil, func(t *testing.T, e *enginetest.Process, url string) {
				c, _ := open(t, url)
				usedAgain(t, c) // a busy machine may have been slow at first
				load, n := always(sample())
				fault.begin(t, e)
				begun, worst := time.Now(), time.Duration(0)
				for range 200 {
					start := time.Now()
					if got := fetch(t, c, family, "a", load); got.Count != 7 {
						t.Fatalf("Fetch = %+v", got)
					}
					worst = max(worst, time.Since(start))
				}
				// An operation has 100 ms, a fetch at most a generation, a get and a lease;
				// five failures, and all are skipped but one a second.
				if total := time.Since(begun); total > 4*time.Second || worst > 2*time.Second {
					t.Errorf("200 fetches took %v, one of them %v", total, worst)
				}
				if n.Load() != 200 {
					t.Errorf("loads = %d, want one for each fetch", n.Load())
				}
				fault.end(t, e)
				usedAgain(t, c)
			})
		})
	}
}

func TestAFlushedEngineIsFilledAgainAndALeaseThatItLostFillsNothing(t *testing.T) {
	owned(t, nil, nil, func(t *testing.T, e *enginetest.Process, url string) {
		c, reg := open(t, with(url, "timeout=5s"))
		load, n := always(1)
		fetch(t, c, family, "a", load)
		flush(t, e, url)
		fetch(t, c, family, "a", load)
		fetch(t, c, family, "a", load)
		if n.Load() != 2 {
			t.Errorf("loads = %d, want one before and one after", n.Load())
		}
		got, err := cache.Fetch(t.Context(), c, family, "b", func(context.Context) (int, error) {
			flush(t, e, url)
			return 1, nil
		})
		if got != 1 || err != nil {
			t.Errorf("flushed during the load: %d, %v", got, err)
		}
		if lost := leases(t, reg, "lost"); lost != 1 {
			t.Errorf("leases lost = %d, want 1", lost)
		}
		next, _ := always(2)
		if got := fetch(t, c, family, "b", next); got != 2 {
			t.Errorf("after a lost lease: %d, want a load: nobody knows what came between", got)
		}
	})
}

// What the engine evicts, leases too, is loaded again, and nothing is ever wrong.
func TestAnEngineThatEvictsIsAMiss(t *testing.T) {
	owned(t, []string{"-m", "2"}, []string{"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"}, func(t *testing.T, e *enginetest.Process, url string) {
		c, reg := open(t, with(url, "timeout=5s"))
		const values, size = 200, 50_000 // ten megabytes
		for range 2 {
			for i := range values {
				want := bytes.Repeat([]byte{byte(i)}, size)
				load, _ := always(want)
				if got := fetch(t, c, family, fmt.Sprint("large", i), load); !bytes.Equal(got, want) {
					t.Fatalf("value %d came back as %d bytes beginning with %v", i, len(got), got[:min(len(got), 3)])
				}
			}
		}
		if got := requests(t, reg, "addon"); got["miss"] <= values || got["error"] > 0 {
			t.Errorf("requests = %v, want some of the second round missed, and no errors", got)
		}
		before := leases(t, reg, "lost")
		got, err := cache.Fetch(t.Context(), c, family, "evicted", func(context.Context) (int, error) {
			crowd(t, e, url)
			return 1, nil
		})
		if got != 1 || err != nil {
			t.Errorf("a load whose lease was evicted: %d, %v", got, err)
		}
		if lost := leases(t, reg, "lost") - before; lost != 1 {
			t.Errorf("leases lost = %d, want 1", lost)
		}
		flush(t, e, url)
		usedAgain(t, c)
	})
}

// crowd fills the engine with values of a lease's size until none of before is left.
func crowd(t testing.TB, e *enginetest.Process, url string) {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := bufio.NewWriter(conn)
	redis := strings.HasPrefix(url, "redis")
	const values = 60_000
	for i := range values {
		if redis {
			fmt.Fprintf(w, "SET crowd%d %s\r\n", i, strings.Repeat("x", 90))
		} else {
			fmt.Fprintf(w, "set crowd%d 0 0 90 noreply\r\n%s\r\n", i, strings.Repeat("x", 90))
		}
	}
	if !redis {
		fmt.Fprint(w, "version\r\n")
	}
	answers := make(chan error, 1)
	go func() { // Redis answers each, and reads no more when nobody reads that
		r := bufio.NewReader(conn)
		lines := 1
		if redis {
			lines = values
		}
		for range lines {
			if _, err := r.ReadString('\n'); err != nil {
				answers <- err
				return
			}
		}
		answers <- nil
	}()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := <-answers; err != nil {
		t.Fatal(err)
	}
}

// A Redis that fails over has what its replica had, which may be from before a write:
// here one that was killed and comes back with its append-only file, or with nothing.
func TestARedisThatComesBackWithOldValuesIsNotBelieved(t *testing.T) {
	for name, args := range map[string][]string{
		"with what it had": {"--appendonly", "yes", "--appendfsync", "always"},
		"empty":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := enginetest.Redis(t, args...)
			caches, _ := several(t, "redis://"+e.Addr+"/0?timeout=1s&near_ttl=1h", 2)
			log := &changes{}
			var row atomic.Int32
			read := func(ctx context.Context) (int32, error) { cache.Uses(ctx, "a"); return row.Load(), nil }
			for _, c := range caches {
				catchUp(t, c, log)
				if got := fetch(t, c, family, "k", read); got != 0 {
					t.Fatalf("first: %d", got)
				}
			}
			e.Kill()
			row.Store(1)
			log.commit("a")
			e.Start(t)
			for i, c := range caches {
				catchUp(t, c, log)
				usedAgain(t, c)
				if got := fetch(t, c, family, "k", read); got != 1 {
					t.Errorf("process %d reads %d after the write", i, got)
				}
			}
		})
	}
}

// What an engine gives back is never believed: junk, half an entry, or a payload that
// is none is loaded again, and replaced.
func TestAPoisonedValueIsReplaced(t *testing.T) {
	owned(t, nil, nil, func(t *testing.T, e *enginetest.Process, url string) {
		url = with(url, "timeout=5s")
		first, _ := open(t, url)
		load, _ := always(sample())
		fetch(t, first, family, "k", load)
		key, err := first.FullKey(t.Context(), family, "k")
		if err != nil {
			t.Fatal(err)
		}
		good := raw(t, e, url, key)
		broken := bytes.Clone(good)
		broken[bytes.Index(broken, []byte(`{"Name`))] = '<'
		endless := bytes.Clone(good)
		copy(endless[74:], []byte{0xff, 0xff, 0xff, 0xff}) // the length of its objects
		for name, poison := range map[string][]byte{
			"junk": []byte("junk"), "empty": {}, "half": good[:len(good)/2], "a short head": good[:20],
			"a payload that is none": broken, "a length beyond its end": endless,
		} {
			put(t, e, url, key, poison)
			c, _ := open(t, with(url, "near=1MiB"))
			again, n := always(sample())
			for range 3 {
				if got := fetch(t, c, family, "k", again); got.Count != 7 {
					t.Errorf("%s: Fetch = %+v", name, got)
				}
			}
			if n.Load() != 1 {
				t.Errorf("%s: loads = %d, want one", name, n.Load())
			}
			if left := raw(t, e, url, key); bytes.Equal(left, poison) || len(left) != len(good) {
				t.Errorf("%s: %d bytes are left in the engine, want a new entry of %d", name, len(left), len(good))
			}
		}
	})
}

// raw is what the engine has under a key.
func raw(t testing.TB, e *enginetest.Process, url, key string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "get %s\r\n", key)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n') // "VALUE key flags bytes", or "$bytes"
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), "$"))
	if err != nil {
		t.Fatalf("get %s: %q", key, line)
	}
	value := make([]byte, size)
	if _, err := io.ReadFull(r, value); err != nil {
		t.Fatal(err)
	}
	return value
}

// put overwrites a key.
func put(t testing.TB, e *enginetest.Process, url, key string, value []byte) {
	t.Helper()
	command := fmt.Sprintf("set %s 0 60 %d\r\n%s", key, len(value), value)
	if strings.HasPrefix(url, "redis") {
		command = fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s", len(key), key, len(value), value)
	}
	if got := say(t, e, command); !strings.Contains(got, "STORED") && !strings.Contains(got, "OK") {
		t.Fatalf("set: %s", got)
	}
}
