package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// check asks once whether a peer is well.
type check func(ctx context.Context) error

// parseCheck reads ?admin=PORT, the admin port of etsy's statsd, or ?http=PORT, a
// page /-/ready. Without either, a peer over TCP is well if it can be connected to.
func parseCheck(t target, host string, query url.Values) (check, error) {
	for name, values := range query {
		if name != "admin" && name != "http" || len(query) > 1 || len(values) > 1 {
			return nil, fmt.Errorf("?%s: there is admin or http, once", name)
		}
		if err := validPort(values[0]); err != nil {
			return nil, err
		}
	}
	switch admin, page := query.Get("admin"), query.Get("http"); {
	case admin != "":
		return adminCheck(net.JoinHostPort(host, admin)), nil
	case page != "":
		return pageCheck("http://" + net.JoinHostPort(host, page) + "/-/ready"), nil
	case t.network == "tcp":
		return connectCheck(t.address), nil
	}
	return nil, nil
}

func connectCheck(address string) check {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// adminCheck says "health" on etsy's admin port and wants "health: up".
func adminCheck(address string) check {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if deadline, ok := ctx.Deadline(); ok {
			conn.SetDeadline(deadline)
		}
		if _, err := io.WriteString(conn, "health\r\n"); err != nil {
			return err
		}
		answer, err := bufio.NewReader(io.LimitReader(conn, 256)).ReadString('\n')
		if err != nil {
			return fmt.Errorf("health on %s: %w", address, err)
		}
		if strings.TrimSpace(answer) != "health: up" {
			return fmt.Errorf("%s says %.40q", address, strings.TrimSpace(answer))
		}
		return nil
	}
}

// pages asks over a connection of its own each time: one that is kept says
// nothing of whether others would be taken.
var pages = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func pageCheck(page string) check {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
		if err != nil {
			return err
		}
		resp, err := pages.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", page, resp.Status)
		}
		return nil
	}
}

// errOff is the state of a peer whose checks fail.
var errOff = errors.New("off")

// maxRises bounds for how many good checks a peer that comes and goes is waited.
const maxRises = 64

// steady is how many good checks a peer must have had since it came back for its
// next fall not to count as flapping.
const steady = 60

// health is whether a peer is used, by its checks. After a few bad ones in a row
// it is off, after a few good ones it is on again: twice as many after each fall
// that came soon after the last return, so that one that comes and goes moves
// keys to and fro less and less.
type health struct {
	falls, rises int

	off  bool
	bad  int // in a row, while on
	good int // in a row, while off; since the return, while on
	need int // good ones to return; 0 before the first fall
}

// note takes the outcome of a check, and reports whether the peer goes off or on.
func (h *health) note(ok bool) (changed bool) {
	switch {
	case ok:
		h.bad = 0
		h.good++
		if h.off && h.good >= h.need {
			h.off, h.good = false, 0
			return true
		}
	case h.off:
		h.good = 0
	default:
		h.bad++
		if h.bad >= h.falls {
			h.fall()
			return true
		}
	}
	return false
}

func (h *health) fall() {
	flaps := h.need > 0 && h.good < steady
	if flaps {
		h.need = min(2*h.need, max(maxRises, h.rises))
	} else {
		h.need = h.rises
	}
	h.off, h.bad, h.good = true, 0, 0
}
