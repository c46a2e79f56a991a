//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// beacon is what a kind of client sends of a page view.
type beacon struct {
	name                            string
	method, target, mediatype, body string
}

// boomerang is a page's beacon of boomerang 1.815, over a new connection with TLS.
const boomerang = "rt.start=navigation&rt.tstart=1790000000000&rt.end=1790000001480&t_resp=212&t_page=1268&t_done=1480&nt_nav_st=1790000000000" +
	"&nt_fet_st=1790000000003&nt_dns_st=1790000000004&nt_dns_end=1790000000021&nt_con_st=1790000000021&nt_ssl_st=1790000000040&nt_con_end=1790000000066" +
	"&nt_req_st=1790000000067&nt_res_st=1790000000212&nt_res_end=1790000000240&nt_domloading=1790000000250&nt_domint=1790000000700&nt_domcontloaded_st=1790000000701" +
	"&nt_domcontloaded_end=1790000000712&nt_domcomp=1790000001470&nt_load_st=1790000001471&nt_load_end=1790000001480&nt_nav_type=0&nt_protocol=h2" +
	"&pt.fcp=652&pt.lcp=1190&c.cls=0.034&mob.etype=4g&u=https%3A%2F%2Fshop.example%2Fcart&v=1.815.1&n=1&vis.st=visible&sb=1"

// stick is what django-statsd's stick.js sends.
const stick = "client=stick&window.performance.timing.navigationStart=1790000000000&window.performance.timing.responseStart=1790000000212" +
	"&window.performance.timing.domLoading=1790000000230&window.performance.timing.domInteractive=1790000000700&window.performance.timing.domComplete=1790000001470" +
	"&window.performance.timing.loadEventEnd=1790000001480&window.performance.navigation.redirectCount=0&window.performance.navigation.type=0"

const formType = "application/x-www-form-urlencoded"

// Names of beacons.
const (
	getBoomerang = "boomerang by GET"
	postStick    = "stick by POST"
	ownBoomerang = "boomerang by POST"
	webVitals    = "web-vitals, two metrics"
	faro         = "Faro, one vital and the navigation"
)

var beacons = []beacon{
	{getBoomerang, "GET", "/services/timing/record?client=boomerang&" + boomerang, "", ""},
	{postStick, "POST", "/services/timing/record", formType, stick},
	{ownBoomerang, "POST", "/rum", formType, boomerang},
	{webVitals, "POST", "/rum", "text/plain;charset=UTF-8", `[{"name":"LCP","value":1190.4,"rating":"good","delta":1190.4,"id":"v6-1790000001480-@@@@@@@@@@@@@","navigationType":"navigate","navigationURL":"https://shop.example/cart","entries":[]},` +
		`{"name":"CLS","value":0.034,"rating":"good","delta":0.034,"id":"v6-1790000001481-@@@@@@@@@@@@@","navigationType":"navigate","navigationURL":"https://shop.example/cart","entries":[]}]`},
	{faro, "POST", "/collect", "application/json", `{"meta":{"app":{"name":"shop","environment":"prod"},"session":{"id":"Zk3v9QpLmA"},"page":{"url":"https://shop.example/cart"},"browser":{"name":"Firefox","mobile":false}},` +
		`"measurements":[{"type":"web-vitals","values":{"lcp":1190.4,"delta":1190.4,"time_to_first_byte":212},"context":{"id":"v6-1790000001480-@@@@@@@@@@@@@","rating":"good"}}],` +
		`"events":[{"name":"faro.performance.navigation","domain":"browser","attributes":{"ttfb":"212","dnsLookupTime":"17","tcpHandshakeTime":"45","tlsNegotiationTime":"26","redirectTime":"0","requestTime":"145","pageLoadTime":"1467","type":"navigate"}}]}`},
}

// own stands for what each page view has of its own in an identifier.
const own = "@@@@@@@@@@@@@"

// patience is how long after the end an answer may take.
const patience = 30 * time.Second

// request is the beacon as it goes over the wire.
func (b beacon) request(address string) []byte {
	head := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\nAccept: */*\r\nAccept-Language: de,en;q=0.5\r\n", b.method, b.target, address)
	if b.body != "" {
		head = fmt.Appendf(head, "Content-Type: %s\r\nContent-Length: %d\r\n", b.mediatype, len(b.body))
	}
	return append(append(head, "\r\n"...), b.body...)
}

// send sends the request over and over, and returns how long each took.
func send(ctx context.Context, address string, request []byte, conns int, lasts time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	took, errs := make([][]time.Duration, conns), make([]error, conns)
	var sending sync.WaitGroup
	for i := range conns {
		sending.Go(func() { took[i], errs[i] = sendOver(ctx, address, bytes.Clone(request), 1e10*i) })
	}
	sending.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return nil, fmt.Errorf("no answer in %v", lasts)
	}
	return all, nil
}

// sendOver uses one connection, and another when the peer closes it, as gunicorn may.
// Its page views are numbered from first.
func sendOver(ctx context.Context, address string, request []byte, first int) (took []time.Duration, err error) {
	took = make([]time.Duration, 0, 1<<16)
	var marks []int
	for i := range request {
		if bytes.HasPrefix(request[i:], []byte(own)) {
			marks = append(marks, i)
		}
	}
	var conn net.Conn
	var answers *bufio.Reader
	for ctx.Err() == nil {
		for _, at := range marks {
			copy(request[at:], fmt.Sprintf("%013d", first+len(took)))
		}
		start := time.Now()
		if conn == nil {
			if conn, err = net.Dial("tcp", address); err != nil {
				return nil, err
			}
			end, _ := ctx.Deadline()
			conn.SetDeadline(end.Add(patience))
			answers = bufio.NewReader(conn)
		}
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		closes, err := readAnswer(answers)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		if closes {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
	return took, nil
}

// readAnswer reads an answer, which is a success or an error. It is net/http's work with less
// time, for the sender shares the peer's processors.
func readAnswer(r *bufio.Reader) (closes bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 2")) {
		return false, fmt.Errorf("the answer is %q", line)
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		name, value, ok := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		switch {
		case len(name) == 0:
			_, err = r.Discard(length)
			return closes, err
		case ok && bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return false, err
			}
		case ok && bytes.EqualFold(name, []byte("connection")):
			closes = bytes.EqualFold(value, []byte("close"))
		}
	}
}
