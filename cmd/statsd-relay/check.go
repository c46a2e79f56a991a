package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// checkConfigCommand says what is wrong with a file.
type checkConfigCommand struct {
	File string `arg:"" help:"The file."`
}

// run checks the file with the flags and variables that are given besides, and
// prints what differs from an empty file.
func (c checkConfigCommand) run(out io.Writer, from source) error {
	from.file = ""
	plain, err := from.config()
	if err != nil {
		return err
	}
	from.file = c.File
	cfg, err := from.config()
	if err != nil {
		return err
	}
	_, err = beaconConfig(cfg.Beacons)
	if err := errors.Join(cfg.Check(), err); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is good\n", c.File)
	defaults := plain.Settings()
	for i, s := range cfg.Settings() {
		if s != defaults[i] {
			fmt.Fprintf(out, "  %s: %s\n", s.Path, s.Value)
		}
	}
	return nil
}

// healthcheckCommand asks a relay over HTTP.
type healthcheckCommand struct {
	URL string `arg:"" optional:"" default:"http://127.0.0.1:9102/-/ready" env:"RELAY_HEALTHCHECK" help:"What to ask."`
}

func (c healthcheckCommand) run(out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return fmt.Errorf("statsd-relay: %w", err)
	}
	// Straight to it, whatever proxy the environment has.
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return fmt.Errorf("statsd-relay: %s: %w", c.URL, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("statsd-relay: %s answers %s", c.URL, answer.Status)
	}
	fmt.Fprintf(out, "%s is well\n", c.URL)
	return nil
}
