package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spider-go/spider/internal/scaffold"
	"github.com/spider-go/spider/internal/staging"
)

type buildCommand struct {
	SelfHosted bool          `help:"Build a Go package as a program that is its own executor: it starts faster, and needs no C compiler."`
	Lang       string        `enum:"auto,go,c,rust" default:"auto" placeholder:"LANG" help:"What it is written in: go, c or rust. Default: what is found there."`
	Timeout    time.Duration `default:"10s" help:"How long the package may take to load. Default: ${default}."`
	Quiet      bool          `short:"q" help:"Print neither the commands that are run nor what they print, unless one fails."`
	places

	Dir string `arg:"" optional:"" default:"." help:"The folder of the sources, or a library that is built already. Default: the working directory."`
}

// Help is what spider build --help adds.
func (*buildCommand) Help() string {
	return `Builds a package, loads it in a process that is thrown away, and renames it into its
place in the package directory: a running pool takes it from the next call on, and what
does not load replaces nothing. The package is called as it declares itself.

Go packages are built by go, with $GOFLAGS; C packages from all *.c of the folder but
*_test.c, by $CC with $CFLAGS, $LDFLAGS and $LDLIBS; Rust packages by cargo.

Examples:

    spider build
    spider build --self-hosted textstat
    spider build --package-dir /srv/packages ./target/release/libtitles.so

Exit status: 0 built and in place; 1 it does not build, or does not load; 2 wrong usage;
125 something to build or to try it with is missing.`
}

// Validate is called by kong, before Run.
func (c *buildCommand) Validate() error { return positive(c.Timeout) }

// Run builds the package and says what is where now.
func (c *buildCommand) Run(s *streams) error {
	ctx, stop := interruptible()
	defer stop()
	o, dir := c.options(false, c.Timeout)
	log := &buildLog{to: s.err, quiet: c.Quiet}
	cfg := staging.Config{
		Source:     c.Dir,
		Program:    c.SelfHosted,
		PackageDir: dir,
		Executor:   o.Executor,
		Missing:    o.Missing,
		Timeout:    c.Timeout,
		Log:        log,
	}
	if c.Lang != "auto" {
		cfg.Lang = scaffold.Language(c.Lang)
	}
	if info, err := os.Stat(c.Dir); err == nil && info.IsDir() && !c.SelfHosted && o.Missing != "" {
		return errors.New(o.Missing) // before it is built for nothing
	}
	staged, err := staging.Build(ctx, cfg)
	for _, f := range staged {
		what := "new"
		if f.Replaced {
			what = "replaced"
		}
		tasks := ""
		if d := f.Report.Description; d != nil {
			tasks = fmt.Sprintf(", %d tasks", len(d.Tasks))
			if len(d.Tasks) == 1 {
				tasks = ", 1 task"
			}
		}
		fmt.Fprintf(s.out, "%s: %s, %s%s, %s\n", relative(f.Path), f.Report.Form, cmp.Or(f.Report.Build.Language, "language not known"), tasks, what)
	}
	var (
		failed  *staging.FailedError
		refused *staging.RefusedError
		usage   *staging.UsageError
	)
	switch {
	case errors.As(err, &failed):
		log.flush()
		return &noError{err.Error()}
	case errors.As(err, &refused):
		return &noError{err.Error()}
	case errors.As(err, &usage):
		return &usageError{err.Error()}
	}
	return causeOf(ctx, err)
}

// relative is path from the working directory, where that is below it.
func relative(path string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
