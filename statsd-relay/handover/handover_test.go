package handover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is what became of one Serve.
type served struct {
	successor *Successor
	err       error
}

// serve waits at a path for one successor.
func serve(t *testing.T, sockets func() ([]Socket, error)) (path string, log *strings.Builder, done chan served) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "handover")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	log, done = &strings.Builder{}, make(chan served, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s, err := Serve(ctx, l, slog.New(slog.NewTextHandler(log, nil)), Legacy{sockets, func(to io.Writer) error {
			_, err := io.WriteString(to, "ahead")
			return err
		}})
		done <- served{s, err}
	}()
	t.Cleanup(func() { cancel(); <-ended; l.Close() })
	return path, log, done
}

// udpSockets opens n, each with its number as a note.
func udpSockets(t *testing.T, n int) func() ([]Socket, error) {
	return func() (all []Socket, err error) {
		for i := range n {
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			f, err := Dup(conn.(*net.UDPConn))
			if err != nil {
				return nil, err
			}
			all = append(all, Socket{Name("udp", conn.LocalAddr().String()), f, []byte(strconv.Itoa(i))})
			conn.Close()
		}
		return all, nil
	}
}

func dial(t *testing.T, path string) *Predecessor {
	t.Helper()
	p, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		t.Fatal("nobody is there")
	}
	return p
}

func TestSocketsAndStateArriveWhole(t *testing.T) {
	t.Parallel()
	const n = 600 // more than go with one message
	path, _, done := serve(t, udpSockets(t, n))
	p := dial(t, path)
	if len(p.sockets) != n {
		t.Fatalf("%d sockets came, want %d", len(p.sockets), n)
	}
	for i, s := range p.sockets {
		name, err := describe(int(s.File.Fd()))
		if err != nil || name != s.Name || string(s.Note) != strconv.Itoa(i) {
			t.Fatalf("socket %d is %s, %v, called %s with note %q", i, name, err, s.Name, s.Note)
		}
	}
	defer Close(p.sockets)
	text := strings.Repeat("state ", 100_000)
	handed := make(chan error, 1)
	go func() {
		s := (<-done).successor
		if s.PID != os.Getpid() {
			t.Errorf("the successor is %d, want this process", s.PID)
		}
		connections, err := udpSockets(t, 3)()
		if err != nil {
			t.Error(err)
		}
		defer Close(connections)
		handed <- s.HandOver(connections, func(to io.Writer) error {
			_, err := io.WriteString(to, text)
			return err
		})
	}()
	err := p.Succeed(Heir{
		Prepare: func(ahead io.Reader) error {
			got, err := io.ReadAll(ahead)
			if string(got) != "ahead" {
				t.Errorf("ahead came %q", got)
			}
			return err
		},
		Take: func(connections []Socket, state io.Reader) error {
			defer Close(connections)
			got, err := io.ReadAll(state)
			if string(got) != text || len(connections) != 3 {
				t.Errorf("%d bytes of state and %d connections came, want %d and 3", len(got), len(connections), len(text))
			}
			return err
		},
	})
	if err := errors.Join(err, <-handed); err != nil {
		t.Error(err)
	}
}

func unprepared(io.Reader) error { return nil }

func TestManyConnectionsThatHaveBegunALineAreHandedOver(t *testing.T) {
	t.Parallel()
	path, _, done := serve(t, udpSockets(t, 1))
	p := dial(t, path)
	defer Close(p.sockets)
	const n = 64
	note := bytes.Repeat([]byte{'x'}, 65<<10)
	handed := make(chan error, 1)
	go func() {
		s := (<-done).successor
		connections, err := udpSockets(t, n)()
		defer Close(connections)
		for i := range connections {
			connections[i].Note = note
		}
		handed <- errors.Join(err, s.HandOver(connections, func(io.Writer) error { return nil }))
	}()
	err := p.Succeed(Heir{unprepared, func(c []Socket, _ io.Reader) error {
		defer Close(c)
		for _, s := range c {
			if !bytes.Equal(s.Note, note) {
				t.Errorf("a note of %d bytes came, want %d", len(s.Note), len(note))
			}
		}
		if len(c) != n {
			t.Errorf("%d connections came, want %d", len(c), n)
		}
		return nil
	}})
	if err := errors.Join(err, <-handed); err != nil {
		t.Error(err)
	}
}

