package relay

import "net"

func (l listening) tcp(address string) (listener, error) {
	conn, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError("tcp", address, err)
	}
	return l.stream("tcp", conn.(*net.TCPListener)), nil
}
