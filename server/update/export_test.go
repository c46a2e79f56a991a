package update

import "addons/server/cache"

// SetFamily gives s another lifetime for its sheets.
func (s *Service) SetFamily(f cache.Family) { s.family = f }
