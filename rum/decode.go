package rum

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
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
	// As little of the first one as tells them apart.
	var first struct {
		Name      json.RawMessage `json:"name"`
		Meta      json.RawMessage `json:"meta"`
		Body      json.RawMessage `json:"body"`
		CSPReport json.RawMessage `json:"csp-report"`
	}
	if body[0] == '[' {
		in := json.NewDecoder(bytes.NewReader(body[1:]))
		if err := in.Decode(&first); err != nil {
			return nil, fmt.Errorf("not a beacon: %w", err)
		}
	} else if err := json.Unmarshal(body, &first); err != nil {
		return nil, fmt.Errorf("not a beacon: %w", err)
	}
	switch {
	case first.Meta != nil:
		return decodeFaro(body)
	case first.CSPReport != nil, first.Body != nil:
		return decodeReports(body)
	case first.Name != nil:
		return decodeWebVitals(body)
	}
	b, err := Decode(body)
	return []Beacon{b}, err
}

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
