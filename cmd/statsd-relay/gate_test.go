package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestAGateThatIsClosedWhileItRestsHoldsNobodyUp has SIGTERM come in the middle of a
// hand-over, while one request is under way and one connection is kept.
func TestAGateThatIsClosedWhileItRestsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(l, nil)
	begun, cut := make(chan struct{}, 2), make(chan struct{})
	server := &http.Server{ConnState: g.state, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if r.URL.Path == "/slow" {
			<-r.Context().Done() // its connection is closed
			close(cut)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(g) }()
	kept, slow := dialed(t, l.Addr().String()), dialed(t, l.Addr().String())
	io.WriteString(kept, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	io.WriteString(slow, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	rested := make(chan int, 1)
	go func() { rested <- len(g.rest(time.Minute)) }()
	await(t, "the connection without a request", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.kept) == 1 && len(g.served) == 1
	})
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the server ended with %v", err)
	}
	<-cut
	if n := <-rested; n != 0 {
		t.Errorf("%d connections are left of what is closed", n)
	}
	if _, err := io.ReadAll(kept); err != nil { // the answer, and the end
		t.Errorf("the kept connection: %v", err)
	}
}
