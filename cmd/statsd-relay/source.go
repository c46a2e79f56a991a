package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"

	"addons/rum"
	relay "addons/statsd-relay"
)

// source is where the configuration comes from. What is given on the command line
// or by a variable goes before the file, and the file before the flags' defaults.
type source struct {
	file            string // "" is none
	defaults, given []value
}

// value is a flag's, with the path of the setting that it is of.
type value struct {
	path string
	of   any
}

// newSource takes the flags from what kong made of the command line.
func newSource(parsed *kong.Context, f flags) source {
	s := source{file: f.Config}
	var typed []*kong.Flag
	for _, step := range parsed.Path {
		if step.Flag != nil {
			typed = append(typed, step.Flag)
		}
	}
	for _, flag := range parsed.Flags() {
		v := value{flag.Tag.Get("setting"), flag.Target.Interface()}
		switch {
		case v.path == "" || flag.Target.Kind() == reflect.Pointer && flag.Target.IsNil():
		case slices.Contains(typed, flag) || hasVariable(flag):
			s.given = append(s.given, v)
		default:
			s.defaults = append(s.defaults, v)
		}
	}
	return s
}

func hasVariable(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool {
		_, ok := os.LookupEnv(name)
		return ok
	})
}

// config reads the file anew. The error joins all faults.
func (s source) config() (relay.Config, error) {
	var cfg relay.Config
	errs := set(&cfg, s.defaults)
	if s.file != "" {
		loaded, err := loadFile(s.file, cfg)
		cfg, errs = loaded, append(errs, err)
	}
	errs = append(errs, set(&cfg, s.given)...)
	if err := rum.CheckTimings(cfg.Beacons.Timings); err != nil {
		errs = append(errs, fmt.Errorf("statsd-relay: beacons.timings: %w", err))
	}
	return cfg, errors.Join(errs...)
}

func set(cfg *relay.Config, values []value) (errs []error) {
	for _, v := range values {
		if err := cfg.Set(v.path, v.of); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func loadFile(file string, base relay.Config) (relay.Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return base, fmt.Errorf("statsd-relay: --config: %w", err)
	}
	defer f.Close()
	return relay.Load(file, f, base)
}
