// Overhead writes the overhead report: `make bench` calls it. It only reads
// flags; package bench does the work.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spider-go/spider/internal/bench"
)

func main() {
	bench.Worker()
	var cfg bench.Config
	flag.StringVar(&cfg.Executor, "executor", "build/bin/spider-task-executor", "the executor's `program`")
	flag.StringVar(&cfg.PackageDir, "package-dir", "build/tdl_packages", "the `directory` that holds the packages")
	flag.Func("against", "another executor's `program`, measured in the same run; may be repeated", func(path string) error {
		cfg.Against = append(cfg.Against, path)
		return nil
	})
	flag.IntVar(&cfg.Calls, "n", 0, "`calls` of each kind (default 10000)")
	flag.IntVar(&cfg.Blocks, "blocks", 0, "`parts` that the calls come in (default 20)")
	dir := flag.String("output-dir", bench.OutputDir(), "where the report goes; $"+bench.EnvOutputDir+" sets the default")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "overhead: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, cfg, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "overhead:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg bench.Config, dir string) error {
	report, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	path, err := report.Write(dir)
	if err != nil {
		return err
	}
	fmt.Print(report.Markdown())
	fmt.Fprintln(os.Stderr, "written to", path)
	return nil
}
