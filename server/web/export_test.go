package web

// Budgets are how many queries each route may make, by method and pattern.
func Budgets() map[string]int {
	all := map[string]int{"GET " + unmatched: 0}
	for _, r := range (&Web{Config: Config{Drills: true}}).routes() {
		all[r.method+" "+r.pattern] = r.queries
	}
	return all
}
