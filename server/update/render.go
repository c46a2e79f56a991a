package update

import "encoding/json"

// appendManifest appends the JSON of a manifest of one add-on: the bytes that
// json.Marshal makes of it, in a tenth of the time.
func appendManifest(b []byte, guid string, offers ...offer) []byte {
	b = append(appendString(append(b, `{"addons":{`...), guid), `:{"updates":[`...)
	for i, o := range offers {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendOffer(b, o)
	}
	return append(b, `]}}}`...)
}

func appendOffer(b []byte, o offer) []byte {
	b = appendString(append(b, `{"version":`...), o.Version)
	b = appendString(append(b, `,"update_link":`...), o.Link)
	b = append(b, `,"applications":{"gecko":{`...)
	gecko := len(b)
	b = appendField(b, gecko, "strict_min_version", o.Applications.Gecko.Min)
	b = appendField(b, gecko, "strict_max_version", o.Applications.Gecko.Max)
	b = append(b, `}}`...)
	b = appendField(b, 0, "update_hash", o.Hash)
	b = appendField(b, 0, "update_info_url", o.Info)
	return append(b, '}')
}

// appendField appends a field, unless its value is empty; the object's first one, which
// begins at first, without a comma.
func appendField(b []byte, first int, name, value string) []byte {
	if value == "" {
		return b
	}
	if len(b) > first {
		b = append(b, ',')
	}
	return appendString(append(append(append(b, '"'), name...), `":`...), value)
}

// appendString appends a JSON string. What needs no escape, as nearly all, is copied.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // of a string there is no error
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
