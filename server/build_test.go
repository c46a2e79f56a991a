package server

import (
	"testing"

	"addons/server/health"
)

func TestBuildsAreToldApart(t *testing.T) {
	a := Config{Version: health.Version{Commit: "0123456789abcdef0123"}}.build()
	b := Config{Version: health.Version{Commit: "f123456789abcdef0123"}}.build()
	unknown := Config{}.build()
	if a == b || a[:12] != "0123456789ab" || unknown == "" || unknown == a {
		t.Errorf("builds %q, %q and an unknown one %q", a, b, unknown)
	}
}
