package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"addons/server"
	"addons/server/bench"
)

// benches measure on the reader's own machine.
type benches struct {
	Update benchUpdate `cmd:"" help:"The talk's table: an update check without a pool, with one, without the framework, from caches, and the whole platform, side by side in one run."`
	Load   benchLoad   `cmd:"" help:"Ask for update checks at a fixed rate, and compare the answers with what the server counts."`
	Tier   benchTier   `cmd:"" hidden:"" help:"Serve one tier of the table."`
}

// measured are the flags of both.
type measured struct {
	Database string `help:"A catalogue: sqlite:PATH or mysql://user:password@host:port/name. By default a sample one is made." env:"ADDONS_DATABASE"`
	Cache    string `help:"memory:, or memcache://host:port to measure that too." default:"memory:" env:"ADDONS_CACHE"`
	Sample   int    `help:"Add-ons in the sample catalogue." default:"1000"`
	JSON     string `help:"Write the figures to this file too." name:"json" type:"path"`
}

// backends are what is measured, after a sample catalogue was made if there is none.
func (m measured) backends(ctx context.Context) (b bench.Backends, remove func(), err error) {
	b = bench.Backends{Database: m.Database, Cache: m.Cache}
	if m.Database != "" {
		return b, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "addons-bench-")
	if err != nil {
		return b, nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			remove()
		}
	}()
	c := backends{Data: dir, Database: "sqlite:addons.db", Cache: "memory:", Queue: "database:", Files: "file:files", Statsd: "none:"}
	b.Database = "sqlite:" + filepath.Join(dir, "addons.db")
	return b, remove, open(ctx, c, slog.New(slog.DiscardHandler), func(s *server.Server) error {
		bar := newBar(os.Stderr, "sample catalogue")
		defer bar.end()
		_, err := s.Loader().Sample(ctx, server.SampleSeed, m.Sample, bar.show)
		return err
	})
}

// write prints a report, and writes it to --json.
func (m measured) write(report interface{ Markdown() string }) error {
	fmt.Println(report.Markdown())
	if m.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(m.JSON, append(text, '\n'), 0o644)
}

func say(line string) { fmt.Fprintln(os.Stderr, time.Now().Format("15:04:05"), line) }

type benchUpdate struct {
	measured
	Only    []string      `help:"Tiers: connect, pool, raw, optimised, memcached, in-process, gin, bare, thin, platform, platform-mix, platform-uninstrumented."`
	Runs    int           `help:"Runs of each tier; the table has their medians." default:"3"`
	For     time.Duration `help:"Time of one run." default:"5s"`
	Conns   int           `help:"Connections, each with one check at a time." default:"64"`
	Without string        `help:"An addons that was built with -tags uninstrumented: what instruments cost is measured against it." type:"path"`
}

func (u benchUpdate) Run(ctx context.Context) error {
	if u.Runs < 1 || u.Conns < 1 || u.For <= 0 {
		return errors.New("--runs, --conns and --for: want more than nothing")
	}
	binary, err := bench.Executable()
	if err != nil {
		return err
	}
	b, remove, err := u.backends(ctx)
	if err != nil {
		return err
	}
	defer remove()
	report, err := bench.Update(ctx, bench.Config{
		Backends: b, Binary: binary, Without: u.Without, Only: u.Only, Runs: u.Runs, For: u.For, Conns: u.Conns, Say: say,
	})
	if report == nil {
		return err
	}
	return errors.Join(err, u.write(report))
}

type benchLoad struct {
	measured
	URL     string        `help:"The site to ask, http://host:port; by default one is started on the database." name:"url"`
	Admin   string        `help:"Its operators' pages, http://host:port."`
	Rate    float64       `help:"Checks a second." default:"8000"`
	For     time.Duration `help:"How long." default:"1m"`
	Warm    time.Duration `help:"How long to ask before, without counting." default:"10s"`
	Conns   int           `help:"Connections: as many checks are under way at the most." default:"256"`
	Cold    float64       `help:"Share of checks of any add-on, each as likely; the others are by popularity." default:"0.2"`
	Unknown float64       `help:"Share of checks of add-ons that there aren't." default:"0.02"`
	Beside  float64       `help:"Detail pages a second beside the checks, and as many API searches."`
	Search  string        `help:"The search index for --beside: bleve:PATH or elasticsearch://host:port/index, filled by addons reindex." env:"ADDONS_SEARCH"`
}

func (l benchLoad) Run(ctx context.Context) error {
	switch {
	case l.Rate <= 0 || l.Conns < 1 || l.For <= 0:
		return errors.New("--rate, --conns and --for: want more than nothing")
	case l.Warm < 0:
		return errors.New("--warm: want a time, or 0s")
	case l.Cold < 0 || l.Unknown < 0 || l.Cold+l.Unknown > 1:
		return errors.New("--cold and --unknown: want shares, together 1 at the most")
	case l.Beside < 0:
		return errors.New("--beside: want a rate, or 0")
	case l.Beside > 0 && l.URL == "" && l.Search == "":
		return errors.New("--beside: give --search too, an index that addons reindex has filled")
	case l.URL != "" && l.Database == "":
		return errors.New("--url: give its --database too: whose add-ons to ask for")
	}
	binary, err := bench.Executable()
	if err != nil {
		return err
	}
	b, remove, err := l.backends(ctx)
	if err != nil {
		return err
	}
	defer remove()
	b.Search = l.Search
	report, err := bench.Load(ctx, bench.LoadConfig{
		Backends: b, Binary: binary, URL: l.URL, Admin: l.Admin, Rate: l.Rate, For: l.For, Warm: l.Warm, Conns: l.Conns, Cold: l.Cold, Unknown: l.Unknown, Beside: l.Beside, Say: say,
	})
	if err != nil {
		return err
	}
	if err := l.write(report); err != nil {
		return err
	}
	if report.Differs() {
		return errors.New("the server has counted something else than was asked: is somebody else asking it too?")
	}
	return nil
}

// benchTier is started by bench update. URLs with passwords come by the environment.
type benchTier struct {
	Name     string `arg:""`
	Listen   string
	Database string `env:"ADDONS_DATABASE"`
	Cache    string `env:"ADDONS_CACHE"`
	Constant string `env:"ADDONS_BENCH_CONSTANT"`
}

func (t benchTier) Run(ctx context.Context) error {
	l, err := net.Listen("tcp", t.Listen)
	if err != nil {
		return err
	}
	return bench.Serve(ctx, t.Name, bench.Backends{Database: t.Database, Cache: t.Cache, Constant: t.Constant}, l)
}
