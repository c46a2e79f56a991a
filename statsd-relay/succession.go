package relay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"addons/statsd-relay/handover"
)

// Bequeath adds a socket of the program's own to those that a successor gets, by
// the network and address that it is to ask for. It is called before Run.
func (r *Relay) Bequeath(network, address string, conn syscall.Conn) {
	r.more = append(r.more, bequest{handover.Name(network, address), conn})
}

// Server is one of the program's own that rests while the relay is handed over: what it
// would take meanwhile would be in neither process.
type Server struct {
	// Rest has it take nothing more, finish what it has begun and let go of what it holds
	// back. It returns the connections, of *net.TCPConn's kind, that a successor is to go on
	// with; until it has taken over they are still the server's.
	Rest func() []net.Conn
	// Resume has it go on, for the successor has failed.
	Resume func()
}

// HandOverWith has s rest before what is known goes to a successor, which gets the
// connections of s by Connections of the same network and address. It is called before Run.
func (r *Relay) HandOverWith(network, address string, s Server) {
	r.servers = append(r.servers, namedServer{handover.Name(network, address), s})
}

type namedServer struct {
	name string
	Server
}

func (r *Relay) restServers() {
	for _, s := range r.servers {
		for _, conn := range s.Rest() {
			r.rested = append(r.rested, bequest{s.name, conn.(syscall.Conn)})
		}
	}
}

func (r *Relay) resumeServers() {
	r.rested = nil
	for _, s := range r.servers {
		s.Resume()
	}
}

// orphan is a predecessor's connection of its program's own.
type orphan struct {
	name string
	conn net.Conn
}

// Connections returns those that a predecessor's server at the address has left, which are
// the caller's to close. It is called before Run, which closes what nobody has asked for.
func (r *Relay) Connections(network, address string) (all []net.Conn) {
	name := handover.Name(network, address)
	r.orphans = slices.DeleteFunc(r.orphans, func(o orphan) bool {
		if o.name == name {
			all = append(all, o.conn)
		}
		return o.name == name
	})
	return all
}

func (r *Relay) closeOrphans() {
	for _, o := range r.orphans {
		r.log.Warn("a connection ends, for nothing listens any more where it came in", "socket", o.name)
		o.conn.Close()
	}
	r.orphans = nil
}

// bequest is a socket for a successor.
type bequest struct {
	name string
	conn syscall.Conn
}

// bequests are all sockets that a successor gets.
func (r *Relay) bequests() []bequest {
	all := r.more
	for _, l := range r.in {
		for _, conn := range l.conns() {
			all = append(all, bequest{l.name(), conn})
		}
	}
	if r.admin != nil {
		all = append(all, bequest{handover.Name("tcp", r.cfg.Load().Admin), r.admin.listener})
	}
	return append(all, bequest{handover.Name("unix", r.cfg.Load().Handover), r.heirs})
}

