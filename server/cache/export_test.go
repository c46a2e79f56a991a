package cache

import "context"

// FullKey is what the backend knows the family's key as.
func (c *Cache) FullKey(ctx context.Context, f Family, key string) (string, error) {
	gen, err := c.Family(f).refresh(ctx, c)
	return safeKey(c.key(f, gen, key)), err
}

// Settle waits for the loads and renewals that have begun.
func (c *Cache) Settle() { c.running.Wait() }
