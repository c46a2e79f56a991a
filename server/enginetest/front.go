package enginetest

import (
	"net"
	"sync"
	"testing"
)

// Front is a TCP proxy before an engine, for tests of bad weather: it can go
// down, come up again at the same address, and freeze as a stopped process does.
type Front struct {
	Addr string // host:port to use instead of the engine's

	behind string
	copies sync.WaitGroup

	mu       sync.Mutex
	thawed   *sync.Cond
	frozen   bool
	listener net.Listener // nil while down
	conns    map[net.Conn]bool
	watch    func() // nil: nobody looks
}

// NewFront returns a Front that is up until the test ends. behind is the engine's host:port.
func NewFront(t testing.TB, behind string) *Front {
	t.Helper()
	f := &Front{Addr: "127.0.0.1:0", behind: behind, conns: map[net.Conn]bool{}}
	f.thawed = sync.NewCond(&f.mu)
	f.Up(t)
	t.Cleanup(func() {
		f.Down()
		f.copies.Wait()
	})
	return f
}

// Up has the Front take connections.
func (f *Front) Up(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Addr, f.listener = l.Addr().String(), l
	f.copies.Go(func() { f.serve(l) })
}

// Down refuses connections and cuts those there are.
func (f *Front) Down() {
	f.mu.Lock()
	if f.listener != nil {
		f.listener.Close()
		f.listener = nil
	}
	f.mu.Unlock()
	f.Cut()
}

// Cut ends the connections there are; new ones are taken.
func (f *Front) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
	f.frozen = false
	f.thawed.Broadcast()
}

// Freeze has connections stand still, with what is on its way kept, until Thaw.
func (f *Front) Freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = true
}

// Thaw ends Freeze.
func (f *Front) Thaw() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = false
	f.thawed.Broadcast()
}

// Watch has watch called before each piece that passes is handed on, requests and
// answers alike; nil ends it. What passes meanwhile on other connections is not held up.
func (f *Front) Watch(watch func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = watch
}

func (f *Front) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", f.behind)
		if err != nil {
			in.Close()
			continue
		}
		f.add(in, out)
		f.copies.Go(func() { f.copy(out, in) })
		f.copies.Go(func() { f.copy(in, out) })
	}
}

func (f *Front) add(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.conns[c] = true
		if f.listener == nil { // went down while this one came in
			c.Close()
		}
	}
}

// copy carries bytes until either side ends.
func (f *Front) copy(to, from net.Conn) {
	defer f.remove(to, from)
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if watch := f.wait(); watch != nil {
			watch()
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// wait waits for Thaw, and returns who watches.
func (f *Front) wait() func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.frozen {
		f.thawed.Wait()
	}
	return f.watch
}

func (f *Front) remove(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(f.conns, c)
	}
}
