package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

type runCommand struct {
	Timeout  time.Duration `placeholder:"30s" help:"Kill the task if it has not answered by then. Default: 0, no limit, as a task may run for hours."`
	ArgsFile string        `placeholder:"FILE" complete:"file" help:"Read the arguments from FILE, or from stdin for -, as one JSON array of them."`
	JSON     bool          `help:"Print one JSON object instead of the results: outcome, results or error, times, executor. Also if the task fails."`
	Check    bool          `default:"true" negatable:"" help:"Check the arguments against the package's description before anything runs, and give hints by it. Default: yes."`
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

Where the package describes its tasks, the arguments are checked before anything
runs: a wrong one is told by its position, its name and the type that it should have.
With --no-check they are left to the task.

A package that is a program of its own, DIR/NAME/NAME, runs without an executor,
unless --executor names one.

Examples:

    spider run arith add 2 3
    spider run --timeout 30s text split '"a,b"' '","'
    spider run --json stats mean '[1.5, 2, -1e3]'
    jq -c '[.name, .tags]' item.json | spider run --args-file - index put

Exit status: 0 done; 1 the task returned an error; 2 wrong usage or arguments; 124
timed out; 125 the executor or the package could not be used; 128+n killed by
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
	call := call{started: time.Now()}
	err := c.call(s, &call)
	if c.JSON {
		line, fault := call.record(err)
		if fault != nil {
			return cmp.Or(err, fault)
		}
		_, _ = s.out.Write(line)
		return err
	}
	if err == nil && len(call.results) > 0 {
		var lines []byte
		for _, value := range call.results {
			lines = append(append(lines, value...), '\n')
		}
		_, _ = s.out.Write(lines)
	}
	return err
}

// call is one call and what came of it.
type call struct {
	started  time.Time
	result   pool.Result
	results  []json.RawMessage
	executor *record.Executor // nil if none has started
}

// record is the call as a line of JSON.
func (c *call) record(err error) ([]byte, error) {
	r := record.Read(c.started, c.result, c.results, err)
	var missing *noExecutorError
	var stopped *interruptError
	var unreadable *resultError
	switch {
	case errors.As(err, &missing):
		r.Outcome = record.Unavailable
	case errors.As(err, &stopped):
		r.Outcome = record.Canceled
	case errors.As(err, &unreadable):
		r.Outcome = record.BadAnswer
	}
	r.Executor = c.executor
	return r.Line()
}

// call fills in c.
func (c *runCommand) call(s *streams, call *call) error {
	inputs, err := c.inputs(s.in)
	if err != nil {
		return err
	}
	task, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		return err
	}
	executor, packageDir, missing := c.find()
	cfg := pool.ProcessConfig{
		Executor:   executor,
		PackageDir: packageDir,
		MaxPayload: maxPayload,
		Phases:     true,
		OnStderr:   func(line string) { _, _ = io.WriteString(s.err, line+"\n") },
	}
	if c.Executor == "" {
		cfg.Package = c.Package
	}
	cfg.Limits.Cores = maxCore()
	describing := undescribed()
	if c.Check {
		describing = describe(catalog.Source{
			Dir: packageDir, Executor: executor, PreferLibrary: c.Executor != "",
			Timeout: describePatience,
		}, c.Package)
	}
	defer describing.stop()
	if describing.remembered {
		// At once, and without an executor if they are refused.
		if err := c.check(s, describing, inputs); err != nil {
			return err
		}
	}

	encoded, err := task.Encode()
	if err != nil {
		return err
	}
	request := pool.Request{Package: c.Package, Task: c.Task, Context: encoded, Inputs: inputs}
	err = c.execute(s, cfg, request, describing, call)
	if err = orMissing(err, missing); err != nil {
		return hint(err, c.Package, c.Task, packageDir, describing)
	}
	if call.results, err = record.Results(call.result.Outputs); err != nil {
		return &resultError{c.Package, c.Task, err}
	}
	return nil
}

// inputs are the arguments, from wherever they are to be had.
func (c *runCommand) inputs(stdin io.Reader) ([]byte, error) {
	if c.ArgsFile == "" {
		return encodeArguments(c.Args)
	}
	if len(c.Args) > 0 {
		return nil, &usageError{"the arguments are either behind the task's name or in --args-file " + c.ArgsFile + ", not both"}
	}
	return argumentsOf(c.ArgsFile, stdin)
}

// execute runs one task. When it returns, the executor is gone and all its
// stderr has been passed on.
func (c *runCommand) execute(s *streams, cfg pool.ProcessConfig, r pool.Request, describing *describing, call *call) error {
	ctx, release := interruptible()
	defer release()
	p, err := pool.StartProcess(cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	call.executor = &record.Executor{PID: p.PID(), Program: p.Program()}
	s.log.Debug("executor started", "pid", p.PID(), "program", p.Program())
	// It leads a process group of its own, so the terminal's signals do not reach it.
	undisturbed := context.AfterFunc(ctx, func() { p.Kill("spider was " + context.Cause(ctx).Error()) })

	// The package describes itself while the executor starts. If that ends, or is
	// killed by a signal, there is nothing to wait for.
	select {
	case <-describing.done:
	case <-p.Exited():
		describing.cancel()
	}
	var fault error
	if !describing.remembered {
		fault = c.check(s, describing, r.Inputs)
	}
	if fault == nil {
		sent := time.Now()
		call.result, err = p.Execute(r, c.Timeout)
		s.log.Debug("task answered", "package", c.Package, "task", c.Task, "duration", time.Since(sent),
			"executor_time", call.result.ExecutorTime, "ok", err == nil)
	}
	exit := p.Shutdown()
	s.log.Debug("executor ended", "pid", p.PID(), "how", exit.String())
	if !undisturbed() {
		return &stoppedError{r.Package, r.Task, context.Cause(ctx)}
	}
	return cmp.Or(fault, err)
}

// check is what the package's description has against the arguments, a *usageError.
func (c *runCommand) check(s *streams, d *describing, inputs []byte) error {
	err := d.check(c.Task, inputs)
	if err == nil {
		return nil
	}
	s.log.Debug("arguments refused", "package", c.Package, "task", c.Task, "error", err.Error())
	return &usageError{fmt.Sprintf("task %s of package %s: %v", c.Task, c.Package, err)}
}
