package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// quick is a connection whose client, before its server knows that the first answer is written,
// has it and has sent the next request.
type quick struct {
	net.Conn
	next sync.Once
	send func()
	came chan int // what Read has returned
}

func (q *quick) Read(b []byte) (int, error) {
	n, err := q.Conn.Read(b)
	q.came <- n
	return n, err
}

func (q *quick) Write(b []byte) (int, error) {
	n, err := q.Conn.Write(b)
	q.next.Do(func() {
		<-q.came // the first request
		q.send()
		<-q.came // and the first byte of the next one, which the server looks at only later
	})
	return n, err
}

// TestARestLosesNothingOfARequestThatComesRightAfterAnAnswer has a rest begin when the server
// has read a byte of a request, and not yet called its connection idle.
func TestARestLosesNothingOfARequestThatComesRightAfterAnAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := dialed(t, l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	request := func() { io.WriteString(client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") }
	g := newGate(l, []net.Conn{&quick{Conn: conn, send: request, came: make(chan int, 100)}})
	rested := make(chan int, 1)
	var rest sync.Once
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Method) }),
		ConnState: func(conn net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				rest.Do(func() {
					go func() { rested <- len(g.rest(10 * time.Second)) }()
					await(t, "the rest", func() bool {
						g.mu.Lock()
						defer g.mu.Unlock()
						return g.resting
					})
				})
			}
			g.state(conn, s)
		},
	}
	go server.Serve(g)
	defer server.Close()
	request()
	if n := <-rested; n != 1 {
		t.Errorf("%d connections are left, want the one", n)
	}
	g.wake()
	answers := bufio.NewReader(client)
	for n := range 2 {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if method, err := io.ReadAll(resp.Body); string(method) != "POST" || err != nil {
			t.Errorf("request %d was %s, %v", n+1, method, err)
		}
	}
}

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
