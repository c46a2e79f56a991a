package relay

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialAdmin connects to the relay's console.
func dialAdmin(t *testing.T, r *Relay) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", r.AdminAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// command asks over a connection of its own, and returns all up to quit.
func command(t *testing.T, r *Relay, line string) string {
	t.Helper()
	conn := dialAdmin(t, r)
	send(t, conn, "%s\nquit\n", line)
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// entryEnd is between the entries of an object that has one a line.
var entryEnd = regexp.MustCompile(`,\n  (\S)`)

// sorted puts the entries of an object, or the lines of another answer, in order:
// etsy's come in the order of their making. One line or several stays told apart.
func sorted(answer string) string {
	object, rest, ok := strings.Cut(answer, "\nEND\n")
	switch inner := strings.TrimSuffix(object, "\n}"); {
	case !ok || !strings.HasPrefix(object, "{"):
		lines := strings.Split(answer, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	case inner != object:
		entries := strings.Split(entryEnd.ReplaceAllString(strings.TrimPrefix(inner, "{\n  "), "\x00$1"), "\x00")
		slices.Sort(entries)
		return "{\n  " + strings.Join(entries, ",\n  ") + "\n}\nEND" + rest
	default:
		entries := strings.Split(strings.Trim(object, "{ }"), ", ")
		slices.Sort(entries)
		return "{ " + strings.Join(entries, ", ") + " }\nEND" + rest
	}
}

// TestTheConsoleAnswersAsEtsys compares it with what etsy's statsd 0.9.0 answered
// to the same commands after the same datagrams, recorded with
// testdata/etsy/console.mjs.
func TestTheConsoleAnswersAsEtsys(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{UDP: local, Admin: local, Readers: 1, Flush: time.Hour})
	lines := strings.Split(strings.TrimSpace(readFile(t, "console-lines.txt")), "\n")
	sendAll(t, r, dialUDP(t, r), len(lines), func(i int) []byte { return []byte(lines[i]) })
	asked := 0
	recorded := strings.TrimSuffix(strings.TrimPrefix(readFile(t, "console.txt"), "> "), "\n")
	for part := range strings.SplitSeq(recorded, "\n> ") {
		line, want, _ := strings.Cut(part, "\n")
		asked++
		if got := command(t, r, line); sorted(got) != sorted(want+"\n") {
			t.Errorf("%s answers\n%s\nwant\n%s", line, got, want)
		}
	}
	if asked < 15 {
		t.Errorf("only %d commands are recorded", asked)
	}
}

func TestTheConsoleTellsStatsAndConfiguration(t *testing.T) {
	t.Parallel()
	carbon := newFakeCarbon(t)
	r, _ := start(t, Config{UDP: local, Admin: local, Flush: time.Hour, Graphite: Graphite{Addresses: []string{carbon.Address}}})
	sendAll(t, r, dialUDP(t, r), 1, func(int) []byte { return []byte("a:1|c\nbad") })
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stats := command(t, r, "stats")
	for _, want := range []string{`^uptime: \d+\n`, `\nmessages.last_msg_seen: [0-9]+\n`, `\nmessages.bad_lines_seen: 1\n`, `\ngraphite.last_flush: \d+\n`,
		`\ngraphite.last_exception: \d+\n`, `\ngraphite.flush_time: \d+\n`, `\ngraphite.flush_length: [1-9]\d+\nEND\n\n$`} {
		if !regexp.MustCompile(want).MatchString(stats) {
			t.Errorf("stats has no %s:\n%s", want, stats)
		}
	}
	if config := command(t, r, "config"); !strings.Contains(config, "\ngraphite > address: ["+carbon.Address+"]\n") {
		t.Errorf("config is %s", config)
	}
}

func TestTheConsoleIsBounded(t *testing.T) {
	t.Parallel()
	r, stop := start(t, Config{Admin: local, Flush: time.Hour})
	long := dialAdmin(t, r)
	go long.Write([]byte(strings.Repeat("x", 2*adminLine)))
	if _, err := long.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a command without end reads %v, want the connection's end", err)
	}
	long.Close()
	var open []net.Conn
	for range adminConns {
		conn := dialAdmin(t, r)
		eventually(t, "a place", func() bool {
			send(t, conn, "health\n")
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				conn.Close()
				conn = dialAdmin(t, r)
			}
			return line == "health: up\n"
		})
		open = append(open, conn)
	}
	if _, err := dialAdmin(t, r).Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many reads %v, want its end", err)
	}
	if got := value(t, r, "relay_admin_refused_total", ""); got < 1 { // a place may have been awaited, too
		t.Errorf("%v refused connections are counted", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, conn := range open {
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection outlives the relay")
		}
	}
}
