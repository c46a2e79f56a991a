package xpi

import (
	"bytes"
	"encoding/json"
	"errors"
)

// object is a JSON object. Its keys are case-sensitive and a value of another
// type than asked for is none, as Firefox treats most of a manifest.
type object map[string]json.RawMessage

// parseObject reads what Firefox reads: JSON with // comments, and a byte order mark.
func parseObject(text []byte) (object, error) {
	text, err := stripComments(bytes.TrimPrefix(text, []byte("\ufeff")))
	if err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("it is null, not an object")
	}
	return o, nil
}

// stripComments removes // to the end of the line outside strings, and nothing
// else: stripCommentsFromJSON in Firefox's Extension.sys.mjs.
func stripComments(text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte("//")) {
		return text, nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			end := stringEnd(text, i)
			if end < 0 {
				return nil, errors.New("a string has no end")
			}
			out = append(out, text[i:end+1]...)
			i = end
		case text[i] == '/' && i+1 < len(text) && text[i+1] == '/':
			n := bytes.IndexByte(text[i:], '\n')
			if n < 0 {
				return out, nil
			}
			i += n - 1 // the line break stays
		default:
			out = append(out, text[i])
		}
	}
	return out, nil
}

// stringEnd returns where the string that begins at start ends, -1 if nowhere.
func stringEnd(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

func (o object) has(key string) bool {
	v, ok := o[key]
	return ok && string(v) != "null"
}

func (o object) text(key string) string {
	var s string
	if json.Unmarshal(o[key], &s) != nil {
		return ""
	}
	return s
}

func (o object) number(key string) int {
	var n int
	if json.Unmarshal(o[key], &n) != nil {
		return 0
	}
	return n
}

func (o object) object(key string) object {
	var inner object
	if json.Unmarshal(o[key], &inner) != nil {
		return nil
	}
	return inner
}

func (o object) objects(key string) []object {
	var raws []json.RawMessage
	if json.Unmarshal(o[key], &raws) != nil {
		return nil
	}
	var all []object
	for _, raw := range raws {
		var inner object
		if json.Unmarshal(raw, &inner) == nil && inner != nil {
			all = append(all, inner)
		}
	}
	return all
}

// texts returns the strings of a list, leaving out what is none.
func (o object) texts(key string) []string {
	var raws []json.RawMessage
	if json.Unmarshal(o[key], &raws) != nil {
		return nil
	}
	var all []string
	for _, raw := range raws {
		var s string
		if json.Unmarshal(raw, &s) == nil && s != "" {
			all = append(all, s)
		}
	}
	return all
}
