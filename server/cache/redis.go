package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisServer keeps values in one Redis.
type redisServer struct {
	client *redis.Client
}

// redisLimit is ours: Redis takes 512 MiB, but it serves one command after the other.
const redisLimit = 8 << 20

func newRedis(opts redis.Options, timeout time.Duration) *redisServer {
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = timeout, timeout, timeout, timeout
	opts.ContextTimeoutEnabled = true
	opts.MaxRetries = -1   // a failure is a miss; trying again would cost another timeout
	opts.DialerRetries = 1 // likewise
	opts.DisableIdentity = true
	// Redis Enterprise's announcements of maintenance: a handshake for nothing with any other.
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &redisServer{redis.NewClient(&opts)}
}

func (r *redisServer) name() string    { return "redis" }
func (r *redisServer) nodes() int      { return 1 }
func (r *redisServer) node(string) int { return 0 }
func (r *redisServer) limit() int      { return redisLimit }

func (r *redisServer) get(ctx context.Context, key string) ([]byte, error) {
	value, err := r.client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, errMiss
	}
	return value, err
}

func (r *redisServer) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return r.client.Set(ctx, key, value, atLeastMilli(ttl)).Err()
}

func (r *redisServer) add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	// SET NX GET would need Redis 7; SET NX is in all.
	err := r.client.SetArgs(ctx, key, value, redis.SetArgs{Mode: "NX", TTL: atLeastMilli(ttl)}).Err()
	if errors.Is(err, redis.Nil) {
		return errExists
	}
	return err
}

// swapScript runs as one: Redis lets nobody in between.
var swapScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if #ARGV[1] > 0 and redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

func (r *redisServer) swap(ctx context.Context, key string, head, value []byte, ttl time.Duration) error {
	n, err := swapScript.Run(ctx, r.client, []string{key}, head, value, atLeastMilli(ttl).Milliseconds()).Int()
	if err == nil && n == 0 {
		return errExists
	}
	return err
}

// atLeastMilli rounds up to what Redis can tell from "for ever".
func atLeastMilli(ttl time.Duration) time.Duration { return max(ttl, time.Millisecond) }

func (r *redisServer) delete(ctx context.Context, key string) error {
	return r.client.Del(ctx, key).Err()
}

func (r *redisServer) check(ctx context.Context) error { return r.client.Ping(ctx).Err() }

func (r *redisServer) close() error { return r.client.Close() }
