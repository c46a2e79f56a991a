package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/smira/go-statsd"

	"addons/server/metrics"
)

// statsdAddress is host:port of where the statsd lines go, "" for nowhere.
func (s *Server) statsdAddress() (string, error) {
	switch raw := s.config.Statsd; {
	case raw == "none:":
		return "", nil
	case raw == "" && s.relay == nil:
		return "", nil
	case raw == "":
		udp, _ := s.relay.Addr()
		if udp == nil {
			return "", nil
		}
		return udp.String(), nil
	default:
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "udp" || u.Port() == "" || u.Path != "" {
			return "", fmt.Errorf("--statsd %q: want udp://host:port, none: or nothing for the relay of this process", raw)
		}
		return u.Host, nil
	}
}

// newStatsd returns a client that comes back soon after its receiver does and
// rides out a moment's absence: with the library's own five seconds and ten
// packets, one second without a receiver loses half the counters.
func newStatsd(address string, log *slog.Logger) *statsd.Client {
	return statsd.NewClient(address,
		statsd.RetryTimeout(200*time.Millisecond),
		statsd.SendQueueCapacity(1000),
		statsd.BufPoolCapacity(100),
		statsd.ReconnectInterval(time.Minute), // so that a moved host is found again
		statsd.ReportInterval(0),              // exported instead, see exportLostPackets
		statsd.Logger(printf{log}))
}

// printf is the client's idea of a logger.
type printf struct{ log *slog.Logger }

func (p printf) Printf(format string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok && errors.Is(err, context.Canceled) {
			return // closed while it connected, as by a start that fails: no news
		}
	}
	p.log.Warn("statsd", "message", fmt.Sprintf(format, args...))
}

// exportLostPackets counts what the client could not send. It counts packets of
// up to 1,432 bytes, not lines.
func exportLostPackets(reg *metrics.Registry, client *statsd.Client) {
	reg.Prometheus().MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "addons_statsd_lost_packets_total",
		Help: "Packets of statsd lines that were dropped because they could not be sent in time.",
	}, func() float64 {
		if client == nil {
			return 0
		}
		return float64(client.GetLostPackets())
	}))
}
