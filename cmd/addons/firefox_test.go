package main

import (
	"os"
	"path/filepath"
	"testing"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/xpi"
)

// packaged writes an installable package to a folder and returns its path.
func packaged(t *testing.T, dir, version string) string {
	t.Helper()
	body, err := xpi.Make(xpi.Spec{
		GUID: "updated@example.org", Version: version, Name: catalog.Text{"en-US": "Updated"}, Summary: catalog.Text{"en-US": "Has two versions."},
		Compatibility: []catalog.Compat{{App: catalog.Firefox.Slug, Min: "115.0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "updated-"+version+".xpi")
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFirefoxUpdatesAnAddonThatThisSiteServes(t *testing.T) {
	enginetest.URL(t, "FIREFOX")
	packages, data := t.TempDir(), t.TempDir()
	old := packaged(t, packages, "1.9")
	packaged(t, packages, "1.10") // newer by number, older by letters
	p := start(t, data, "ready", "--sample", "0")
	// Loaded by another process while the platform runs on the same folder.
	if out, err := command(t.Context(), "load", "--data", data, packages).CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	eventually(t, "what was loaded is found", func() bool { return count(p) == 1 })
	firefox := enginetest.Firefox(t, enginetest.Prefs{
		"extensions.update.url": p.url("/update/VersionCheck.php?reqVersion=%REQ_VERSION%&id=%ITEM_ID%&version=%ITEM_VERSION%" +
			"&maxAppVersion=%ITEM_MAXAPPVERSION%&status=%ITEM_STATUS%&appID=%APP_ID%&appVersion=%APP_VERSION%&appOS=%APP_OS%" +
			"&appABI=%APP_ABI%&locale=%APP_LOCALE%&currentAppVersion=%CURRENT_APP_VERSION%&updateType=%UPDATE_TYPE%&compatMode=%COMPATIBILITY_MODE%"),
	})
	id, err := firefox.Install(old)
	if err != nil {
		t.Fatal(err)
	}
	version, err := firefox.Update(id)
	if err != nil || version != "1.10" {
		t.Fatalf("updated to %q: %v", version, err)
	}
	if addon := firefox.Addon(id); addon.Version != "1.10" || !addon.Active {
		t.Errorf("after the update Firefox has %+v, want 1.10, active", addon)
	}
	eventually(t, "the check and the download in Prometheus", func() bool {
		return p.prometheus(`sum(addons_update_checks_total{outcome=~"hit|miss"})`) == 1 &&
			p.prometheus(`sum(http_server_request_duration_seconds_count{http_route=~".*downloads/file.*",http_response_status_code="200"})`) == 1
	})
}
