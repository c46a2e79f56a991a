package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHelpIsGolden keeps what the commands say of their flags where people can
// read it, and where the test of docker-compose.yml looks flags up.
func TestHelpIsGolden(t *testing.T) {
	for _, name := range []string{"up", "serve", "worker", "load", "rollout", "probe"} {
		got, err := command(t.Context(), name, "--help").Output()
		if err != nil {
			t.Fatalf("addons %s --help: %v", name, err)
		}
		path := filepath.Join("testdata", "help", name+".txt")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("addons %s --help changed; if it should, run `go generate ./cmd/addons`:\n%s", name, diff)
		}
	}
}
