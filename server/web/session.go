package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"addons/server/store"
)

// after is the cookie by which a person's next requests see what an earlier one wrote,
// although they are read from a replica. It is set by nothing but a write, is gone after
// store.Pin, and says how far the database had come, nothing of the person.
const after = "addons_after"

// pinning is how long an answer waits to learn that. Without, the next requests are read
// from the writer.
const pinning = time.Second

// session begins a request's reads and writes, where there are replicas. Whatever a
// handler writes before its answer begins is in the cookie; no handler needs to know.
func (w *Web) session(ctx context.Context, r *http.Request, rec *record) context.Context {
	if w.Session == nil {
		return ctx
	}
	token := ""
	if c, err := r.Cookie(after); err == nil {
		token = c.Value
	}
	ctx, s := w.Session(ctx, token)
	rec.pin = func() { w.pin(ctx, rec.Header(), s) }
	return ctx
}

// pin sets the cookie if the session wrote something. Such an answer is one person's.
func (w *Web) pin(ctx context.Context, h http.Header, s *store.Session) {
	if !s.Wrote() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pinning)
	defer cancel()
	c := http.Cookie{
		Name: after, Value: s.Token(ctx), Path: "/", MaxAge: int(store.Pin.Seconds()),
		Secure: strings.HasPrefix(w.BaseURL, "https:"), HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	h.Add("Set-Cookie", c.String())
	h.Set("Cache-Control", "no-store")
}
