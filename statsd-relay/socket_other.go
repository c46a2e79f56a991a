//go:build unix && !linux

package relay

import (
	"errors"
	"net"
	"syscall"
)

// setReceiveBuffer asks for n bytes; what is granted is not known here.
func setReceiveBuffer(conn *net.UDPConn, n int) (granted int, err error) {
	return n, conn.SetReadBuffer(n)
}

// errOneReader: sharing an address between sockets that all get datagrams is Linux's.
var errOneReader = errors.New("several readers of a UDP address need Linux")

func setReusePort(syscall.Conn) error { return errOneReader }

func reusePort(string, string, syscall.RawConn) error { return errOneReader }

func inode(syscall.Conn) (uint64, error) { return 0, nil }

// kernelDrops are not told here.
func kernelDrops(map[uint64]bool) (map[uint64]uint64, error) { return nil, nil }

// unacknowledged is not told here: what is written counts as sent.
func unacknowledged(net.Conn) (int, error) { return 0, nil }

func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
