package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"sync/atomic"
	"time"
)

// Pin is how long a Token is to be brought back: longer than a replica that is read from
// may lag, after which it is of no use.
const Pin = 15 * time.Second

// positionMax (bytes) bounds a position in a token: a MySQL that had many writers has a
// long one. Beyond it the token says "the writer", which is right as well.
const positionMax = 1024

// Session is what one person's request reads and writes: its reads are of one server, as
// long as that is there, and from its first commit on of the writer.
type Session struct {
	visit
	wrote  atomic.Bool
	pinned bool // by an earlier request's token
	s      *replicas
}

type (
	sessionKey struct{}
	latestKey  struct{}
)

// Session returns ctx for a request. token is what Token said after an earlier one of the
// same person, whose writes are then seen here; anything else is ignored. The Session
// is nil, and ctx the same, where there are no replicas.
func (db *DB) Session(ctx context.Context, token string) (context.Context, *Session) {
	if db.replicas == nil {
		return ctx, nil
	}
	s := &Session{s: db.replicas}
	if position, ok := s.s.verify(token); ok {
		s.pinned, s.after = true, position
		if position == "" {
			s.writer = readOwn
		}
	}
	return context.WithValue(ctx, sessionKey{}, s), s
}

// Latest returns ctx in which all reads have all that is committed: for what was told of
// a commit, as a task is. It is the writer's to answer them.
func Latest(ctx context.Context) context.Context { return context.WithValue(ctx, latestKey{}, true) }

func isLatest(ctx context.Context) bool { return ctx.Value(latestKey{}) != nil }

// sessionOf is nil where there is none.
func sessionOf(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionKey{}).(*Session)
	return s
}

// ownReads says whether ctx's reads must not be made together with others'.
func ownReads(ctx context.Context) bool {
	s := sessionOf(ctx)
	return isLatest(ctx) || s != nil && (s.wrote.Load() || s.pinned)
}

// writes notes that something is about to be committed, whether that then succeeds or not.
func (s *Session) writes() {
	if s != nil {
		s.wrote.Store(true)
		s.toWriter(readOwn)
	}
}

// Wrote says whether something was committed.
func (s *Session) Wrote() bool { return s != nil && s.wrote.Load() }

// Token is for the person to bring back within Pin, so that the next request sees what
// this one wrote. It says how far the database had come, nothing of the person, and is
// signed. "" if nothing was written.
func (s *Session) Token(ctx context.Context) string {
	if !s.Wrote() {
		return ""
	}
	position, err := s.s.position(ctx)
	if err != nil || len(position) > positionMax {
		position = "" // the writer, until it is known better
	}
	return s.s.sign(position)
}

// signature (bytes) of SHA-256's: a token is worth 15 seconds of reads from the writer.
const signature = 12

func (s *replicas) sign(position string) string {
	return base64.RawURLEncoding.EncodeToString(append(s.mac(position), position...))
}

// verify returns a token's position.
func (s *replicas) verify(token string) (position string, ok bool) {
	if token == "" || len(token) > base64.RawURLEncoding.EncodedLen(signature+positionMax) {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < signature {
		return "", false
	}
	position = string(raw[signature:])
	return position, hmac.Equal(raw[:signature], s.mac(position))
}

func (s *replicas) mac(position string) []byte {
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte(position))
	return mac.Sum(nil)[:signature]
}
