package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"addons/server/catalog"
)

// now is the server's clock in microseconds.
const now = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"

// identify learns the writer's kind and secret, which is made if there is none, and has
// a first beat.
func (s *replicas) identify(ctx context.Context) error {
	version := ""
	if err := s.d.latest().one(ctx, qHeartbeat, "SELECT VERSION()", into{&version}); err != nil {
		return err
	}
	s.mariaDB = strings.Contains(version, "MariaDB")
	_, err := s.d.alone(ctx, qHeartbeat, "INSERT INTO heartbeat (id, at, secret) VALUES (1, 0, ?)"+s.d.onConflict("id"), rand.Text())
	if err != nil {
		return err
	}
	if err := s.d.latest().one(ctx, qHeartbeat, "SELECT secret FROM heartbeat WHERE id = 1", into{&s.secret}); err != nil {
		return err
	}
	return s.beat(ctx)
}

// beats has the writer's row changed about once a second, by one of the processes.
func (s *replicas) beats(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.beat(ctx) // the store counts its errors; what they mean here, beat says
		}
	}
}

// beat has one, and learns of it.
//
// With a writer that doesn't answer, replicas are measured by the last beat that it is
// known to have had: nothing newer can be read anywhere. One that answers but can't be
// written to goes on by its clock, for it is not known whether others can write.
func (s *replicas) beat(ctx context.Context) error {
	err := s.step(ctx)
	told := s.known.Load() // before the query
	var at, clock, seq int64
	if err := s.look(ctx, &at, &clock, &seq); err != nil {
		return err
	}
	if err != nil {
		at = max(at, clock)
	}
	if seq < told { // another copy of the database, whose numbers come a second time
		s.known.CompareAndSwap(told, seq)
	}
	if last := s.last.Load(); at > last {
		s.due.Store(last)
		s.last.Store(at)
	}
	return err
}

// step puts down the writer's clock, unless another process just did. A clock that was
// set back goes on slowly until it is where it was.
func (s *replicas) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	_, err := s.d.alone(ctx, qHeartbeat, "UPDATE heartbeat SET at = GREATEST(at + 1, "+now+") WHERE id = 1 AND (at < "+
		now+" - 400000 OR at > "+now+" + 1000000)")
	return err
}

// look reads the writer's last beat, its clock, and the number of the last change.
func (s *replicas) look(ctx context.Context, at, clock, seq *int64) error {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	return s.d.latest().one(ctx, qHeartbeat, "SELECT h.at, "+now+", c.seq FROM heartbeat h, change_clock c WHERE h.id = 1 AND c.id = 1",
		into{at, clock, seq})
}

// know notes that a caller was told of the changes up to a number.
func (s *replicas) know(seq int64) {
	if s == nil {
		return
	}
	for known := s.known.Load(); seq > known; known = s.known.Load() {
		if s.known.CompareAndSwap(known, seq) {
			for _, r := range s.list {
				r.hurry()
			}
			return
		}
	}
}

// hurry has a replica looked at now.
func (r *replica) hurry() {
	select {
	case r.kick <- struct{}{}:
	default: // is going to be
	}
}

// watch looks at the replica: once a second, at once when hurried, and soon again while
// it is behind.
func (r *replica) watch(ctx context.Context) {
	pause := soon
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
			pause = soon
		case <-timer.C:
		}
		if current, err := r.see(ctx); err != nil || current {
			pause = beat
		} else {
			pause = min(2*pause, beat)
		}
		timer.Reset(pause)
	}
}

// see looks at the replica and decides whether it is used. current: it has all that is
// known here.
func (r *replica) see(ctx context.Context) (current bool, err error) {
	var at, clock int64
	var secret, readOnly string
	due, last, known := r.s.due.Load(), r.s.last.Load(), r.s.known.Load()
	err = r.s.d.observe(ctx, qHeartbeat, lookPatience, func(ctx context.Context) error {
		found := false
		err := each(ctx, r.look, "SELECT h.at, h.secret, c.seq, CAST(@@GLOBAL.read_only AS CHAR) FROM heartbeat h, change_clock c WHERE h.id = 1 AND c.id = 1", nil, func(row row) error {
			found = true
			return row.Scan(&at, &secret, &clock, &readOnly)
		})
		if err == nil && !found {
			return catalog.ErrNotFound
		}
		return err
	})
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil && secret != r.s.secret {
		err = errOther
	}
	if err == nil {
		r.at = at
	}
	lag := time.Duration(0)
	if r.at < due {
		lag = min(time.Duration(last-r.at)*time.Microsecond, lagShown)
	}
	r.lag.Set(lag.Seconds())
	switch {
	case err != nil:
		r.leave(err.Error())
		r.end() // those who wait for it
		r.alive, r.end = context.WithCancel(context.Background())
	case lag > r.limit:
		// Since when isn't in what is said, for it is said once.
		r.leave(fmt.Sprintf("it lags more than %v", r.limit))
	default:
		r.use(clock)
		r.warn(readOnly)
	}
	return err == nil && lag == 0 && clock >= known, err
}

func (r *replica) use(clock int64) {
	if r.state.Swap(&state{clock, r.alive}) == nil {
		r.s.log.Info("replica is read from", "replica", r.name, "address", r.addr)
	}
	r.said = ""
	r.used.Set(1)
}

func (r *replica) leave(why string) {
	r.state.Store(nil)
	r.used.Set(0)
	if r.said != why {
		r.said = why
		r.s.log.Warn("replica is left out", "replica", r.name, "address", r.addr, "why", why)
	}
}

// warn tells once of a replica that may get rows of its own.
func (r *replica) warn(readOnly string) {
	writable := readOnly == "0" || readOnly == "OFF"
	if writable && !r.warns {
		r.s.log.Warn("replica can be written to: set read_only=ON there", "replica", r.name, "address", r.addr)
	}
	r.warns = writable
}
