package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// takesLocalData says whether the server takes rows by LOAD DATA LOCAL, which MySQL
// refuses unless local_infile is on. MariaDB's default is on.
func (db *DB) takesLocalData(ctx context.Context) (bool, error) {
	if db.name != "mysql" {
		return false, nil
	}
	var on bool
	err := db.latest().one(ctx, qBulkState, "SELECT @@GLOBAL.local_infile", into{&on})
	return on, err
}

// loadLocal inserts rows by LOAD DATA LOCAL, which measured 1.6 times as quick as
// INSERTs of 100 rows. The server makes warnings of what are errors elsewhere, and
// leaves out rows whose key is taken: both are errors here.
func (h handle) loadLocal(ctx context.Context, q query, t table, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	name := rand.Text()
	mysql.RegisterReaderHandler(name, func() io.Reader { return &lines{rows: rows} })
	defer mysql.DeregisterReaderHandler(name)
	changed, err := h.exec(ctx, q, "LOAD DATA LOCAL INFILE 'Reader::"+name+"' INTO TABLE "+t.name+
		" CHARACTER SET utf8mb4 FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ("+strings.Join(t.columns, ", ")+")")
	if err != nil {
		return err
	}
	var warnings int
	if err := h.one(ctx, q, "SELECT @@warning_count", into{&warnings}); err != nil {
		return err
	}
	if changed != int64(len(rows)) || warnings > 0 {
		return fmt.Errorf("%s took %d of %d rows, with %d warnings", t.name, changed, len(rows), warnings)
	}
	return nil
}

// lines renders rows for LOAD DATA as they are read.
type lines struct {
	rows [][]any
	buf  []byte // rendered, not yet read
	at   int    // of buf
}

// lineBuffer (bytes) is about how much is rendered at a time.
const lineBuffer = 64 << 10

// Read is io.Reader's.
func (l *lines) Read(p []byte) (int, error) {
	if l.at == len(l.buf) {
		l.buf, l.at = l.buf[:0], 0
		for len(l.rows) > 0 && len(l.buf) < lineBuffer {
			l.buf = appendLine(l.buf, l.rows[0])
			l.rows = l.rows[1:]
		}
	}
	if len(l.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.buf[l.at:])
	l.at += n
	return n, nil
}

func appendLine(line []byte, row []any) []byte {
	for i, v := range row {
		if i > 0 {
			line = append(line, '\t')
		}
		line = appendField(line, v)
	}
	return append(line, '\n')
}

func appendField(line []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendEscaped(line, v)
	case int:
		return strconv.AppendInt(line, int64(v), 10)
	case int64:
		return strconv.AppendInt(line, v, 10)
	case bool:
		return strconv.AppendInt(line, boolInt(v), 10)
	case float64:
		return strconv.AppendFloat(line, v, 'g', -1, 64)
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.String { // catalog's own kinds of them
		return appendEscaped(line, r.String())
	}
	panic(fmt.Sprintf("store: a row holds a %T", v))
}

// appendEscaped escapes what LOAD DATA takes for the end of a field or a line.
func appendEscaped(line []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '\\', '\t', '\n':
			line = append(line, '\\')
			fallthrough
		default:
			line = append(line, c)
		}
	}
	return line
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
