package web

// updateRoutes are for browsers looking for updates of what they have.
func (w *Web) updateRoutes() []route { return nil }
