package rum

import (
	"errors"
	"strings"
)

// maxParameters of a form: boomerang sends some 150, and more are no beacon.
const maxParameters = 512

var errParameters = errors.New("more parameters than a beacon has")

// eachParameter calls f with each parameter of a form or query, as they are on the
// wire: a name that we know needs no escapes.
func eachParameter(form string, f func(name, value string)) error {
	for n := 0; form != ""; n++ {
		if n == maxParameters {
			return errParameters
		}
		var one string
		one, form, _ = strings.Cut(form, "&")
		name, value, _ := strings.Cut(one, "=")
		f(name, value)
	}
	return nil
}

// parameter returns the first of that name, "" if there is none.
func parameter(form, name string) (value string) {
	for form != "" {
		var one string
		one, form, _ = strings.Cut(form, "&")
		if n, v, _ := strings.Cut(one, "="); n == name {
			return v
		}
	}
	return ""
}
