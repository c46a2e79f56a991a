package cmd_test

import (
	"strings"
	"testing"

	"addons/server/web"
)

func TestTheSidecarKnowsTheSitesPages(t *testing.T) {
	text := help(t, "./cmd/statsd-relay")
	if want := strings.Join(web.PageRoutes(), ","); !strings.Contains(strings.Join(strings.Fields(text), ""), "--page-routes="+want) {
		t.Errorf("statsd-relay's default for --page-routes is not %s:\n%s", want, text)
	}
	if want := strings.Join(web.Pages(), ","); !strings.Contains(strings.Join(strings.Fields(text), ""), "--pages="+want) {
		t.Errorf("statsd-relay's default for --pages is not %s:\n%s", want, text)
	}
}
