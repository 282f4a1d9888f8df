package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

type runCommand struct {
	Timeout time.Duration `placeholder:"30s" help:"Kill the task if it has not answered by then. Default: 0, no limit, as a task may run for hours."`
	places

	Package string `arg:"" help:"The package's name."`
	// Passthrough from here on: nothing behind the task's name is a flag.
	Task string   `arg:"" passthrough:"partial" help:"The task's name."`
	Args []string `arg:"" optional:"" name:"arg" help:"The task's arguments, each a JSON value."`
}

// Help is what spider run --help adds.
func (*runCommand) Help() string {
	return `Flags stand before the task's name; everything after it is an argument, also -1.
An argument is one JSON value, so a string needs its own quotes. Results are
printed as JSON, one to a line. NaN, Infinity and -Infinity are accepted too,
and printed as strings.

A package that is a program of its own, DIR/NAME/NAME, runs without an executor,
unless --executor names one.

Examples:

    spider run arith add 2 3
    spider run --timeout 30s text split '"a,b"' '","'
    spider run stats mean '[1.5, 2, -1e3]'

Exit status: 0 done; 1 the task returned an error; 2 wrong usage; 124 timed
out; 125 the executor or the package could not be used; 128+n killed by
signal n.

The task is told that it is task 0 of job 1, in instance 1, of resource group 1.`
}

// Validate is called by kong, before Run.
func (c *runCommand) Validate() error {
	if c.Timeout < 0 {
		return fmt.Errorf("--timeout %v is negative", c.Timeout)
	}
	return nil
}

// Run runs the task on an executor of its own.
func (c *runCommand) Run(s *streams) error {
	if c.Task == "--" && len(c.Args) > 0 {
		// The one that ends the flags, between PACKAGE and TASK.
		c.Task, c.Args = c.Args[0], c.Args[1:]
	}
	inputs, err := encodeArguments(c.Args)
	if err != nil {
		return err
	}
	context, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		return err
	}
	executor, packageDir, missing := c.find()
	cfg := pool.ProcessConfig{
		Executor:   executor,
		PackageDir: packageDir,
		OnStderr:   func(line string) { _, _ = io.WriteString(s.err, line+"\n") },
	}
	if c.Executor == "" {
		cfg.Package = c.Package
	}
	if os.Getenv("SPIDER_CORE_DUMPS") == "on" {
		cfg.Limits.Cores = -1 // what spider itself may
	}
	request := pool.Request{Package: c.Package, Task: c.Task, Context: context.Encode(), Inputs: inputs}
	result, err := execute(cfg, request, c.Timeout)
	var spawn *pool.SpawnError
	if missing != nil && errors.As(err, &spawn) && spawn.Executor == "" {
		// The package is no program, so one is needed.
		return missing
	}
	if err != nil {
		return err
	}
	lines, err := resultLines(result.Outputs)
	if err != nil {
		return &resultError{c.Package, c.Task, err}
	}
	if len(lines) > 0 {
		_, _ = s.out.Write(lines)
	}
	return nil
}

// execute runs one task. When it returns, the executor is gone and all its
// stderr has been passed on.
func execute(cfg pool.ProcessConfig, r pool.Request, timeout time.Duration) (pool.Result, error) {
	stop := catchStop()
	defer stop.release()
	p, err := pool.StartProcess(cfg)
	if err != nil {
		return pool.Result{}, err
	}
	defer p.Close()
	stop.kills(p)

	result, err := p.Execute(r, timeout)
	p.Shutdown()
	if sig := stop.caught(); sig != 0 {
		return pool.Result{}, &signalError{r.Package, r.Task, sig}
	}
	return result, err
}

// resultLines writes each payload as a line of JSON.
func resultLines(outputs []byte) ([]byte, error) {
	results, err := wire.Parse(outputs)
	if err != nil {
		return nil, err
	}
	var lines []byte
	for i, payload := range results.All() {
		if lines, _, err = msgpack.AppendJSON(lines, payload); err != nil {
			return nil, fmt.Errorf("result %d: %w", i+1, err)
		}
		lines = append(lines, '\n')
	}
	return lines, nil
}
