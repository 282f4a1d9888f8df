package main

import (
	"cmp"
	"fmt"

	"github.com/spider-go/spider/internal/bench"
)

type benchCommand struct {
	places
	Against   []string `placeholder:"PATH" help:"Another executor's program, measured in the same run. May be repeated."`
	Only      []string `placeholder:"PART,..." enum:"calls,sizes,rates,deaths,starts,flat" complete:"enum" help:"Measure these parts: ${enum}. Default: all."`
	Calls     int      `short:"n" default:"10000" help:"Calls of each kind, and at most for each size. Default: ${default}."`
	FlatCalls int      `default:"100000" help:"Calls over which memory, descriptors and threads must stay flat. Default: ${default}."`
	OutputDir string   `placeholder:"DIR" help:"Where the report goes. Default: $$${output_dir_variable}, else build/bench."`
}

// Help is what spider bench --help adds.
func (*benchCommand) Help() string {
	return `Measures, in one run, what a call costs beyond its task:

    calls   single small calls, on one core and on two: p50, p95, p99
    sizes   payloads from 100 B to 64 MiB
    rates   calls per second with 1, 2, 4 and 8 executors
    deaths  from the death of an executor to the next answer
    starts  from the start of an executor to its first answer
    flat    memory, descriptors and threads over many calls

Beside it bare C programs do the same over two pipes and over shared memory. All
take turns on the same cores, so that they can be compared on a machine that others
use too. It takes about two minutes.

Prints the report, which begins with the aims and whether they were met, and writes
it to the output directory: ` + bench.ReportFile + ` with charts, ` + bench.JSONFile + `, and
` + bench.OverheadFile + ` with the small calls alone.

Example:

    spider bench --against /usr/local/bin/other-executor`
}

// Run measures, prints the report and writes it.
func (c *benchCommand) Run(s *streams) error {
	if c.Calls < 1 {
		return &usageError{fmt.Sprintf("--calls %d: at least 1", c.Calls)}
	}
	if c.FlatCalls < bench.LeastFlatCalls {
		return &usageError{fmt.Sprintf("--flat-calls %d: at least %d", c.FlatCalls, bench.LeastFlatCalls)}
	}
	executor, packageDir, err := c.find()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	cfg := bench.Config{
		Executor:   executor,
		PackageDir: packageDir,
		Against:    c.Against,
		Calls:      c.Calls,
		FlatCalls:  c.FlatCalls,
	}
	for _, part := range c.Only {
		cfg.Only = append(cfg.Only, bench.Part(part))
	}
	report, err := bench.Run(ctx, cfg, func(part string) {
		fmt.Fprintf(s.err, "spider: measuring %s\n", part)
	})
	if err != nil {
		return causeOf(ctx, err)
	}
	path, err := report.Write(cmp.Or(c.OutputDir, bench.OutputDir()))
	if err != nil {
		return err
	}
	fmt.Fprint(s.out, report.Markdown())
	fmt.Fprintln(s.err, "spider: written to", path)
	return nil
}
