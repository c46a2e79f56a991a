// Package enginetest gives tests the real engines (MariaDB, memcached, …) that
// `make test` started. Each engine's address is in a variable ADDONS_TEST_<NAME>,
// set by cmd/engines. It is imported by tests only.
package enginetest

import (
	"os"
	"testing"
)

// URL returns the address of the engine: "MYSQL", "MYSQL_WRITER" and "MYSQL_REPLICA" (a pair), "MEMCACHE", "REDIS", "AMQP",
// "ELASTICSEARCH", "CARBON", "CARBON_PICKLE", "GRAPHITE", "PROMETHEUS", "ALERTMANAGER",
// "PROMTOOL", "SYSTEMD", "CHROMIUM", "FIREFOX", "GANGLIA", "STATSD_EXPORTER", "MEMCACHED", "REDIS_SERVER" and "STATSD" (programs'
// paths), "CLIENTS" (npm's modules). Where it was not started the test is skipped, and fails instead under
// CI=true, so that no green run left it out.
func URL(t testing.TB, engine string) string {
	t.Helper()
	name := "ADDONS_TEST_" + engine
	url := os.Getenv(name)
	if url != "" {
		return url
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not set: `make test` starts the engines and sets it", name)
	}
	t.Skipf("%s is not set: run `make test` for the real engine", name)
	return ""
}
