package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"addons/rum"
	"addons/server/metrics"
)

// oneConn is a listener that has one connection.
type oneConn struct {
	conns chan net.Conn
}

func (l oneConn) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l oneConn) Close() error   { close(l.conns); return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// TestABeaconThatTricklesInIsCutWhereItIsHandedOn has a sender that says it has a thousand bytes, and
// sends one a second.
func TestABeaconThatTricklesInIsCutWhereItIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{log: quiet(), registry: metrics.New(nil), config: Config{Site: true, Beacons: "http://relay.example"}}
		s.openViews(t.Context())
		relay := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusBadRequest)
			}
		})
		theirs, ours := net.Pipe()
		l := oneConn{make(chan net.Conn, 1)}
		l.conns <- ours
		server := &http.Server{Handler: s.seen(rum.Config{}, relay)}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		began, sent := time.Now(), make(chan struct{})
		go func() {
			defer close(sent)
			fmt.Fprintf(theirs, "POST /rum HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
			for {
				if _, err := theirs.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		theirs.SetReadDeadline(began.Add(time.Minute))
		resp, err := http.ReadResponse(bufio.NewReader(theirs), nil)
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		if took := time.Since(began); took > bodyWait+time.Second || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d after %v, want 400 after %v", resp.StatusCode, took, bodyWait)
		}
		theirs.Close()
		<-sent
		server.Close()
		<-served
	})
}
