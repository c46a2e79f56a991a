package rum

// Ratings of a web vital.
const (
	good             = "good"
	needsImprovement = "needs_improvement"
	poor             = "poor"
)

// thresholds are the greatest values that are good, and that are not poor yet:
// milliseconds, CLS without unit. https://web.dev/articles/vitals
var thresholds = map[string]struct{ good, poor float64 }{
	"lcp": {2500, 4000}, "inp": {200, 500}, "cls": {.1, .25}, "fcp": {1800, 3000}, "ttfb": {800, 1800},
}

// Rating is a vital's, "" of what is none.
func (s Sample) Rating() string {
	limit, ok := thresholds[s.Vital]
	switch {
	case !ok:
		return ""
	case s.Value <= limit.good:
		return good
	case s.Value <= limit.poor:
		return needsImprovement
	}
	return poor
}
