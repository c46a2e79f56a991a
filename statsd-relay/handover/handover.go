// Package handover passes sockets, and what a process knows, to the process that
// takes its place, so that neither a datagram nor a connection is lost in between:
// the kernel goes on queueing in sockets that both have for a moment.
//
// The successor dials the predecessor's unix socket and gets its sockets
// (SCM_RIGHTS, unix(7)). Once it has made everything ready, the predecessor pauses and
// sends its state; the successor takes it in, or closes the connection, whereupon
// the predecessor goes on. At no time do both read, and only the death of one of
// them at the very moment leaves nobody.
//
//	successor                      predecessor
//	hello, version           →
//	                         ←     its sockets, or why it refuses
//	                         ←     what can be known ahead, so that the pause is short
//	ready                    →     pauses
//	                         ←     open connections, state
//	taken                    →     will not go on
//	                         ←     gone
//	reads                          drains its sinks and ends
//
// systemd's sockets (sd_listen_fds(3)) are inherited in the same way, but without a
// state.
package handover

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// version is that of the protocol and of the states that go with it.
const version = 1

const (
	// patience is how long each waits for the other's next word while nothing is
	// held up: a successor may have a large spool to look through.
	patience = 30 * time.Second
	// pause is how long a predecessor that has paused waits for its successor. Until
	// then sockets' buffers fill.
	pause = 5 * time.Second
)

// kind says what a message is.
type kind byte

const (
	hello kind = iota + 1
	offer
	refusal
	ahead
	ready
	open
	state
	taken
	gone
)

func (k kind) String() string {
	if k < hello || k > gone {
		return fmt.Sprint("message ", byte(k))
	}
	return [...]string{hello: "hello", offer: "offer", refusal: "refusal", ahead: "ahead", ready: "ready", open: "open", state: "state", taken: "taken", gone: "gone"}[k]
}

// Socket is an open socket with the name of what it is for, as "udp 127.0.0.1:8125".
// What else the successor must know of it is in Note.
type Socket struct {
	Name string
	File *os.File // the receiver's to close
	Note []byte
}

// greeting is a hello's body.
type greeting struct{ Version int }

// listing is an offer's body: names and notes of the files that come with it.
type listing struct {
	Version int
	Names   []string
	Notes   [][]byte
}

// mayTake says whether a process of user heir may take over from one of user owner:
// only the same user's may, and root's.
func mayTake(heir, owner int) error {
	if heir != owner && heir != 0 {
		return fmt.Errorf("handover: user %d may not take over from user %d", heir, owner)
	}
	return nil
}

// mayGive says whether a process of user heir may believe one of user owner. Whoever can
// make a file at the path could be there before the predecessor.
func mayGive(owner, heir int) error {
	if owner != heir && owner != 0 && heir != 0 {
		return fmt.Errorf("handover: user %d listens there, and this is user %d", owner, heir)
	}
	return nil
}

func list(sockets []Socket) (l listing, files []*os.File) {
	l.Version = version
	for _, s := range sockets {
		l.Names, l.Notes = append(l.Names, s.Name), append(l.Notes, s.Note)
		files = append(files, s.File)
	}
	return l, files
}

func (l listing) sockets(files []*os.File) ([]Socket, error) {
	if len(l.Names) != len(files) || len(l.Notes) != len(files) {
		closeFiles(files)
		return nil, fmt.Errorf("handover: %d sockets came of %d", len(files), len(l.Names))
	}
	var all []Socket
	for i, f := range files {
		all = append(all, Socket{l.Names[i], f, l.Notes[i]})
	}
	return all, nil
}

// Close closes the files of sockets.
func Close(sockets []Socket) {
	for _, s := range sockets {
		s.File.Close()
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// ErrVersion is a process at the other end that speaks another version.
var ErrVersion = errors.New("it speaks another version of the hand-over: stop it, and start this one then")
