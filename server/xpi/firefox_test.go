package xpi_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"addons/server/catalog"
	"addons/server/enginetest"
)

func TestFirefoxInstallsWhatWeMake(t *testing.T) {
	firefox := enginetest.Firefox(t, nil)
	for _, c := range specs() {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "addon.xpi")
			if err := os.WriteFile(path, made(t, c.spec), 0o644); err != nil {
				t.Fatal(err)
			}
			id, err := firefox.Install(path)
			if err != nil {
				t.Fatal(err)
			}
			got := firefox.Addon(id)
			want := enginetest.Addon{ID: c.spec.GUID, Version: c.spec.Version, Name: c.spec.Name.In("en-US"), Type: c.firefoxType, Description: c.spec.Summary.In("en-US"), Active: got.Active}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("installed (-want +got):\n%s", diff)
			}
			if c.spec.Type != catalog.Theme && !got.Active {
				t.Error("it is installed, but not active")
			}
		})
	}
}
