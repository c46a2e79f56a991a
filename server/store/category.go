package store

import (
	"context"

	"addons/server/catalog"
)

// Categories returns the taxonomy, which is fixed (catalog.Categories): no query.
func (db *DB) Categories(context.Context) ([]catalog.Category, error) {
	return catalog.Categories(), nil
}