func TestTheDeathOfOneIsSeenByTheOther(t *testing.T) {
	t.Parallel()
	t.Run("the successor's", func(t *testing.T) {
		t.Parallel()
		path, _, done := serve(t, udpSockets(t, 1))
		p := dial(t, path)
		defer Close(p.sockets)
		go p.Succeed(Heir{unprepared, func(c []Socket, state io.Reader) error {
			Close(c)
			return errors.New("dead")
		}})
		s := (<-done).successor
		err := s.HandOver(nil, func(to io.Writer) error {
			_, err := to.Write(make([]byte, 8<<20))
			return err
		})
		if err == nil {
			t.Error("the predecessor has handed over to the dead")
		}
	})
	t.Run("the predecessor's", func(t *testing.T) {
		t.Parallel()
		path, _, done := serve(t, udpSockets(t, 1))
		p := dial(t, path)
		defer Close(p.sockets)
		go func() {
			s := (<-done).successor
			s.conn.Close()
		}()
		if err := p.Succeed(Heir{unprepared, func(c []Socket, _ io.Reader) error { Close(c); return nil }}); err == nil {
			t.Error("the successor has succeeded the dead")
		}
	})
	t.Run("the predecessor's in the middle of the state", func(t *testing.T) {
		t.Parallel()
		path, _, done := serve(t, udpSockets(t, 1))
		p := dial(t, path)
		defer Close(p.sockets)
		go func() {
			s := (<-done).successor
			s.HandOver(nil, func(to io.Writer) error {
				to.Write(make([]byte, 1<<20))
				s.conn.Close()
				return errors.New("dead")
			})
		}()
		err := p.Succeed(Heir{unprepared, func(c []Socket, state io.Reader) error {
			Close(c)
			_, err := io.Copy(io.Discard, state)
			return err
		}})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("half a state is %v", err)
		}
	})
}

func TestWhoCanNotTakeOverIsToldWhy(t *testing.T) {
	t.Parallel()
	path, _, _ := serve(t, udpSockets(t, 1))
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := &wire{conn.(*net.UnixConn)}
	if err := w.send(hello, greeting{version + 1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.expect(offer, nil); err == nil || !strings.Contains(err.Error(), ErrVersion.Error()) {
		t.Errorf("another version is told %v", err)
	}
	p := dial(t, path) // the next one is
	p.conn.Close()
	Close(p.sockets)

	sick, _, _ := serve(t, func() ([]Socket, error) { return nil, errors.New("too many open files") })
	if _, err := Dial(t.Context(), sick); err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("it is told %v", err)
	}
}

func TestOnlyTheSameUsersProcessesOrRootsSucceedEachOther(t *testing.T) {
	t.Parallel()
	const root, own, other = 0, 1000, 1001
	for _, c := range []struct {
		owner, heir int
		take, give  bool
	}{
		{own, own, true, true}, {root, root, true, true},
		{own, root, true, true}, // whoever is root knows whom it asks
		{root, own, false, true},
		{own, other, false, false},
	} {
		if err := mayTake(c.heir, c.owner); (err == nil) != c.take {
			t.Errorf("user %d takes over from user %d: %v", c.heir, c.owner, err)
		}
		if err := mayGive(c.owner, c.heir); (err == nil) != c.give {
			t.Errorf("user %d believes user %d: %v", c.heir, c.owner, err)
		}
	}
	// The real thing: this process may do both with itself.
	path, _, _ := serve(t, udpSockets(t, 1))
	p := dial(t, path)
	p.conn.Close()
	Close(p.sockets)
}

func TestNoiseIsRefused(t *testing.T) {
	t.Parallel()
	path, _, _ := serve(t, udpSockets(t, 1))
	for _, noise := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x01", "\x01\x00\x00\x00\x00\xff\xff\xff\xff", "\x01\x00\x00\x00\x00\x00\x00\x00\x03abc\x00\x00\x00\x00", "\x01\xff\xff\xff\xff"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, noise)
		conn.(*net.UnixConn).CloseWrite()
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection is still open", noise)
		}
		conn.Close()
	}
	p := dial(t, path)
	p.conn.Close()
	Close(p.sockets)
}

