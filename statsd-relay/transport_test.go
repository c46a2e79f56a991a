package relay

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// waysIn are the transports that senders have.
var waysIn = [...]string{"udp", "tcp", "unixgram", "unix"}

// everyWay listens on all of them.
func everyWay(t testing.TB) Config {
	dir := socketDir(t)
	return Config{
		UDP: local, TCP: local, Flush: time.Hour,
		Listen: Listen{Unixgram: filepath.Join(dir, "unixgram"), Unix: filepath.Join(dir, "unix")},
	}
}

// socketDir is a folder for sockets. A test's own could have too long a name: a
// socket's path has 107 bytes.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// dial returns a sender to the first of the relay's addresses of a transport.
func dial(t testing.TB, r *Relay, transport string) net.Conn {
	t.Helper()
	return dialAddr(t, r.first(transport))
}

func dialAddr(t testing.TB, address net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(address.Network(), address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
