package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"addons/statsd-relay/handover"
)

// unixgram binds a unix datagram socket. The kernel drops none of its datagrams: a
// sender waits, or is told, when the queue has net.unix.max_dgram_qlen of them.
// A receive buffer has no say in it.
func (l listening) unixgram(address string) (listener, error) {
	p := &packetListener{network: "unixgram", address: address, self: l.self}
	if all := l.inherited.Take("unixgram", address); len(all) > 0 {
		defer handover.Close(all)
		conn, err := net.FilePacketConn(all[0].File)
		if err != nil {
			return nil, listenError("unixgram", address, err)
		}
		return p, l.addUnixgram(p, conn.(*net.UnixConn), inheritedFile(address, l.inherited))
	}
	var conn *net.UnixConn
	file, err := bindUnix("unixgram", address, l.cfg.Listen.mode(), func(lc net.ListenConfig) error {
		c, err := lc.ListenPacket(context.Background(), "unixgram", address)
		if err == nil {
			conn = c.(*net.UnixConn)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, l.addUnixgram(p, conn, file)
}

func (l listening) addUnixgram(p *packetListener, conn *net.UnixConn, file socketFile) error {
	own, err := unpoll(conn)
	if err != nil {
		file.remove()
		return listenError(p.network, p.address, err)
	}
	p.readers = append(p.readers, &packetReader{conn: own, shard: l.shard("unixgram"), pace: unixPace()})
	p.file = file
	return nil
}

// inheritedFile is the file of a socket that a predecessor leaves; systemd's is
// not ours to remove.
func inheritedFile(address string, in *handover.Inherited) socketFile {
	if in.From == nil {
		return socketFile{}
	}
	f := newSocketFile(address)
	f.from = in.From
	return f
}

// unix binds a unix stream socket.
func (l listening) unix(address string) (listener, error) {
	if all := l.inherited.Take("unix", address); len(all) > 0 {
		defer handover.Close(all)
		conn, err := net.FileListener(all[0].File)
		if err != nil {
			return nil, listenError("unix", address, err)
		}
		s := l.stream("unix", address, conn.(streamSocket))
		s.file = inheritedFile(address, l.inherited)
		return s, nil
	}
	conn, file, err := listenUnix(address, l.cfg.Listen.mode())
	if err != nil {
		return nil, err
	}
	s := l.stream("unix", address, conn)
	s.file = file
	return s, nil
}

// listenUnix binds a unix stream socket of the mode. Its file is the caller's to remove.
func listenUnix(address string, mode fs.FileMode) (conn *net.UnixListener, file socketFile, err error) {
	file, err = bindUnix("unix", address, mode, func(lc net.ListenConfig) error {
		c, err := lc.Listen(context.Background(), "unix", address)
		if err == nil {
			conn = c.(*net.UnixListener)
			conn.SetUnlinkOnClose(false)
		}
		return err
	})
	return conn, file, err
}

// unixPace is for a queue that is counted in datagrams. It is 10 long by the
// kernel's default, 512 under systemd.
func unixPace() pace {
	length := 10
	if text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			length = n
		}
	}
	return newPace(length, func(int) int { return 1 })
}

// bindUnix calls bind, and once more if all that is at the address is the file of a
// socket that nobody has any more, as a process leaves it that is killed.
func bindUnix(network, address string, mode fs.FileMode, bind func(net.ListenConfig) error) (socketFile, error) {
	lc := net.ListenConfig{Control: restrict}
	if strings.HasPrefix(address, "@") {
		if err := bind(net.ListenConfig{}); err != nil {
			return socketFile{}, listenError(network, address, err)
		}
		return socketFile{}, nil
	}
	unlock, err := lockFolder(filepath.Dir(address))
	if err != nil {
		return socketFile{}, listenError(network, address, err)
	}
	defer unlock()
	err = bind(lc)
	if isInUse(err) && isStale(network, address) {
		if err := os.Remove(address); err != nil {
			return socketFile{}, listenError(network, address, err)
		}
		err = bind(lc)
	}
	if err != nil {
		return socketFile{}, listenError(network, address, err)
	}
	if err := os.Chmod(address, mode); err != nil {
		return socketFile{}, listenError(network, address, err)
	}
	return newSocketFile(address), nil
}

// lockFolder keeps two relays that start at once from both finding the same file
// stale, and one of them from removing the other's.
func lockFolder(path string) (unlock func(), err error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		dir.Close()
		return nil, fmt.Errorf("another relay is starting in %s: %w", path, err)
	}
	return func() { dir.Close() }, nil
}

// isStale reports whether there is a socket's file, and nobody behind it.
func isStale(network, path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial(network, path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// socketFile is the file of a unix socket. The zero value is none.
type socketFile struct {
	path string
	info fs.FileInfo
	from *handover.Predecessor // whose it is until that is gone; nil: it is ours
}

func newSocketFile(path string) socketFile {
	if strings.HasPrefix(path, "@") {
		return socketFile{}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return socketFile{} // somebody was quick to remove it
	}
	return socketFile{path: path, info: info}
}

// remove removes the file, unless another has taken its place.
func (f socketFile) remove() {
	if f.path == "" || f.from != nil && !f.from.Gone {
		return
	}
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(f.info, now) {
		os.Remove(f.path)
	}
}
