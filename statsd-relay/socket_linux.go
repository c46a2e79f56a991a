package relay

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// control calls f with conn's file descriptor.
func control(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// setReceiveBuffer asks for n bytes and returns what the kernel grants. Past
// net.core.rmem_max it takes CAP_NET_ADMIN.
func setReceiveBuffer(conn *net.UDPConn, n int) (granted int, err error) {
	err = control(conn, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n); err != nil {
				return err
			}
		}
		var err error
		granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	return granted / 2, err // the kernel doubles it for its own bookkeeping: socket(7)
}

// setReusePort lets further sockets of this user share the address. It may be
// set on a socket that is bound already, which so was the only one until then.
func setReusePort(conn syscall.Conn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

// reusePort is the Control of a net.ListenConfig that joins such an address.
func reusePort(_, _ string, raw syscall.RawConn) error {
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); err != nil {
		return err
	}
	return serr
}

// inode identifies conn in /proc/net/udp.
func inode(conn syscall.Conn) (n uint64, err error) {
	err = control(conn, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		n = st.Ino
		return nil
	})
	return n, err
}

// kernelDrops returns how many datagrams the kernel has dropped of each socket
// of ours, by inode.
func kernelDrops(inodes map[uint64]bool) (map[uint64]uint64, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	v4, err4 := fs.NetUDP()
	v6, err6 := fs.NetUDP6()
	if err4 != nil && err6 != nil {
		return nil, fmt.Errorf("kernel drops: %w", errors.Join(err4, err6))
	}
	drops := map[uint64]uint64{}
	for _, l := range append(v4, v6...) {
		if inodes[l.Inode] && l.Drops != nil {
			drops[l.Inode] = *l.Drops
		}
	}
	return drops, nil
}

// unacknowledged returns how many of the bytes written the other host has not
// acknowledged: SIOCOUTQ of tcp(7).
func unacknowledged(conn net.Conn) (n int, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	err = control(c, func(fd int) error {
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		return err
	})
	return n, err
}

func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
