package rum

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"

	"github.com/go-json-experiment/json" // encoding/json/v2 before Go has it: half the time of encoding/json on beacons
	"github.com/go-json-experiment/json/jsontext"
)

var errTooLarge = errors.New("too large")

// bodyOf reads a request's body, of which it never has more than maxInflated in memory.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return atMost(r.Body, maxBytes)
	}
	zipped, err := atMost(r.Body, maxBytes)
	if err != nil {
		return nil, err
	}
	plain, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		return nil, err
	}
	return atMost(plain, maxInflated)
}

func atMost(from io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, most+1))
	if err == nil && int64(len(body)) > most {
		err = errTooLarge
	}
	return body, err
}

// decode tells the formats apart by what is in them.
func decode(r *http.Request, body []byte) ([]Beacon, error) {
	if r.Method == http.MethodGet || isForm(r) {
		b, err := DecodeBoomerang(formOf(r, body))
		return []Beacon{b}, err
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, errors.New("not a beacon: it is empty")
	}
	format, err := formatOf(body)
	if err != nil {
		return nil, fmt.Errorf("not a beacon: %w", err)
	}
	switch format {
	case faro:
		return decodeFaro(body)
	case reports:
		return decodeReports(body)
	case webVitals:
		return decodeWebVitals(body)
	}
	b, err := Decode(body)
	return []Beacon{b}, err
}

// readers of JSON, which are large, for one body after the other.
var readers = sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewReader(nil)) }}

// formatOf tells the formats apart by the names in the first object, up to the one that does.
func formatOf(body []byte) (string, error) {
	in := readers.Get().(*jsontext.Decoder)
	defer func() {
		in.Reset(bytes.NewReader(nil)) // or it would keep the body
		readers.Put(in)
	}()
	in.Reset(bytes.NewBuffer(body), lenient)
	if in.PeekKind() == jsontext.KindBeginArray {
		in.ReadToken()
	}
	if in.PeekKind() != jsontext.KindBeginObject {
		if _, err := in.ReadToken(); err != nil {
			return "", err
		}
		return "", errors.New("an object is missing")
	}
	in.ReadToken()
	for in.PeekKind() == jsontext.KindString {
		name, err := in.ReadValue()
		if err != nil {
			return "", err
		}
		switch string(name) {
		case `"meta"`:
			return faro, nil
		case `"csp-report"`, `"body"`:
			return reports, nil
		case `"name"`:
			return webVitals, nil
		}
		if err := in.SkipValue(); err != nil {
			return "", err
		}
	}
	return own, nil // what else may be wrong is found by who reads it
}

// lenient takes what browsers can send and JavaScript does not mind: a half of a surrogate pair, a name twice.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// read reads a body's JSON into to, in which names are as they are on the wire, capitals and all.
func read(body []byte, to any) error { return json.Unmarshal(body, to, lenient) }

// isForm says whether the body is a form's.
func isForm(r *http.Request) bool {
	typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && typ == "application/x-www-form-urlencoded"
}

// formOf is the query, or the body of a POST.
func formOf(r *http.Request, body []byte) string {
	if r.Method == http.MethodPost {
		return string(body)
	}
	return r.URL.RawQuery
}
