package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unixWays are the transports of unix sockets, each with a Config that listens at a path by it.
var unixWays = map[string]func(path string) Config{
	"unixgram": func(path string) Config { return Config{Flush: time.Hour, Listen: Listen{Unixgram: path}} },
	"unix":     func(path string) Config { return Config{Flush: time.Hour, Listen: Listen{Unix: path}} },
}

// onUnix runs the test for both of them, with a path for each.
func onUnix(t *testing.T, test func(t *testing.T, transport, path string)) {
	t.Parallel()
	for transport := range unixWays {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			test(t, transport, filepath.Join(socketDir(t), "statsd.sock"))
		})
	}
}

// bound binds a socket at path, as another program does, whose file stays when it
// is closed.
func bound(t *testing.T, transport, path string) (close func()) {
	t.Helper()
	address := &net.UnixAddr{Name: path, Net: transport}
	if transport == "unixgram" {
		conn, err := net.ListenUnixgram(transport, address)
		if err != nil {
			t.Fatal(err)
		}
		return func() { conn.Close() }
	}
	l, err := net.ListenUnix(transport, address)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	return func() { l.Close() }
}

// hears fails unless the relay takes a line that comes by the transport.
func hears(t *testing.T, r *Relay, transport string) {
	t.Helper()
	send(t, dial(t, r, transport), "heard:1|c\n")
	eventually(t, "a line over "+transport, func() bool { return value(t, r, "heard", "") == 1 })
}

func TestTheSocketOfAKilledProcessIsReplaced(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		bound(t, transport, path)() // its file is all that is left of it
		r, _ := start(t, unixWays[transport](path))
		hears(t, r, transport)
	})
}

func TestASocketThatSomebodyHasIsLeftToThem(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		first, _ := start(t, unixWays[transport](path))
		_, err := New(unixWays[transport](path), quiet())
		if err == nil {
			t.Fatal("the path was taken twice")
		}
		for _, want := range []string{path + " is in use", "ss -xlp", "--statsd-" + transport} {
			if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "\n") {
				t.Errorf("the error is %q, want one line with %q", text, want)
			}
		}
		hears(t, first, transport)
	})
}

func TestAFileThatIsNoSocketIsNotRemoved(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		if err := os.WriteFile(path, []byte("dear"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(unixWays[transport](path), quiet()); err == nil {
			t.Error("a relay listens at the path of a file")
		}
		if b, err := os.ReadFile(path); string(b) != "dear" {
			t.Errorf("the file has %q now, %v", b, err)
		}
	})
}

func TestASocketsFileHasTheModeThatIsConfigured(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		for configured, want := range map[string]fs.FileMode{"": 0o722, "0660": 0o660, "777": 0o777} {
			cfg := unixWays[transport](path)
			cfg.Listen.SocketMode = configured
			r, err := New(cfg, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if got := modeOf(t, path); got != want {
				t.Errorf("with the mode %q the file has %o, want %o", configured, got, want)
			}
			r.Close()
		}
		for _, mode := range []string{"rw", "0888", "01777"} {
			cfg := unixWays[transport](path)
			cfg.Listen.SocketMode = mode
			if _, err := New(cfg, quiet()); err == nil {
				t.Errorf("the mode %q was taken", mode)
			}
		}
	})
}

// TestNobodyConnectsBeforeTheModeIsSet looks between bind(2) and chmod(2), where
// the umask alone would decide.
func TestNobodyConnectsBeforeTheModeIsSet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(socketDir(t), "statsd.sock")
	_, err := bindUnix("unix", path, 0o722, func(lc net.ListenConfig) error {
		l, err := lc.Listen(t.Context(), "unix", path)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		if got := modeOf(t, path); got != 0o600 {
			t.Errorf("the file begins with %o, want 600", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := modeOf(t, path); got != 0o722 {
		t.Errorf("the file has %o in the end, want 722", got)
	}
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestANameOfLinuxsOwnIsNoFile(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		name := "@" + path // the folder's name makes it nobody else's
		r, _ := start(t, unixWays[transport](name))
		hears(t, r, transport)
		if _, err := os.Lstat(path); err == nil {
			t.Error("there is a file")
		}
		if _, err := New(unixWays[transport](name), quiet()); err == nil || !strings.Contains(err.Error(), "is in use") {
			t.Errorf("a second relay is told %v", err)
		}
	})
}

func TestTheFileOfASocketGoesWithTheRelay(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		_, stop := start(t, unixWays[transport](path))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("the file is still there: %v", err)
		}
	})
}

func TestAFileInASocketsPlaceStays(t *testing.T) {
	onUnix(t, func(t *testing.T, transport, path string) {
		_, stop := start(t, unixWays[transport](path))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		defer bound(t, transport, path)()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("another's socket is gone: %v", err)
		}
	})
}

func TestADatagramThatIsTooLongLosesButItsEnd(t *testing.T) {
	t.Parallel()
	r, _ := start(t, unixWays["unixgram"](filepath.Join(socketDir(t), "s")))
	conn := dial(t, r, "unixgram")
	// 65,536 = 3 + 4,368 × 15 + 13: what is cut would be a good line, but of another rate.
	send(t, conn, "\n\n\n%s", strings.Repeat("long:1|c|@0.25\n", 5000))
	send(t, conn, "%s", strings.Repeat("x", datagram+1))
	send(t, conn, "after:1|c")
	eventually(t, "the datagram behind", func() bool { return value(t, r, "after", "") == 1 })
	expect(t, r, map[string]float64{"long": 4368 * 4, "relay_bad_lines_total{reason=cut_line}": 2, "relay_bad_lines_total{reason=no_value}": 0})
}

