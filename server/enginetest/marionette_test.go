package enginetest_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"addons/server/catalog"
	"addons/server/enginetest"
	"addons/server/xpi"
)

func pack(t *testing.T, version string) []byte {
	t.Helper()
	body, err := xpi.Make(xpi.Spec{GUID: "clock@example.org", Version: version, Name: catalog.Text{"en-US": "Clock"}})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestFirefoxUpdatesFromWhereItsPreferenceSays(t *testing.T) {
	newer := pack(t, "1.1")
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	defer site.Close()
	asked := make(chan string, 10)
	mux.HandleFunc("/check", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.RawQuery
		fmt.Fprintf(w, `{"addons": {"clock@example.org": {"updates": [{"version": "1.1", "update_link": "%s/clock.xpi", "update_hash": "sha256:%x"}]}}}`,
			site.URL, sha256.Sum256(newer))
	})
	mux.HandleFunc("/clock.xpi", func(w http.ResponseWriter, _ *http.Request) { w.Write(newer) })

	firefox := enginetest.Firefox(t, enginetest.Prefs{
		"extensions.update.url": site.URL + "/check?id=%ITEM_ID%&version=%ITEM_VERSION%",
	})
	path := filepath.Join(t.TempDir(), "clock.xpi")
	if err := os.WriteFile(path, pack(t, "1.0"), 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := firefox.Install(path)
	if err != nil || id != "clock@example.org" {
		t.Fatalf("Install = %q, %v", id, err)
	}
	version, err := firefox.Update(id)
	if err != nil || version != "1.1" {
		t.Errorf("Update = %q, %v, want 1.1", version, err)
	}
	if got := <-asked; !strings.Contains(got, "id=clock@example.org&version=1.0") {
		t.Errorf("Firefox asked %q", got)
	}
	if a := firefox.Addon(id); !a.Active || a.Version != "1.1" {
		t.Errorf("installed is %+v, want 1.1, active", a)
	}
	if a := firefox.Addon("nobody@example.org"); a != (enginetest.Addon{}) {
		t.Errorf("an add-on that isn't there is %+v", a)
	}
	if _, err := firefox.Install("/nowhere.xpi"); err == nil {
		t.Error("a package that isn't there was installed")
	}
}
