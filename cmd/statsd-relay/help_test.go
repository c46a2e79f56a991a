package main

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -run TestHelpIsGolden -update .

var update = flag.Bool("update", false, "write the golden file anew")

// TestHelpIsGolden keeps what the command says of its flags where people can read
// it, and where the test of docker-compose.yml looks flags up.
func TestHelpIsGolden(t *testing.T) {
	got, err := program("--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	const path = "testdata/help.txt"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("statsd-relay --help changed; if it should, run `go generate ./cmd/statsd-relay`:\n%s", diff)
	}
}
