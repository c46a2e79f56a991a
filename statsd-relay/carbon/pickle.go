package carbon

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
)

// pickleFrame bounds a message of carbon's pickle receiver, whose own limit
// (PICKLE_RECEIVER_MAX_LENGTH) is 1 MiB.
const pickleFrame = 256 << 10

// The opcodes of Python's pickle protocol 2 that a list of points needs:
// pickletools.py.
const (
	pickleHead  = "\x80\x02](" // PROTO 2, EMPTY_LIST, MARK
	pickleTail  = "e."         // APPENDS, STOP
	opUnicode   = 'X'          // BINUNICODE: length, UTF-8
	opInt       = 'J'          // BININT: 32 bits, signed
	opLong      = '\x8a'       // LONG1: length, little-endian
	opFloat     = 'G'          // BINFLOAT: big-endian
	opPair      = '\x86'       // TUPLE2
	picklePoint = 5 + 10 + 9 + 2
)

// pickled renders lines of "path value time" as carbon's pickle receiver wants
// them: messages with their length in front, each a list of (path, (time, value)).
// A line that is no point, or has a path that would not fit, is left out.
func pickled(lines []byte) []byte {
	out := make([]byte, 0, len(lines)+len(lines)/4+64)
	start := -1 // of the open message
	for line := range bytes.Lines(lines) {
		path, value, at, ok := parsePoint(line)
		if !ok || len(path) > pickleFrame/2 {
			continue
		}
		if !utf8.Valid(path) { // Python would refuse the whole message
			path = bytes.ToValidUTF8(path, []byte("?"))
		}
		if start >= 0 && len(out)-start+len(path)+picklePoint+len(pickleTail) > pickleFrame {
			out = closeMessage(out, start)
			start = -1
		}
		if start < 0 {
			start = len(out)
			out = append(append(out, 0, 0, 0, 0), pickleHead...)
		}
		out = appendPoint(out, path, value, at)
	}
	if start >= 0 {
		out = closeMessage(out, start)
	}
	return out
}

func closeMessage(out []byte, start int) []byte {
	out = append(out, pickleTail...)
	binary.BigEndian.PutUint32(out[start:], uint32(len(out)-start-4))
	return out
}

func appendPoint(out, path []byte, value float64, at int64) []byte {
	out = append(out, opUnicode)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(path)))
	out = append(out, path...)
	if at == int64(int32(at)) {
		out = append(out, opInt)
		out = binary.LittleEndian.AppendUint32(out, uint32(int32(at)))
	} else {
		out = append(out, opLong, 8)
		out = binary.LittleEndian.AppendUint64(out, uint64(at))
	}
	out = append(out, opFloat)
	out = binary.BigEndian.AppendUint64(out, math.Float64bits(value))
	return append(out, opPair, opPair)
}

// parsePoint reads "path value time".
func parsePoint(line []byte) (path []byte, value float64, at int64, ok bool) {
	path, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	number, seconds, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || len(path) == 0 {
		return nil, 0, 0, false
	}
	value, err := strconv.ParseFloat(string(number), 64)
	at, err2 := strconv.ParseInt(string(seconds), 10, 64)
	return path, value, at, err == nil && err2 == nil
}
