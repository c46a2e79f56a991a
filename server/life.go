package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"
)

// closer is something opened, by its name.
type closer struct {
	name  string
	close func(context.Context) error
}

// closers are what was opened, in order; they are closed backwards.
type closers []closer

func (c *closers) push(name string, close func(context.Context) error) {
	*c = append(*c, closer{name, close})
}

// pushPlain is for a Close that needs no context.
func (c *closers) pushPlain(name string, close func() error) {
	c.push(name, func(context.Context) error { return close() })
}

// closeAll closes everything and returns all that went wrong.
func (c *closers) closeAll(ctx context.Context, log *slog.Logger) error {
	var all []error
	for _, o := range slices.Backward(*c) {
		start := time.Now()
		if err := o.close(ctx); err != nil {
			all = append(all, fmt.Errorf("close %s: %w", o.name, err))
		}
		log.Debug("closed", "what", o.name, "took", time.Since(start))
	}
	*c = nil
	return errors.Join(all...)
}

// Limits of the listeners: whoever sends slowly gives way to whoever does not.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	// writeTimeout is long because a package of some megabytes may go to a phone.
	writeTimeout   = 5 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// listen opens a listener; its error says what to do.
func listen(address, what, flag string) (net.Listener, error) {
	if address == "" { // which net.Listen takes for any port on every interface
		return nil, fmt.Errorf("%s: no address: give one like 127.0.0.1:8000 with %s", what, flag)
	}
	l, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %s is in use: stop what listens there or give another address with %s", what, address, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: not allowed to listen on %s: give a port above 1023 with %s", what, address, flag)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: give an address like 127.0.0.1:8000 with %s", what, err, flag)
	}
	return l, nil
}

// newHTTP is a server of h with these limits. What it writes to its log is about
// clients that break off or send nonsense, every day's business on a public port.
func newHTTP(base context.Context, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Requests outlive the signal that ends the process: they are drained.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(base) },
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// fromHere refuses what reached a loopback address under a name that is not this
// machine's: a page whose name was made to mean 127.0.0.1 (DNS rebinding) could
// otherwise read the operators' pages by the browser of whoever sits here.
func fromHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if ok && at.IP.IsLoopback() && !here(r.Host) {
			http.Error(w, fmt.Sprintf("%.80q is not this machine: ask for localhost, and have a proxy say Host: localhost", r.Host),
				http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// here says whether a Host header is of no use to DNS rebinding: an address, a
// name that no name server is asked for, or none at all, which no browser sends.
func here(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host) != nil
}
