package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spider-go/spider/internal/bench"
)

type benchCommand struct {
	places
	Against   []string `placeholder:"PATH" help:"Another executor's program, measured in the same run. May be repeated."`
	Calls     int      `short:"n" default:"10000" help:"Calls of each kind. Default: ${default}."`
	Pool      bool     `help:"Measure the pool instead: calls, rates, deaths, starts."`
	OutputDir string   `placeholder:"DIR" help:"Where the report goes. Default: $$${output_dir_variable}, else build/bench."`
}

// Help is what spider bench --help adds.
func (*benchCommand) Help() string {
	return `Runs the task instrument of package integration_test_tasks, which sleeps for a
moment and echoes 100 strings, and a task that does nothing, call by call beside
a bare C program that echoes the same bytes over two pipes. Once with both ends
on one core, once on two. Prints the report and writes it to
` + bench.FileName + ` in the output directory.

With --pool: what a call through a pool costs beyond a bare handle, calls per
second with 1 to 8 executors, and how long it takes from a death to the next
answer and from a start to the first. Written to ` + bench.PoolFileName + `.

Example:

    spider bench --against /usr/local/bin/other-executor`
}

// Run measures, prints the report and writes it.
func (c *benchCommand) Run(s *streams) error {
	if c.Pool && len(c.Against) > 0 {
		return &usageError{"--pool measures one executor: give another one with --executor, not --against"}
	}
	if c.Calls < 1 {
		return &usageError{fmt.Sprintf("--calls %d: at least 1", c.Calls)}
	}
	executor, packageDir, err := c.find()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := bench.Config{
		Executor:   executor,
		PackageDir: packageDir,
		Against:    c.Against,
		Calls:      c.Calls,
	}
	var report interface {
		Markdown() string
		Write(dir string) (path string, err error)
	}
	if c.Pool {
		report, err = bench.RunPool(ctx, cfg)
	} else {
		report, err = bench.Run(ctx, cfg)
	}
	if err != nil {
		return err
	}
	path, err := report.Write(cmp.Or(c.OutputDir, bench.OutputDir()))
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, report.Markdown())
	fmt.Fprintln(s.err, "spider: written to", path)
	return nil
}
