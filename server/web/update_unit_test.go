package web

import (
	"testing"

	"addons/server/update"
)

func TestAStaleUpdateCheckIsNotKeptForAnHour(t *testing.T) {
	t.Parallel()
	for _, outcome := range update.Outcomes() {
		want := "public, max-age=3600"
		if outcome == update.Stale {
			want = "public, max-age=60"
		}
		if got := keepFor(outcome)[0]; got != want {
			t.Errorf("%s may be kept %s, want %s", outcome, got, want)
		}
	}
}
