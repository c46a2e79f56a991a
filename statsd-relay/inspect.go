package relay

import (
	"bufio"
	"math"
	"strconv"
	"strings"
)

// The management console prints objects as Node's util.inspect does, because that
// is what etsy's statsd answers with: scripts read it. Its rules are those of
// Node 20: lines of 80 columns, 100 elements of an array, six or fewer elements
// in a row as they are, more of them in columns.
const (
	inspectColumns = 80
	inspectMost    = 100
	inspectRow     = 6
)

// inspectValues prints an object of numbers.
func inspectValues(out *bufio.Writer, all []point) {
	entries := make([]string, len(all))
	for i, p := range all {
		entries[i] = inspectKey(p.key) + ": " + inspectNumber(p.value)
	}
	inspectObject(out, entries)
}

// inspectTimers prints an object of arrays of numbers.
func inspectTimers(out *bufio.Writer, all []timerValues) {
	entries := make([]string, len(all))
	for i, t := range all {
		entries[i] = inspectKey(t.key) + ": " + inspectArray(t)
	}
	inspectObject(out, entries)
}

// inspectObject prints the entries in one line, if they fit, else one a line.
func inspectObject(out *bufio.Writer, entries []string) {
	switch line := strings.Join(entries, ", "); {
	case len(entries) == 0:
		out.WriteString("{}")
	case fits(entries, 0) && !strings.Contains(line, "\n"):
		out.WriteString("{ " + line + " }")
	default:
		out.WriteString("{\n  ")
		for i, e := range entries {
			if i > 0 {
				out.WriteString(",\n  ")
			}
			out.WriteString(e)
		}
		out.WriteString("\n}")
	}
	out.WriteString("\nEND\n\n")
}

// fits says whether entries stand in one line: braces and what is before them
// are taken for 11 columns, and each entry has a comma, and room to spare for one.
func fits(entries []string, indent int) bool {
	total := 2*len(entries) + indent + 11
	if total+len(entries) > inspectColumns {
		return false
	}
	for _, e := range entries {
		total += len(e)
	}
	return total <= inspectColumns
}

// inspectArray prints a timer's values, as the value of a key of an object.
func inspectArray(t timerValues) string {
	if len(t.values) == 0 && t.more == 0 {
		return "[]"
	}
	const indent = 2 // of the object's entries
	elements := make([]string, 0, len(t.values)+1)
	for _, v := range t.values {
		elements = append(elements, inspectNumber(v))
	}
	more := ""
	if t.more == 1 {
		more = "... 1 more item"
	} else if t.more > 1 {
		more = "... " + strconv.Itoa(t.more) + " more items"
	}
	lines := elements
	if n := len(elements); n > inspectRow || more != "" && n >= inspectRow {
		lines = inColumns(elements, indent, more)
	}
	grouped := len(lines) != len(elements)
	if more != "" {
		lines = append(lines, more)
	}
	if !grouped && fits(lines, indent) {
		return "[ " + strings.Join(lines, ", ") + " ]"
	}
	return "[\n    " + strings.Join(lines, ",\n    ") + "\n  ]"
}

// inColumns puts short elements into as many columns as come nearest to a square,
// each as wide as its widest and aligned right.
func inColumns(elements []string, indent int, more string) []string {
	const separator = 2 // comma and blank
	total, widest := 0, 0
	for _, e := range elements {
		total += len(e) + separator
		widest = max(widest, len(e))
	}
	cell := widest + separator
	if cell*3+indent >= inspectColumns || float64(total)/float64(cell) <= 5 && widest > 6 {
		return elements
	}
	n := len(elements)
	if more != "" {
		n++ // the note counts in the average
	}
	const tall = 2.5 // a character is so much higher than wide
	biased := math.Max(float64(cell)-3-math.Sqrt(float64(cell)-float64(total)/float64(n)), 1)
	columns := min(
		int(math.Floor(math.Sqrt(tall*biased*float64(len(elements)))/biased+.5)),
		(inspectColumns-indent)/cell, 12, 15)
	if columns <= 1 {
		return elements
	}
	widths := make([]int, columns)
	for i, e := range elements {
		widths[i%columns] = max(widths[i%columns], len(e))
	}
	var rows []string
	for i := 0; i < len(elements); i += columns {
		row := elements[i:min(i+columns, len(elements))]
		padded := make([]string, len(row))
		for j, e := range row {
			padded[j] = strings.Repeat(" ", widths[j]-len(e)) + e
		}
		rows = append(rows, strings.Join(padded, ", "))
	}
	return rows
}

// inspectKey quotes what is no identifier.
func inspectKey(key string) string {
	for i, c := range []byte(key) {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return "'" + key + "'"
		}
	}
	return key
}

// inspectNumber prints v as JavaScript does.
func inspectNumber(v float64) string {
	if v == 0 && math.Signbit(v) {
		return "-0"
	}
	if a := math.Abs(v); a >= 1e21 || a < 1e-6 && a > 0 {
		text := strconv.FormatFloat(v, 'e', -1, 64)
		return strings.Replace(strings.Replace(text, "e-0", "e-", 1), "e+0", "e+", 1)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
