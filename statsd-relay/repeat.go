package relay

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// Repeat sends all that comes in on to other statsd servers, to each of them all,
// as the repeater of etsy's statsd does: datagrams as they came, and lines that
// came as a stream in blocks of whole lines; over UDP what is larger than 1432
// bytes is parted between lines. What the program itself feeds is not
// sent on.
type Repeat struct {
	// To are the servers: "[udp://|tcp://]host:port", UDP if neither is said. None:
	// nothing is sent on.
	To []string `yaml:"to"`
	// Queue is how many bytes may wait for one of them; 0 is 8 MiB. Beyond, lines
	// are dropped and counted.
	Queue int64 `yaml:"queue,size"`

	targets []target
}

// complete fills what is left zero, and refuses what can't be done.
func (r *Repeat) complete() (err error) {
	r.Queue = cmp.Or(r.Queue, 8<<20)
	if r.targets, err = parseTargets(r.To); err != nil {
		return fmt.Errorf("statsd-relay: repeat: to: %w", err)
	}
	for _, t := range r.targets {
		if t.asked {
			return fmt.Errorf("statsd-relay: repeat: to: %s: a repeater checks nobody: leave out what is behind the '?'", t.address)
		}
	}
	if r.Queue < datagram {
		return fmt.Errorf("statsd-relay: repeat: queue %d: give at least %d bytes, the largest datagram", r.Queue, datagram)
	}
	return nil
}

// repeater is the sink that Repeat describes, and its own tap.
type repeater struct {
	peers peers
	since time.Time
}

func newRepeater(cfg Repeat, self *self, log *slog.Logger) *repeater {
	sink := newPeerSink("repeat", cfg.Queue*int64(len(cfg.targets)), self)
	r := &repeater{since: time.Now()}
	for _, t := range cfg.targets {
		r.peers = append(r.peers, newPeer(t, sink, cfg.Queue, self, log))
	}
	return r
}

// take copies b for each peer.
func (r *repeater) take(b []byte) {
	for _, p := range r.peers {
		for rest := b; len(rest) > 0; {
			var block []byte
			block, rest = nextBlock(rest, p.network)
			p.put(newBlock(block))
		}
	}
}

// nextBlock cuts off what goes to a peer at a time: over UDP whole lines that fit
// into a packet, or one that doesn't.
func nextBlock(b []byte, network string) (block, rest []byte) {
	if network == "tcp" || len(b) <= packetSize {
		return b, nil
	}
	if i := bytes.LastIndexByte(b[:packetSize], '\n'); i >= 0 {
		return b[:i+1], b[i+1:]
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1], b[i+1:]
	}
	return b, nil
}

// newBlock is b as a packet.
func newBlock(b []byte) *packet {
	p := packets.Get().(*packet)
	p.data = append(p.data, b...)
	if p.verbatim = b[len(b)-1] == '\n'; !p.verbatim {
		p.data = append(p.data, '\n')
	}
	p.lines = bytes.Count(p.data, []byte{'\n'})
	return p
}

func (r *repeater) name() string { return "repeat" }

// send does nothing: flushes are not what is repeated.
func (r *repeater) send(*flush) {}

// run sends until ctx is done, and then until nothing waits or drain is done.
func (r *repeater) run(ctx, drain context.Context) error {
	var group errgroup.Group
	for _, p := range r.peers {
		group.Go(func() error {
			p.run(ctx, drain)
			return nil
		})
	}
	group.Wait()
	for _, p := range r.peers {
		p.abandon()
	}
	return nil
}

func (r *repeater) wait(ctx context.Context) error { return r.peers.wait(ctx, r.name()) }

func (r *repeater) status() sinkStatus { return r.peers.status(r.name(), r.since) }
