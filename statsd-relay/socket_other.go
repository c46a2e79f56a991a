//go:build unix && !linux

package relay

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setReceiveBuffer asks for n bytes; what is granted is not known here.
func setReceiveBuffer(conn *net.UDPConn, n int) (granted int, err error) {
	return n, conn.SetReadBuffer(n)
}

// errOneReader: sharing an address between sockets that all get datagrams is Linux's.
var errOneReader = errors.New("several readers of a UDP address need Linux")

func setReusePort(syscall.Conn) error { return errOneReader }

func reusePort(string, string, syscall.RawConn) error { return errOneReader }

// kernelDrops are not told here.
func kernelDrops(syscall.Conn) (uint32, error) { return 0, nil }

// restrict can't be done here before a file is bound.
func restrict(string, string, syscall.RawConn) error { return nil }

func sleep(d time.Duration) { time.Sleep(d) }

// unpoll leaves the socket to the runtime's poller.
func unpoll(conn packetConn) (packetConn, error) { return conn, nil }

// datagrams receives the datagrams of one socket, one at a time.
type datagrams struct {
	raw    syscall.RawConn
	memory []byte
	n      int
}

func newDatagrams(conn syscall.Conn) (*datagrams, error) {
	raw, err := conn.SyscallConn()
	return &datagrams{raw: raw, memory: make([]byte, datagram)}, err
}

func (b *datagrams) free() {}

// receive reads a datagram. If there is none, it waits, or fails with EAGAIN.
func (b *datagrams) receive(wait bool) (n int, err error) {
	rerr := b.raw.Read(func(fd uintptr) bool {
		b.n, _, err = unix.Recvfrom(int(fd), b.memory, unix.MSG_DONTWAIT)
		return err != unix.EAGAIN || !wait
	})
	if err = errors.Join(rerr, err); err != nil {
		return 0, err
	}
	return 1, nil
}

func (b *datagrams) at(int) []byte { return b.memory[:b.n] }

const errInUse = syscall.EADDRINUSE