// duplicates opens them a second time.
func (r *Relay) duplicates() (all []handover.Socket, err error) {
	for _, b := range r.bequests() {
		f, err := handover.Dup(b.conn)
		if err != nil {
			handover.Close(all)
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		all = append(all, handover.Socket{Name: b.name, File: f})
	}
	return all, nil
}

// listenHeirs listens for a successor. Whoever may connect gets all: the file is the
// owner's alone.
func listenHeirs(path string, in *handover.Inherited) (*net.UnixListener, socketFile, error) {
	if all := in.Take("unix", path); len(all) > 0 {
		defer handover.Close(all)
		l, err := net.FileListener(all[0].File)
		if err != nil {
			return nil, socketFile{}, fmt.Errorf("statsd-relay: inherit %s: %w", all[0].Name, err)
		}
		return l.(*net.UnixListener), inheritedFile(path, in), nil
	}
	return listenUnix(path, 0o600)
}

// Successor returns the process that has taken over, 0 if none has. What Run then still
// does is to deliver what sinks have of before.
func (r *Relay) Successor() (pid int) { return int(r.successor.Load()) }

// HandedOver is closed when a successor has taken over: what the program itself listens
// at is then to be left to it.
func (r *Relay) HandedOver() <-chan struct{} { return r.handedOver }

// handOver gives a successor what there is. It returns false if the successor did not
// take it; then all is as it was, unless there is an error.
func (r *Relay) handOver(s *handover.Successor) (done bool, err error) {
	r.reloading.Lock()
	defer r.reloading.Unlock()
	r.flushing.Lock()
	defer r.flushing.Unlock()
	start := time.Now()
	connections, err := r.connections()
	if err != nil {
		s.Refuse(err)
		r.log.Warn("not handed over: this process goes on", "successor", s.PID, "error", err)
		return false, nil
	}
	defer handover.Close(connections)
	left := r.suspend()
	if err := s.HandOver(connections, func(to io.Writer) error { return r.leave(to, left) }); err != nil {
		r.log.Warn("not handed over: this process goes on", "successor", s.PID, "error", err, "paused", time.Since(start))
		return false, r.resume(left)
	}
	for _, l := range r.in {
		l.keepFile()
	}
	r.heirsFile = socketFile{}
	r.successor.Store(int64(s.PID))
	close(r.handedOver)
	r.log.Info("handed over", "successor", s.PID, "connections", len(connections), "paused", time.Since(start))
	return true, nil
}

// heldStream is what a successor must know of a connection.
type heldStream struct {
	Framing framing
	Buf     []byte
	Over    bool
	Skip    int64
}

// connections are those that are open, with what of a line each has sent.
func (r *Relay) connections() (all []handover.Socket, err error) {
	for _, l := range r.in {
		streams, ok := l.(*streamListener)
		if !ok {
			continue
		}
		for _, s := range streams.open() {
			f, err := handover.Dup(s.conn)
			if err != nil {
				handover.Close(all)
				return nil, err
			}
			var note bytes.Buffer
			if err := gob.NewEncoder(&note).Encode(heldStream{s.in.framing, s.in.buf, s.in.over, s.in.skip}); err != nil {
				panic(err) // of a buffer and such a struct there is none
			}
			all = append(all, handover.Socket{Name: l.name(), File: f, Note: note.Bytes()})
		}
	}
	for _, b := range r.rested {
		f, err := handover.Dup(b.conn)
		if err != nil {
			handover.Close(all)
			return nil, err
		}
		all = append(all, handover.Socket{Name: b.name, File: f})
	}
	return all, nil
}

// adopt takes a predecessor's connection. What is not to an address where lines come is
// for the program.
func (r *Relay) adopt(s handover.Socket) error {
	conn, err := net.FileConn(s.File)
	if err != nil {
		return fmt.Errorf("statsd-relay: inherit a connection: %w", err)
	}
	for _, l := range r.in {
		streams, ok := l.(*streamListener)
		if !ok || l.name() != s.Name {
			continue
		}
		var held heldStream
		if err := gob.NewDecoder(bytes.NewReader(s.Note)).Decode(&held); err != nil {
			conn.Close()
			return fmt.Errorf("statsd-relay: inherit a connection: %w", err)
		}
		if one := streams.begin(conn.(streamConn)); one != nil {
			one.in.framing, one.in.over, one.in.skip = held.Framing, held.Over, held.Skip
			one.in.buf = append(one.in.buf, held.Buf...)
			streams.hold(one)
		}
		return nil
	}
	r.orphans = append(r.orphans, orphan{s.Name, conn})
	return nil
}

// succeed has the predecessor hand over. It is the last thing that can fail: once it
// has returned nil the predecessor is gone.
func (r *Relay) succeed(p *handover.Predecessor) error {
	var start time.Time
	err := p.Succeed(handover.Heir{Prepare: r.agg.inheritKeys, Take: func(connections []handover.Socket, state io.Reader) error {
		start = time.Now()
		return r.take(connections, state)
	}})
	if err != nil {
		return errors.Join(errors.New("statsd-relay: the relay that runs was not succeeded, and goes on"), err)
	}
	r.log.Info("took over from the relay that ran", "series", r.agg.count, "within", time.Since(start))
	return nil
}

// take takes over what a predecessor that has paused leaves.
func (r *Relay) take(connections []handover.Socket, state io.Reader) error {
	defer handover.Close(connections)
	for _, c := range connections {
		if err := r.adopt(c); err != nil {
			return err
		}
	}
	err := r.addSinks()
	if err == nil {
		err = r.inherit(state)
	}
	if err != nil { // the predecessor needs the spool again
		return errors.Join(err, r.closeSinks())
	}
	return nil
}

// relay reads and flushes until ctx is done, a socket fails, or a successor is ready.
func (r *Relay) relay(ctx context.Context) (s *handover.Successor, err error) {
	ctx, pause := context.WithCancelCause(ctx)
	defer pause(nil)
	// A reader that fails ends it: a relay that is deaf must not look well.
	readers, ctx := r.startReaders(ctx)
	if r.heirs != nil {
		readers.Go(func() (err error) {
			if s, err = handover.Serve(ctx, r.heirs, r.log, handover.Legacy{Sockets: r.duplicates, Ahead: r.agg.leaveKeys}); s != nil {
				r.restServers() // which may take seconds, in which lines are still read
				pause(errHandOver)
			}
			return err
		})
	}
	r.ready.Store(true)
	r.flushUntil(ctx)
	r.ready.Store(false)
	err = readers.Wait()
	return entitled(ctx, s, err), err
}

// errEnding is why a successor is too late.
var errEnding = errors.New("it is ending: start again")

// entitled returns s if all that reads has paused for it, and not ended: what has read
// to the end has closed its sockets.
func entitled(ctx context.Context, s *handover.Successor, ended error) *handover.Successor {
	if s == nil || ended == nil && handsOver(ctx) {
		return s
	}
	s.Refuse(cmp.Or(ended, errEnding))
	return nil
}
