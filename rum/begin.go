package rum

import "slices"

// begin makes at zero the series that alerts watch: rate and increase see nothing of what a
// series is born with, which may be all that there is of an incident. Of what is capped it
// takes half of the label sets at the most, and leaves out what does not fit: the rest is for
// what really comes.
func (m *instruments) begin(cfg Config, most int) {
	for phase, types := range networkErrors {
		for _, typ := range append(slices.Clone(types), other) {
			m.network.WithLabelValues(phase, typ)
		}
	}
	m.network.WithLabelValues(other, other)

	left := most / 2
	whole := func(sets [][]string, in func(values ...string)) {
		if len(sets) > left {
			return
		}
		left -= len(sets)
		for _, values := range sets {
			in(values...)
		}
	}
	errors := func(values ...string) { m.errors.with(values...) }
	views := func(values ...string) { m.views.with(values...) }
	ratings := func(values ...string) { m.ratings.with(values...) }
	whole(ratingsOf(unknown), ratings)
	for _, page := range append(slices.Clone(cfg.Pages), other) {
		whole(product([]string{page}, sources), views)
		whole(product([]string{page}, kinds, peoplesDevices), errors)
	}
	if cfg.CountryHeader == "" {
		return
	}
	for _, country := range append(slices.Clone(cfg.Countries), other) {
		whole(ratingsOf(country), ratings)
	}
}

// ratingsOf are the label sets of all ratings in a country.
func ratingsOf(country string) [][]string {
	var vitals, families []string
	for _, v := range vitalBuckets {
		vitals = append(vitals, v.vital)
	}
	for _, b := range browsers {
		families = append(families, b.family)
	}
	return product(vitals, []string{good, needsImprovement, poor}, families, []string{country})
}

// product has a value of each set, in all ways.
func product(sets ...[]string) [][]string {
	all := [][]string{nil}
	for _, set := range sets {
		var longer [][]string
		for _, values := range all {
			for _, v := range set {
				longer = append(longer, append(slices.Clone(values), v))
			}
		}
		all = longer
	}
	return all
}
