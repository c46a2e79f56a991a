package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"addons/server"
	"addons/server/health"
	loading "addons/server/load"
	updates "addons/server/update"
)

// load imports into the catalogue. A platform that is running on the same
// database finds the new add-ons' tasks there and indexes them.
type load struct {
	backends
	Sample   int      `help:"Load a sample catalogue of this many add-ons." env:"ADDONS_SAMPLE"`
	Generate int      `help:"Fill an empty database with a catalogue of this many add-ons, for measurements; a second run goes on where a first one stopped. Follow it with reindex." placeholder:"COUNT"`
	Seed     uint64   `help:"With --generate: another seed gives another catalogue." default:"2012"`
	Packages int      `help:"With --generate: how many of the most popular add-ons can be installed. A download of any other is a 404 that says so." default:"100"`
	Rollout  int      `help:"Update checks offer new versions of known add-ons to this share of the clients, until the command rollout says otherwise." default:"100" placeholder:"PERCENT"`
	Paths    []string `arg:"" optional:"" help:".xpi, .zip, unpacked extensions, folders of these, or JSON of AMO's API v5."`
}

func (l load) Run(ctx context.Context, log *slog.Logger) error {
	if len(l.Paths) == 0 && l.Sample == 0 && l.Generate == 0 {
		return errors.New("nothing to load: give paths, --sample 300 or --generate 300000")
	}
	if l.Generate != 0 && (l.Sample != 0 || len(l.Paths) > 0) {
		return errors.New("--generate fills an empty database: give paths and --sample to another command")
	}
	if l.Rollout < 0 || l.Rollout > 100 {
		return fmt.Errorf("--rollout %d: give a percentage, 0 to 100", l.Rollout)
	}
	// A bleve index belongs to one process; the worker that is running, or will
	// be, has it, and indexes what is loaded here.
	l.Search = ""
	return open(ctx, l.backends, log, func(s *server.Server) error {
		bar := newBar(os.Stderr, "load")
		loader := s.Loader().RollingOut(l.Rollout)
		if l.Generate != 0 {
			return l.generate(ctx, loader, bar)
		}
		if l.Sample > 0 {
			report, err := loader.Sample(ctx, server.SampleSeed, l.Sample, bar.show)
			bar.end()
			if err != nil {
				return err
			}
			show(report)
		}
		if len(l.Paths) == 0 {
			return nil
		}
		report, err := loader.Paths(ctx, l.Paths, bar.show)
		bar.end()
		show(report)
		if err == nil && len(report.Refused) > 0 && report.New+report.Updated+report.Unchanged == 0 {
			err = errors.New("nothing could be loaded")
		}
		return err
	})
}

// generate loads a catalogue of any size and says how quickly that went.
func (l load) generate(ctx context.Context, loader *loading.Loader, bar *bar) error {
	start := time.Now()
	done, err := loader.Generate(ctx, loading.Generation{
		Seed: l.Seed, Count: l.Generate, Packages: min(l.Packages, l.Generate),
	}, bar.show)
	took := time.Since(start)
	bar.end()
	if err != nil {
		return err
	}
	fmt.Printf("%d add-ons, %d of them new: %d rows in %v, %.0f rows/s\n",
		done.Addons, done.Addons-done.Before, done.Rows, took.Round(10*time.Millisecond), float64(done.Rows)/took.Seconds())
	return nil
}

// show prints what became of what was to be loaded.
func show(r loading.Report) {
	fmt.Printf("%d new, %d updated, %d unchanged, %d refused\n", r.New, r.Updated, r.Unchanged, len(r.Refused))
	for _, refused := range r.Refused {
		fmt.Printf("  refused %s: %s\n", refused.Path, refused.Why)
	}
}

// open runs f on a platform without listeners, relay or worker.
func open(ctx context.Context, b backends, log *slog.Logger, f func(*server.Server) error) error {
	s, err := server.New(ctx, b.config(), log)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close(context.WithoutCancel(ctx)))
}

// rollout offers versions to a share of the clients.
type rollout struct {
	backends
	Addon   string `arg:"" optional:"" help:"Id, slug or GUID. Without any, what is being rolled out is listed."`
	Version string `arg:"" optional:"" help:"Number of the version."`
	Percent *int   `arg:"" optional:"" help:"Share of the clients that update checks offer it to: 0 halts it at once, 100 ends the rollout. Who was offered it at 10 is so at 20. A client is a network address."`
}

func (r rollout) Run(ctx context.Context, log *slog.Logger) error {
	if r.Addon != "" && r.Percent == nil {
		return errors.New("say which version and for how many: rollout ublock-origin 1.67.0 10")
	}
	r.Search = "" // the index belongs to the process that runs
	return open(ctx, r.backends, log, func(s *server.Server) error {
		if r.Addon == "" {
			return r.list(ctx, s)
		}
		if err := s.RollOut(ctx, r.Addon, r.Version, *r.Percent); err != nil {
			return err
		}
		fmt.Printf("%s %s: offered to %d %% of the clients, everywhere within %v\n", r.Addon, r.Version, *r.Percent, updates.Behind)
		return nil
	})
}

func (rollout) list(ctx context.Context, s *server.Server) error {
	all, err := s.Rollouts(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Println("nothing is being rolled out")
	}
	for _, r := range all {
		fmt.Printf("%3d %% since %s  %s %s\n", r.Percent, r.Changed.Local().Format("2006-01-02 15:04"), r.Slug, r.Version)
	}
	return nil
}

// reindex builds the search index from the database.
type reindex struct{ backends }

func (r reindex) Run(ctx context.Context, log *slog.Logger) error {
	return open(ctx, r.backends, log, func(s *server.Server) error {
		bar := newBar(os.Stderr, "reindex")
		defer bar.end()
		return s.Reindex(ctx, bar.show)
	})
}

// check uses every backend once.
type check struct{ backends }

func (c check) Run(ctx context.Context, log *slog.Logger) error {
	return open(ctx, c.backends, log, func(s *server.Server) error {
		report := s.Check(ctx)
		for _, r := range report.Checks {
			state := "passed"
			if r.Error != "" {
				state = "FAILED: " + r.Error
			}
			fmt.Printf("%-10s %s (%v)\n", r.Name, state, r.Took.Round(time.Microsecond))
		}
		if !report.OK {
			return errors.New("an essential backend does not work")
		}
		return nil
	})
}

// table prints METRICS.md, made of what a whole platform declares.
type table struct{}

func (table) Run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "addons-metrics-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return server.WriteMetrics(ctx, os.Stdout, dir)
}

// probe asks a URL once.
type probe struct {
	URL string `arg:"" help:"Address to ask."`
}

func (p probe) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", p.URL, resp.Status)
	}
	return nil
}

// version prints Dockerflow's version object.
type version struct{}

func (version) Run() error {
	return json.NewEncoder(os.Stdout).Encode(health.Version{Source: "addons", Version: release, Commit: commit})
}