func TestNobodyAtThePathIsNoPredecessor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "handover")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"none", "stale"} {
		if what == "stale" {
			l.SetUnlinkOnClose(false)
			l.Close()
		} else {
			path += "x"
		}
		if p, err := Dial(t.Context(), path); p != nil || err != nil {
			t.Errorf("%s: %v, %v", what, p, err)
		}
		path = strings.TrimSuffix(path, "x")
	}
}

// Neither this nor the next is parallel: they choose descriptors.
func TestSystemdsSocketsAreFoundByTheirAddresses(t *testing.T) {
	dir := t.TempDir()
	open := map[string]string{ // by how they are asked for
		"udp 127.0.0.1:": "", "tcp [::1]:": "", "udp :": "", "tcp localhost:": "",
		"unixgram " + filepath.Join(dir, "gram"): "", "unix " + filepath.Join(dir, "stream"): "",
	}
	var fds []int
	for name := range open {
		network, address, _ := strings.Cut(name, " ")
		fd, port := listenFile(t, network, address)
		fds = append(fds, fd)
		open[name] = port
	}
	first := lowest(t, fds)
	in := &Inherited{}
	var err error
	in.sockets, err = activated(7, environment("7", strconv.Itoa(len(fds))), first)
	if err != nil {
		t.Fatal(err)
	}
	for name, port := range open {
		network, address, _ := strings.Cut(name, " ")
		got := in.Take(network, address+port)
		if len(got) != 1 {
			t.Errorf("%s%s: %d sockets", name, port, len(got))
		}
		Close(got)
	}
	if rest := in.Rest(); len(rest) > 0 {
		t.Errorf("nobody wants %v", rest)
	}
}

func environment(pid, fds string) func(string) string {
	return func(name string) string { return map[string]string{"LISTEN_PID": pid, "LISTEN_FDS": fds}[name] }
}

// listenFile opens a socket, and returns its descriptor and port.
func listenFile(t *testing.T, network, address string) (fd int, port string) {
	t.Helper()
	if !strings.HasPrefix(network, "unix") {
		address += "0"
	}
	var f *os.File
	var err error
	var local net.Addr
	if network == "udp" || network == "unixgram" {
		conn, lerr := net.ListenPacket(network, address)
		if lerr != nil {
			t.Fatal(lerr)
		}
		defer conn.Close()
		f, err = conn.(interface{ File() (*os.File, error) }).File()
		local = conn.LocalAddr()
	} else {
		l, lerr := net.Listen(network, address)
		if lerr != nil {
			t.Fatal(lerr)
		}
		defer l.Close()
		f, err = l.(interface{ File() (*os.File, error) }).File()
		local = l.Addr()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fd, err = unix.Dup(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	if _, p, err := net.SplitHostPort(local.String()); err == nil {
		port = p
	}
	return fd, port
}

// lowest moves descriptors to follow each other, as systemd's do.
func lowest(t *testing.T, fds []int) (first int) {
	t.Helper()
	first = 900
	for i, fd := range fds {
		if got, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, first+i); err != nil || got != first+i {
			t.Fatal(got, err)
		}
		unix.Close(fd)
	}
	return first
}

func TestAnEnvironmentThatIsNotOursIsNone(t *testing.T) {
	for _, env := range []func(string) string{environment("", ""), environment("8", "3")} {
		if got, err := activated(7, env, firstActivated); got != nil || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	}
	for _, n := range []string{"", "x", "-1", "70000"} {
		if _, err := activated(7, environment("7", n), firstActivated); err == nil || !strings.Contains(err.Error(), "LISTEN_FDS") {
			t.Errorf("LISTEN_FDS=%q: %v", n, err)
		}
	}
	if _, err := activated(7, environment("7", "1"), 899); err == nil {
		t.Error("a descriptor that is not open was taken")
	}
}
