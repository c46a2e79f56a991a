package enginetest

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

// Pair is a new database on a MariaDB that another one replicates by GTID, until the test
// ends. One test at a time has them, in whatever process: it may stop the replication.
type Pair struct {
	// The database's URLs, for a user that has no privileges but its own.
	Writer, Replica *url.URL
	// The servers, as root.
	OnWriter, OnReplica *sql.DB

	t testing.TB
}

// NewPair waits for the Pair. Where it was not started the test is skipped, as by URL.
func NewPair(t testing.TB) *Pair {
	t.Helper()
	p := &Pair{t: t}
	p.Writer, p.OnWriter = p.dial("MYSQL_WRITER")
	p.Replica, p.OnReplica = p.dial("MYSQL_REPLICA")
	conn, err := p.OnWriter.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) // which gives the lock back
	var got int
	if err := conn.QueryRowContext(t.Context(), "SELECT GET_LOCK('replication', 300)").Scan(&got); err != nil || got != 1 {
		t.Fatalf("the pair is taken: %d, %v", got, err)
	}
	name := "addons_pair_" + strings.ToLower(rand.Text()[:12])
	p.Exec(p.OnWriter, "CREATE DATABASE "+name)
	p.Exec(p.OnWriter, "CREATE USER "+name+"@'127.0.0.1'")
	p.Exec(p.OnWriter, "GRANT ALL ON "+name+".* TO "+name+"@'127.0.0.1'")
	t.Cleanup(func() {
		p.GoOn()
		p.Exec(p.OnWriter, "DROP DATABASE "+name)
		p.Exec(p.OnWriter, "DROP USER "+name+"@'127.0.0.1'")
	})
	for _, u := range []*url.URL{p.Writer, p.Replica} {
		u.User, u.Path = url.User(name), "/"+name
	}
	return p
}

func (p *Pair) dial(variable string) (*url.URL, *sql.DB) {
	p.t.Helper()
	u, err := url.Parse(URL(p.t, variable))
	if err != nil {
		p.t.Fatal(err)
	}
	server, err := sql.Open("mysql", "root@tcp("+u.Host+")/")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { server.Close() })
	return u, server
}

// Exec runs a statement on one of the servers.
func (p *Pair) Exec(on *sql.DB, text string) {
	p.t.Helper()
	if _, err := on.Exec(text); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
}

// Stop has the replica stand still until GoOn.
func (p *Pair) Stop() { p.t.Helper(); p.Exec(p.OnReplica, "STOP SLAVE SQL_THREAD") }

// GoOn ends Stop.
func (p *Pair) GoOn() { p.t.Helper(); p.Exec(p.OnReplica, "START SLAVE") }

// CaughtUp waits until the replica has what the writer has committed.
func (p *Pair) CaughtUp() {
	p.t.Helper()
	var position string
	var result int
	err := p.OnWriter.QueryRow("SELECT @@GLOBAL.gtid_binlog_pos").Scan(&position)
	if err == nil {
		err = p.OnReplica.QueryRow("SELECT MASTER_GTID_WAIT(?, 20)", position).Scan(&result)
	}
	if err != nil || result != 0 {
		p.t.Fatalf("replica at %s: %d, %v", position, result, err)
	}
}

// Await waits for what another process or a goroutine does.
func (p *Pair) Await(what string, is func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			p.t.Fatalf("not in time: %s", what)
		}
	}
}
