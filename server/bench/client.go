package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// client is one connection to the server that is measured. It does only what HTTP
// needs, so that most of the machine is left for the server.
type client struct {
	conn net.Conn
	buf  []byte
	have int // bytes in buf
}

// patience is how long an answer may take.
const patience = 10 * time.Second

func dial(ctx context.Context, address string) (*client, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, buf: make([]byte, 64<<10)}, nil
}

// answer is what came. Body is good until the next request.
type answer struct {
	status int
	body   []byte
}

var errAnswer = errors.New("an answer that is no HTTP/1.1 with Content-Length")

// do sends a request and reads the answer. After an error the connection is of no use.
func (c *client) do(request []byte) (a answer, err error) {
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(request); err != nil {
		return a, err
	}
	c.have = 0
	head := -1
	for head < 0 {
		if err := c.more(); err != nil {
			return a, err
		}
		head = bytes.Index(c.buf[:c.have], []byte("\r\n\r\n"))
	}
	header := c.buf[:head+2]
	if len(header) < 12 || string(header[:9]) != "HTTP/1.1 " {
		return a, errAnswer
	}
	if a.status, err = strconv.Atoi(string(header[9:12])); err != nil {
		return a, errAnswer
	}
	length := 0
	if a.status != 304 {
		_, after, ok := bytes.Cut(header, []byte("\r\nContent-Length: "))
		if !ok {
			return a, fmt.Errorf("status %d: %w", a.status, errAnswer)
		}
		digits, _, _ := bytes.Cut(after, []byte("\r\n"))
		if length, err = strconv.Atoi(string(digits)); err != nil || head+4+length > len(c.buf) {
			return a, errAnswer
		}
	}
	for c.have < head+4+length {
		if err := c.more(); err != nil {
			return a, err
		}
	}
	a.body = c.buf[head+4 : head+4+length]
	return a, nil
}

func (c *client) more() error {
	if c.have == len(c.buf) {
		return errAnswer
	}
	n, err := c.conn.Read(c.buf[c.have:])
	c.have += n
	return err
}

func (c *client) close() { c.conn.Close() }