// frame puts DogStatsD's length before a datagram.
func frame(datagram string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(datagram))), datagram...)
}

// atUnix starts a relay with a stream socket.
func atUnix(t *testing.T) *Relay {
	t.Helper()
	r, _ := start(t, unixWays["unix"](filepath.Join(socketDir(t), "s")))
	return r
}

func TestFramesMayComeInPieces(t *testing.T) {
	t.Parallel()
	r := atUnix(t)
	conn := dial(t, r, "unix")
	var all []byte
	for i := range 300 {
		all = append(all, frame(fmt.Sprintf("one:1|c\ntwo:%d|c|@0.5", i%2))...)
	}
	all = append(all, frame("last:1|c\n")...)
	for n := 1; len(all) > 0; n = min(len(all), 1+len(all)%29) {
		send(t, conn, "%s", all[:n])
		all = all[n:]
	}
	eventually(t, "the last frame", func() bool { return value(t, r, "last", "") == 1 })
	expect(t, r, map[string]float64{"one": 300, "two": 300, "relay_bad_lines_total{reason=cut_line}": 0})
}

func TestAFrameThatIsCutIsNotAggregated(t *testing.T) {
	t.Parallel()
	r := atUnix(t)
	for _, cut := range []int{2, 4, len(frame("cut:12|c")) - 1} { // in its length, behind it, in its lines
		conn := dial(t, r, "unix")
		send(t, conn, "%s%s", frame("whole:1|c"), frame("cut:12|c")[:cut])
		conn.Close()
	}
	eventually(t, "the connections to end", func() bool { return value(t, r, "relay_bad_lines_total", "reason=cut_line") == 3 })
	expect(t, r, map[string]float64{"whole": 3, "cut": -1})
}

func TestAFrameThatIsTooLongIsPassedOver(t *testing.T) {
	t.Parallel()
	r := atUnix(t)
	conn := dial(t, r, "unix")
	long := strings.Repeat("long:1|c\n", 40_000)
	const fit = lineLimit / 9 // lines
	most := strings.Repeat("most:1|c\n", fit)
	for range 3 {
		send(t, conn, "%s%s%s", frame(long), frame("short:1|c"), frame(most))
	}
	eventually(t, "the frames behind the long ones", func() bool { return value(t, r, "most", "") == 3*fit })
	expect(t, r, map[string]float64{"short": 3, "long": -1, "relay_bad_lines_total{reason=long_line}": 3})
}

func TestLinesAndFramesAreToldApart(t *testing.T) {
	t.Parallel()
	r := atUnix(t)
	for _, text := range []string{"line:1|c\n", "line:1|c", "a\n", "a", string(frame("frame:1|c")), string(frame("")) + string(frame("frame:1|c"))} {
		conn := dial(t, r, "unix")
		for _, b := range []byte(text) { // as slowly as can be
			send(t, conn, "%c", b)
		}
		conn.Close()
	}
	eventually(t, "all connections to be read", func() bool {
		return value(t, r, "line", "") == 2 && value(t, r, "frame", "") == 2 && value(t, r, "relay_bad_lines_total", "reason=no_value") == 2
	})
	expect(t, r, map[string]float64{"relay_bad_lines_total{reason=cut_line}": 0})
}

// TestTheEndReadsWhatUnixSocketsHold stops the readers in the middle, by their
// shards' locks, so that the kernel holds all that is sent when the relay ends.
func TestTheEndReadsWhatUnixSocketsHold(t *testing.T) {
	t.Parallel()
	dir := socketDir(t)
	r, err := New(Config{Flush: time.Hour, Listen: Listen{Unixgram: filepath.Join(dir, "dgram"), Unix: filepath.Join(dir, "stream")}}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	kept := &keepingSink{}
	r.sinks = append(r.sinks, kept)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	stream, dgram := dial(t, r, "unix"), dial(t, r, "unixgram")
	send(t, stream, "begin:1|c\n")
	eventually(t, "the connection to be served", func() bool { return value(t, r, "begin", "") == 1 })
	shards := []*shard{r.in[0].(*packetListener).readers[0].shard, r.in[1].(*streamListener).shard}
	for _, s := range shards {
		s.mu.Lock()
	}
	const held = 10 // net.unix.max_dgram_qlen
	for i := range 1 + held {
		send(t, stream, "stream:1|c\n")
		send(t, dgram, "dgram:1|c")
		if i == 0 {
			eventually(t, "both readers to wait for the lock", func() bool { return outstanding(t, stream) == 0 && outstanding(t, dgram) == 0 })
		}
	}
	cancel()
	for _, s := range shards {
		s.mu.Unlock()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, p := range kept.flushes[len(kept.flushes)-1].counters {
		got[p.key] = p.value
	}
	if got["stream"] != 1+held || got["dgram"] != 1+held {
		t.Errorf("the last flush has %v, want %d of stream and dgram", got, 1+held)
	}
}

// outstanding is how much memory what conn has sent takes until it is read.
func outstanding(t *testing.T, conn net.Conn) (bytes int) {
	t.Helper()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ioctl error
	err = raw.Control(func(fd uintptr) { bytes, ioctl = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	if err := errors.Join(err, ioctl); err != nil {
		t.Fatal(err)
	}
	return bytes
}
