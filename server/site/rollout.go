package site

import (
	"context"
	"fmt"

	"addons/server/store"
	"addons/server/update"
)

// RollOut has update checks offer a version, by its number, of an add-on, by its id, slug
// or GUID, to percent of the clients: 0 halts it, 100 offers it to everybody. It is in
// every process's answers within update.Behind. catalog.ErrNotFound: there is no such
// add-on, or it offers no such version.
func (s *Site) RollOut(ctx context.Context, ref, number string, percent int) error {
	a, err := s.DB.Addon(ctx, ref)
	if err != nil {
		return fmt.Errorf("add-on %q: %w", ref, err)
	}
	v, err := s.DB.Version(ctx, a.ID, "v"+number)
	if err != nil {
		return fmt.Errorf("version %q of %q: %w", number, ref, err)
	}
	if err := s.DB.SetRollout(ctx, a.ID, v.ID, percent); err != nil {
		return err
	}
	return s.Cache.Invalidate(ctx, update.Family(), update.Keys(a.GUID)...)
}

// Rollouts lists those under way, the newest version's first.
func (s *Site) Rollouts(ctx context.Context) ([]store.Rollout, error) { return s.DB.Rollouts(ctx) }
