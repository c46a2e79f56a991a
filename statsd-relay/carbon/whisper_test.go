package carbon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"addons/server/enginetest"
)

// whisper returns the points that Graphite has of a path since a moment, by second.
func whisper(t testing.TB, path string, since time.Time) map[int64]float64 {
	t.Helper()
	query := url.Values{"target": {path}, "from": {fmt.Sprint(since.Unix() - 1)}, "until": {fmt.Sprint(time.Now().Unix() + 1)}, "format": {"json"}, "noCache": {"1"}}
	resp, err := http.Get(enginetest.URL(t, "GRAPHITE") + "/render?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	var series []struct {
		Datapoints [][2]*float64
	}
	if err := json.NewDecoder(resp.Body).Decode(&series); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	points := map[int64]float64{}
	for _, s := range series {
		for _, p := range s.Datapoints {
			if p[0] != nil {
				points[int64(*p[1])] = *p[0]
			}
		}
	}
	return points
}

func TestWhisperHoldsEveryPointOfAnOutage(t *testing.T) {
	t.Parallel()
	for protocol, engine := range map[string]string{"plaintext": "CARBON", "pickle": "CARBON_PICKLE"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			front := enginetest.NewFront(t, enginetest.URL(t, engine))
			c, m := open(t, Config{Addresses: []string{front.Addr}, Protocol: protocol, SpoolDir: t.TempDir(), ReplayRate: 5000})
			run(t, c)
			const times, series = 600, 50 // ten minutes of a flush a second
			first := time.Now().Truncate(time.Second).Add(-times * time.Second)
			name := fmt.Sprintf("outage.%s.%d", protocol, time.Now().UnixNano())
			send := func(from, to int) {
				for i := from; i < to; i++ {
					b := Batch{At: first.Add(time.Duration(i) * time.Second), Points: series}
					for n := range series {
						b.Lines = fmt.Appendf(b.Lines, "%s.s%d;host=a%d %d %d\n", name, n, n%3, i, b.At.Unix())
					}
					c.Send(b)
				}
			}
			send(0, 50)
			eventually(t, "the first to be sent", func() bool { return m.value(t, "waiting") == 0 })
			front.Down()
			eventually(t, "the outage to be seen", func() bool { return m.value(t, "up") == 0 })
			send(50, 500)
			safe(t, c)
			front.Up(t)
			send(500, times)
			eventually(t, "all to be sent", func() bool { return m.value(t, "waiting") == 0 })
			for _, n := range []int{0, 1, series - 1} {
				path := fmt.Sprintf("seriesByTag('name=%s.s%d','host=a%d')", name, n, n%3)
				var got map[int64]float64
				eventually(t, "whisper to hold "+path, func() bool { got = whisper(t, path, first); return len(got) >= times })
				for i := range times {
					if at := first.Unix() + int64(i); got[at] != float64(i) {
						t.Fatalf("%s at %d is %v, want %d", path, at, got[at], i)
					}
				}
			}
			m.expect(t, map[string]float64{"sent": times, "dropped": 0})
		})
	}
}
