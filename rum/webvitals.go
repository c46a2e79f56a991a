package rum

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// maxValues of one beacon.
const maxValues = 64

// webVital is a metric as the web-vitals library reports it.
// https://github.com/GoogleChrome/web-vitals#metric
type webVital struct {
	Name          string   `json:"name"`
	Value         *float64 `json:"value"`
	ID            string   `json:"id"`
	NavigationURL string   `json:"navigationURL"`
	PageLocation  string   `json:"page_location"` // as in the library's own example
}

// decodeWebVitals reads one metric or an array of them.
func decodeWebVitals(body []byte) ([]Beacon, error) {
	var all list[webVital]
	if err := read(array(body), &all); err != nil {
		return nil, fmt.Errorf("not web-vitals: %w", err)
	}
	beacons := make([]Beacon, 0, len(all))
	for _, v := range all {
		if v.Name == "" || v.Value == nil {
			return nil, errors.New(`not web-vitals: "name" or "value" is missing`)
		}
		b := Beacon{Format: webVitals, URL: v.NavigationURL, ID: v.ID}
		if b.URL == "" {
			b.URL = v.PageLocation
		}
		if b.Vitals.set(v.Name, v.Value) { // another metric is none that we know: FID of old versions, or a site's own
			beacons = append(beacons, b)
		}
	}
	return beacons, nil
}

// array is an array of JSON, made of its only element if there is no array.
func array(body []byte) []byte {
	if bytes.HasPrefix(body, []byte{'['}) {
		return body
	}
	return slices.Concat([]byte{'['}, body, []byte{']'})
}

// set sets a vital by its name, in capitals; false if there is none.
func (v *Vitals) set(name string, value *float64) bool {
	switch name {
	case "LCP":
		v.LCP = value
	case "INP":
		v.INP = value
	case "CLS":
		v.CLS = value
	case "FCP":
		v.FCP = value
	case "TTFB":
		v.setTTFB(value)
	default:
		return false
	}
	return true
}

// setTTFB sets the vital unless it is 0, which the library says of pages that were not asked for:
// returns, soft navigations.
func (v *Vitals) setTTFB(value *float64) {
	if value != nil && *value > 0 {
		v.TTFB = value
	}
}
