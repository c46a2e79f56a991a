package web

// apiRoutes are for programs: the JSON API.
func (w *Web) apiRoutes() []route { return nil }
