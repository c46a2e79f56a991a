package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestEnginesThatDoNotEndWhenAskedAreKilled(t *testing.T) {
	t.Parallel()
	var running []*process
	for _, name := range []string{"first", "second"} {
		log := filepath.Join(t.TempDir(), name)
		p, err := launch(exec.Command("sh", "-c", `trap "" TERM; echo deaf; while :; do sleep 1; done`), log, nil)
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, p)
		if err := p.await(t.Context(), func(context.Context) error {
			if said, err := os.ReadFile(log); len(said) == 0 {
				return errors.Join(err, errors.New("not deaf yet"))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	stopAll(running, 100*time.Millisecond)
	for i, p := range running {
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			t.Errorf("engine %d is still there", i)
		}
	}
}
