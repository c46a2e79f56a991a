package rum_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"addons/rum"
)

// drain is a sink that keeps nothing, as cheap as can be.
type drain struct{}

func (drain) Timing(string, float64) {}
func (drain) Count(string, float64)  {}

// BenchmarkEndpoint sends boomerang's beacons over 8 connections, as fast as they are
// answered, and reports how many a second and how long the slowest in a hundred took.
// The senders share the processors.
func BenchmarkEndpoint(b *testing.B) {
	pageOf := func(string) string { return "cart" }
	h := rum.NewHandler(rum.Config{Pages: []string{"cart"}, PageOf: pageOf, PerSecond: 1 << 30}, prometheus.NewRegistry(), drain{}, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(h)
	defer server.Close()
	request := fmt.Appendf(nil, "POST /rum HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", form, len(boomerangForm), boomerangForm)
	const conns = 8
	each := (b.N + conns - 1) / conns
	took := make([][]time.Duration, conns)
	var sending sync.WaitGroup
	start := time.Now()
	for c := range conns {
		sending.Go(func() {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for range each {
				began := time.Now()
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				resp, err := http.ReadResponse(answers, nil)
				if err != nil || resp.StatusCode != http.StatusNoContent {
					b.Error(err, resp)
					return
				}
				took[c] = append(took[c], time.Since(began))
			}
		})
	}
	sending.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(len(all))/time.Since(start).Seconds(), "beacons/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "ms-p99")
}

// BenchmarkFormats is what a beacon of each client costs from the request's body to the stores, without a
// connection.
func BenchmarkFormats(b *testing.B) {
	for _, c := range []struct{ name, contentType, body string }{
		{"boomerang", form, boomerangForm}, {"web-vitals", "", vitalsArray}, {"Faro", "", faroBody}, {"own", "", detailed},
	} {
		b.Run(c.name, func(b *testing.B) {
			pageOf := func(string) string { return "cart" }
			h := rum.NewHandler(rum.Config{Pages: []string{"cart"}, PageOf: pageOf, PerSecond: 1 << 30}, prometheus.NewRegistry(), drain{}, slog.New(slog.DiscardHandler))
			b.ReportAllocs()
			for b.Loop() {
				if w := ask(h.ServeHTTP, "POST", "/rum", c.contentType, c.body); w.Code >= 300 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
