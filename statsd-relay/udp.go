package relay

import (
	"context"
	"fmt"
	"net"

	"addons/statsd-relay/handover"
)

// udp listens at the address, by one or more sockets: those that are inherited, or as
// many as there are to be readers. The kernel spreads senders over the sockets, and
// one sender's datagrams all go to the same.
func (l listening) udp(address string) (listener, error) {
	p := &packetListener{network: "udp", address: address, self: l.self}
	if all := l.inherited.Take("udp", address); len(all) > 0 {
		return p, l.inheritUDP(p, all)
	}
	bind := address
	var lc net.ListenConfig
	for i := range l.cfg.Readers {
		conn, err := lc.ListenPacket(context.Background(), "udp", bind)
		if err != nil {
			p.close()
			return nil, listenError("udp", address, err)
		}
		if err := l.addUDP(p, conn.(*net.UDPConn)); err != nil {
			p.close()
			return nil, listenError("udp", address, err)
		}
		if i == 0 && l.cfg.Readers > 1 {
			// The first socket was bound alone, so that another relay on this
			// address is an error; only then it lets the others join.
			if err := setReusePort(p.readers[0].conn); err != nil {
				p.close()
				return nil, listenError("udp", address, err)
			}
			lc.Control = reusePort
			bind = p.addr().String()
		}
	}
	return p, nil
}

// inheritUDP gives p readers of all, whose files it closes. It is those and no others:
// what a socket holds that nobody reads any more is lost.
func (l listening) inheritUDP(p *packetListener, all []handover.Socket) error {
	defer handover.Close(all)
	for _, s := range all {
		conn, err := net.FilePacketConn(s.File)
		if err == nil {
			err = l.addUDP(p, conn.(*net.UDPConn))
		}
		if err != nil {
			p.close()
			return fmt.Errorf("statsd-relay: inherit %s: %w", s.Name, err)
		}
		r := p.readers[len(p.readers)-1]
		if r.drops, err = kernelDrops(r.conn); err != nil { // those before have been counted
			p.close()
			return fmt.Errorf("statsd-relay: inherit %s: %w", s.Name, err)
		}
	}
	return nil
}

// addUDP gives p a reader of conn's socket.
func (l listening) addUDP(p *packetListener, conn *net.UDPConn) error {
	granted, err := setReceiveBuffer(conn, l.cfg.ReceiveBuffer)
	if err != nil {
		conn.Close()
		return err
	}
	if granted < l.cfg.ReceiveBuffer {
		l.log.Warn("receive buffer is smaller than asked for: bursts may be dropped; raise net.core.rmem_max",
			"asked", l.cfg.ReceiveBuffer, "granted", granted)
	}
	l.self.rcvbuf.Set(float64(granted))
	own, err := unpoll(conn)
	if err != nil {
		return err
	}
	p.readers = append(p.readers, &packetReader{conn: own, shard: l.shard("udp"), pace: newPace(2*granted, datagramCost)})
	return nil
}

// datagramCost is what a datagram takes of a receive buffer, at the most, of which
// the kernel has twice as much as was granted: socket(7). Measured: 768 bytes for
// one of 37 bytes, 2,304 for 1,432.
func datagramCost(bytes int) int { return 768 + 2*bytes }
