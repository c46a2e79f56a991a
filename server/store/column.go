package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// What a column can't hold as it is: JSON and times.

// asJSON renders a value for a JSON column. The values are ours: maps, lists and
// structs of strings and numbers.
func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store: %T as JSON: %v", v, err))
	}
	return string(b)
}

// fromJSON reads a JSON column into what to points at.
func fromJSON(to any) *jsonColumn { return &jsonColumn{to} }

type jsonColumn struct{ to any }

// Scan is called by the driver.
func (c *jsonColumn) Scan(value any) error {
	switch v := value.(type) {
	case string:
		return json.Unmarshal([]byte(v), c.to)
	case []byte:
		return json.Unmarshal(v, c.to)
	}
	return fmt.Errorf("JSON column holds a %T", value)
}

// seconds renders a time; the zero time is 0.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// fromSeconds reads a column written by seconds.
func fromSeconds(to *time.Time) *timeColumn { return &timeColumn{to, time.Second} }

// micros renders a time with more care, for the queue.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros reads a column written by micros.
func fromMicros(to *time.Time) *timeColumn { return &timeColumn{to, time.Microsecond} }

type timeColumn struct {
	to   *time.Time
	unit time.Duration
}

// Scan is called by the driver.
func (c *timeColumn) Scan(value any) error {
	var n int64
	switch v := value.(type) {
	case int64:
		n = v
	case []byte:
		if _, err := fmt.Sscan(string(v), &n); err != nil {
			return fmt.Errorf("time column: %w", err)
		}
	default:
		return fmt.Errorf("time column holds a %T", value)
	}
	switch {
	case n == 0:
		*c.to = time.Time{}
	case c.unit == time.Second:
		*c.to = time.Unix(n, 0).UTC()
	default:
		*c.to = time.UnixMicro(n).UTC()
	}
	return nil
}
