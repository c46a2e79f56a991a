package cache

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// options is a cache's URL, read.
type options struct {
	scheme    string
	rest      string // what stands between the scheme and the parameters, without "//"
	size      int    // of memory:
	timeout   time.Duration
	near      int
	nearTTL   time.Duration
	namespace string
	build     string
	shadow    float64
}

// Option is one that no URL has.
type Option func(*options)

// Build puts an id of the build before every key, after the namespace, so that a
// deploy starts with nothing: no build reads what another one computed, and both can
// run side by side.
func Build(id string) Option { return func(o *options) { o.build = id } }

// process names this process and its build.
func (o options) process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return strings.TrimSpace(fmt.Sprintf("%s, process %d %s", host, os.Getpid(), o.build))
}

// known lists the schemes with their parameters.
func known() map[string][]string {
	remote := []string{"namespace", "near", "near_ttl", "shadow", "timeout"}
	return map[string][]string{"memory": {"namespace", "shadow", "size"}, "memcache": remote, "redis": remote}
}

// parse reads the URL by hand: net/url refuses several hosts. Errors don't quote
// the URL, because a password may be in it.
func parse(rawURL string) (options, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	rest, query, _ := strings.Cut(rest, "?")
	o := options{scheme: scheme, rest: strings.TrimPrefix(rest, "//"), namespace: "addons"}
	params, ok := known()[scheme]
	if !ok {
		return o, fmt.Errorf("cache: unknown scheme %q: use memory:, memcache://host:port,host:port or redis://host:port/db", scheme)
	}
	if scheme == "memory" {
		o.size = 64 << 20
	} else {
		o.timeout, o.near, o.nearTTL = 100*time.Millisecond, 16<<20, 2*time.Second
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("cache: parameters of %s: %w", scheme, err)
	}
	for name, v := range values {
		if !slices.Contains(params, name) {
			return o, fmt.Errorf("cache: %s: has no parameter %q: use %s", scheme, name, strings.Join(params, ", "))
		}
		if err := o.parameter(name, v[0]); err != nil {
			return o, fmt.Errorf("cache: %s: parameter %s: %w", scheme, name, err)
		}
	}
	return o, nil
}

func (o *options) parameter(name, value string) (err error) {
	switch name {
	case "namespace":
		o.namespace = value
	case "shadow":
		o.shadow, err = share(value)
	case "size":
		o.size, err = bytesOf(value)
	case "near":
		o.near, err = bytesOf(value)
	case "near_ttl":
		o.nearTTL, err = positive(value)
	case "timeout":
		o.timeout, err = positive(value)
	}
	return err
}

// share reads a number from 0 to 1.
func share(value string) (float64, error) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return 0, fmt.Errorf("%q is no share: write a number from 0 to 1, such as 0.01", value)
	}
	return n, nil
}

func positive(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is not above zero", value)
	}
	return d, err
}

// bytesOf reads "64MiB", "512KiB", "1GiB" or a plain number of bytes.
func bytesOf(value string) (int, error) {
	number, shift := value, 0
	for unit, s := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, ok := strings.CutSuffix(value, unit); ok {
			number, shift = n, s
		}
	}
	n, err := strconv.ParseUint(number, 10, 40)
	if err != nil || n > 1<<40>>shift { // a terabyte is a slip of the pen
		return 0, fmt.Errorf("%q is no size: write it as 64MiB", value)
	}
	return int(n) << shift, nil
}

// open returns the driver.
func (o options) open() (driver, error) {
	switch o.scheme {
	case "memcache":
		hosts, err := hostPorts(o.rest, "11211")
		if err != nil {
			return nil, fmt.Errorf("cache: memcache: %w", err)
		}
		return newMemcached(hosts, o.timeout), nil
	case "redis":
		opts, err := redis.ParseURL("redis://" + o.rest)
		if err != nil {
			return nil, fmt.Errorf("cache: redis: the address is not of the form redis://user:password@host:port/db")
		}
		return newRedis(*opts, o.timeout), nil
	}
	if o.rest != "" {
		return nil, fmt.Errorf("cache: memory: takes no address, got %q", o.rest)
	}
	return newMemory(o.size)
}

// hostPorts reads "a:11211,b", and adds the port where there is none.
func hostPorts(list, port string) ([]string, error) {
	var hosts []string
	for host := range strings.SplitSeq(strings.TrimSuffix(list, "/"), ",") {
		if host == "" || strings.ContainsAny(host, "/@ ") {
			return nil, fmt.Errorf("%q is no list of hosts: write memcache://host:port,host:port", list)
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}
