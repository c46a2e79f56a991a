package rum

import "time"

// View is one page view of the site's own script, for who looks at single ones. It
// says nothing of the visitor.
type View struct {
	At                             time.Time // when its beacon came
	Page, Device, Connection, Type string
	Trace                          string // of the page's response; "" if it is not known
	Samples                        []Sample
	Nav                            Navigation
}

// NotGood are the vitals that are worse than good.
func (v View) NotGood() (all []Sample) {
	for _, s := range v.Samples {
		if r := s.Rating(); r == needsImprovement || r == poor {
			all = append(all, s)
		}
	}
	return all
}

// Vital returns a vital, false if it was not measured.
func (v View) Vital(name string) (value float64, ok bool) {
	for _, s := range v.Samples {
		if s.Vital == name {
			return s.Value, true
		}
	}
	return 0, false
}
