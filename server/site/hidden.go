package site

import (
	"fmt"

	"addons/server/catalog"
)

// Hidden is the error for an add-on that is there, but nobody's to see. It wraps
// catalog.ErrNotFound, which is all that most callers want to know.
type Hidden struct {
	Ref    string
	Status catalog.Status // catalog.Public: it has no listed version
}

func (h *Hidden) Error() string { return fmt.Sprintf("add-on %q is %s, not shown", h.Ref, h.Status) }

// Unwrap makes it one that is not found.
func (h *Hidden) Unwrap() error { return catalog.ErrNotFound }
