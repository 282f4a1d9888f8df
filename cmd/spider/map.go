package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spider-go/spider/internal/batch"
	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/internal/typecheck"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

type mapCommand struct {
	Input string   `short:"i" placeholder:"FILE" complete:"file" help:"Read inputs from FILE instead of stdin."`
	Lines bool     `short:"l" help:"Each line is one argument, a string, as it stands."`
	Null  bool     `short:"0" help:"The same, but each ends in a NUL instead of a line end: find -print0."`
	Files []string `short:"f" sep:"none" placeholder:"PATH" complete:"file" help:"The inputs are the paths of all files below PATH, or PATH itself. May be repeated."`

	Jobs       int           `short:"j" placeholder:"N" help:"How many run at once, each in a process of its own. Default: one per CPU."`
	Timeout    time.Duration `placeholder:"30s" help:"Kill a task that has not answered by then. Default: 0, no limit."`
	Retries    int           `placeholder:"N" default:"0" help:"Try an input up to N more times if it ends as --retry-on says. Default: ${default}."`
	RetryOn    []string      `placeholder:"WHAT" enum:"crash,timeout,error" default:"crash,timeout" help:"What is tried again: crash, timeout, error. Default: ${default}."`
	KeepGoing  bool          `default:"true" negatable:"fail-fast" help:"Run all inputs, whatever becomes of some; with --fail-fast, stop at the first that fails. Default: go on."`
	Unordered  bool          `help:"Write each record as soon as it is there. Default: in the order of the inputs."`
	Window     int           `placeholder:"N" default:"10000" help:"How many inputs may be ahead of the slowest. Default: ${default}."`
	Resume     string        `placeholder:"FILE" complete:"file" help:"Write to FILE instead of stdout, after what is there from an earlier run; run only what it lacks."`
	RetryAgain bool          `name:"retry-failed" help:"With --resume, run what has failed again, too."`
	RecordArgs bool          `name:"args" default:"true" negatable:"" help:"Repeat the arguments in the record, up to 1 KiB of them. Default: yes."`
	Progress   bool          `default:"true" negatable:"" help:"Show progress on stderr, if that is a terminal and stdout is none. Default: yes."`
	TaskStderr bool          `default:"true" negatable:"" help:"Pass on what tasks write to stderr, with the input's index in front. Default: yes."`
	Check      bool          `default:"true" negatable:"" help:"Check the arguments against the package's description before they are sent. Default: yes."`
	places

	Package string `arg:"" complete:"package" help:"The package's name."`
	// Passthrough from here on: nothing behind the task's name is a flag.
	Task string   `arg:"" passthrough:"partial" complete:"task" help:"The task's name."`
	Args []string `arg:"" optional:"" name:"arg" help:"Arguments that are the same for all inputs, each a JSON value, and {} where the input's own go. Default: {}."`
}

// Help is what spider map --help adds.
func (*mapCommand) Help() string {
	return `Runs a task once for each input and writes a record of each as a line of JSON:

    {"index":0,"input":"3f0c...","args":["a.txt"],"outcome":"ok","results":[...],...}

An input is a line of stdin: a JSON array of the task's arguments. With --lines or
--null it is one string as it stands; with --files, a file's path. Further arguments
follow the task's name, as for spider run, with {} where the input goes; without {}
it goes last. (An argument that is an empty object is '{ }'.)

--files takes regular files, as find -type f does: below a directory, symbolic links
are not followed, and with FIFOs, sockets and devices they are passed over, which the
summary says. What is named on the command line itself is taken whatever it is, and
followed. To follow all links: find -L DIR -type f -print0 | spider map -0 ...

Strings are UTF-8. A line or file's name that is not is bad_input, and not run.

Examples:

    spider map arith add < pairs.jsonl
    spider map --files src checksum crc32
    spider map --files src checksum xxh64 {} 0
    find . -name '*.log' -print0 | spider map -0 logsearch search {} '"error"' 10
    spider map --timeout 5s --resume out.jsonl --input pairs.jsonl arith add

All inputs are run, whatever becomes of some, as with xargs and parallel: what has
failed is in its record, and the last line on stderr says how many of what cause.
The outcome of a record is ok, or task_error, bad_input, too_large, timeout, crash or
bad_answer, with the reason in error. What every input would meet, such as a package
that does not exist, ends it all and is in no record.

Ctrl-C ends what runs, and writes what is done. Whatever has ended a run, --resume
goes on with it: write to a file with --resume from the start, or name the file that
stdout went to. Each input is then in the file once. What has a record is not run
again, unless it has failed and --retry-failed is given. A half-written last line is
cut off. A file that was made of other inputs, or of another task, is refused; so is one
that several runs were appended to with >>, where each has its own input 0.

Memory does not grow with the number of inputs: no more are read while --window of
them, or 64 MiB, wait for a slower one or for whoever reads the output. --unordered
does not wait for slower ones. Records are written within 50 ms.

Exit status: 0 all inputs that it ran succeeded, whatever is in the file of --resume
from before; 1 some failed; 2 wrong usage, or that file does not fit; 125 it could not
go on: executor, package or output; 128+n ended by signal n (130 is Ctrl-C).

A task is told that it is task INDEX of job 1, in instance ATTEMPT (from 1).
spider top shows running maps.`
}

// argsLimit is up to how many bytes of arguments a record repeats.
const argsLimit = 1 << 10

// Validate is called by kong, before Run.
func (c *mapCommand) Validate() error {
	switch {
	case c.Timeout < 0:
		return fmt.Errorf("--timeout %v is negative", c.Timeout)
	case c.Jobs < 0:
		return fmt.Errorf("--jobs %d is negative", c.Jobs)
	case c.Jobs > maxJobs:
		return fmt.Errorf("--jobs %d: at most %d", c.Jobs, maxJobs)
	case c.Retries < 0:
		return fmt.Errorf("--retries %d is negative", c.Retries)
	case c.Window < 1 || c.Window > maxWindow:
		return fmt.Errorf("--window %d: from 1 to %d", c.Window, maxWindow)
	case c.RetryAgain && c.Resume == "":
		return errors.New("--retry-failed goes with --resume FILE")
	case len(c.Files) > 0 && (c.Input != "" || c.Lines || c.Null):
		return errors.New("--files has its inputs from directories: --input, --lines and --null do not go with it")
	}
	return nil
}

const (
	maxJobs   = 4096
	maxWindow = 10_000_000
)

// arguments is what the words behind the task's name make of an input.
func (c *mapCommand) arguments() (batch.Arguments, error) {
	a := batch.Arguments{Plain: c.plain()}
	if c.Task == "--" && len(c.Args) > 0 {
		// The one that ends the flags, between PACKAGE and TASK.
		c.Task, c.Args = c.Args[0], c.Args[1:]
	}
	place := len(c.Args)
	var fixed []string
	for i, arg := range c.Args {
		if arg != "{}" {
			fixed = append(fixed, arg)
			continue
		}
		if place < len(c.Args) {
			return a, &usageError{"{} stands for the input, and can be there only once; an empty object is '{ }'"}
		}
		place = i
	}
	sequence, err := encodeArguments(fixed)
	if err != nil {
		return a, err
	}
	payloads, err := wire.Split(nil, sequence)
	if err != nil {
		return a, err // encodeArguments has just made it
	}
	a.Before, a.After = payloads[:place], payloads[place:]
	return a, nil
}

func (c *mapCommand) plain() bool { return c.Lines || c.Null || len(c.Files) > 0 }

func (c *mapCommand) end() byte {
	if c.Null {
		return 0
	}
	return '\n'
}

// Run runs all inputs.
func (c *mapCommand) Run(s *streams) error {
	arguments, err := c.arguments()
	if err != nil {
		return err
	}
	ctx, release := interruptible()
	defer release()

	cfg := batch.Config{
		Package: c.Package, Task: c.Task, Arguments: arguments,
		Jobs: c.Jobs, Unordered: c.Unordered, Window: c.Window,
		Timeout: c.Timeout, Retries: c.Retries, FailFast: !c.KeepGoing,
		ArgsLimit: argsLimit, Output: s.out,
	}
	if cfg.Jobs == 0 {
		cfg.Jobs = runtime.NumCPU()
	}
	if !c.RecordArgs {
		cfg.ArgsLimit = -1
	}
	for _, what := range c.RetryOn {
		cfg.RetryOn = append(cfg.RetryOn, retryOn[what]...)
	}
	source, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	defer source.close()
	cfg.Source = source

	run := mapRun{command: c, streams: s, source: source, jobs: cfg.Jobs}
	if c.Resume == "" {
		run.output = findOutputFile(s.out.w)
		if run.output != nil && run.output.midLine {
			return &usageError{fmt.Sprintf("%s ends in the middle of a line, which would spoil the first record: go on with --resume %s, or end that line first",
				run.output.path, shellWord(run.output.path))}
		}
	} else {
		if err := run.resume(&cfg); err != nil {
			return err
		}
		defer run.earlier.Close()
	}
	return run.run(ctx, cfg)
}

var retryOn = map[string][]record.Outcome{
	"crash":   {record.Crash, record.BadAnswer},
	"timeout": {record.Timeout},
	"error":   {record.TaskError},
}

// mapSource is where inputs come from, and how many there are.
type mapSource struct {
	batch.Source
	total atomic.Int64 // 0 as long as that is not known
	count func(context.Context) (int64, bool)
	close func()

	passed func() []batch.Passed // what was no input; nil: nothing can be
}

// open opens the source.
func (c *mapCommand) open(ctx context.Context, s *streams) (*mapSource, error) {
	if len(c.Files) > 0 {
		files, err := batch.NewFiles(c.Files)
		if err != nil {
			return nil, &usageError{"--files: " + err.Error()}
		}
		return &mapSource{Source: files, close: files.Close, passed: files.Passed,
			count: func(ctx context.Context) (int64, bool) { return batch.CountFiles(ctx, c.Files) }}, nil
	}
	in, own := s.in, func() {}
	if c.Input != "" && c.Input != "-" {
		f, err := os.Open(c.Input)
		if err != nil {
			return nil, &usageError{"--input: " + err.Error()}
		}
		in, own = f, func() { f.Close() }
	}
	file, ok := in.(*os.File)
	if !ok {
		return &mapSource{Source: batch.NewLines(in, c.end(), c.plain()), close: own}, nil
	}
	if isTerminal(file) {
		fmt.Fprintln(s.err, "spider: reading inputs from the terminal, one to a line; Ctrl-D ends them")
	}
	r, done, err := batch.Reader(ctx, file)
	if err != nil {
		own()
		return nil, err
	}
	source := &mapSource{Source: batch.NewLines(r, c.end(), c.plain()), close: func() { done(); own() }}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		if out, ok := s.out.w.(*os.File); ok && c.Resume == "" {
			if written, err := out.Stat(); err == nil && os.SameFile(info, written) {
				// Each record would be a further input, without end.
				source.close()
				return nil, &usageError{"the file of inputs is also the one that stdout goes to: write the records to another"}
			}
		}
		source.count = func(ctx context.Context) (int64, bool) {
			// Opened again, as reading it moves the place where the map is.
			f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
			if err != nil {
				return 0, false
			}
			defer f.Close()
			return batch.CountLines(ctx, f, c.end(), c.plain())
		}
	}
	return source, nil
}

// mapRun is one run of spider map.
type mapRun struct {
	command *mapCommand
	streams *streams
	source  *mapSource
	earlier *batch.Earlier // nil without --resume
	output  *outputFile    // nil with it, and if stdout is no file
	screen  *screen
	jobs    int
}

// resume has the output be an earlier one.
func (r *mapRun) resume(cfg *batch.Config) error {
	earlier, err := batch.Open(r.command.Resume, r.command.RetryAgain)
	if err != nil {
		var unfit *batch.EarlierError
		if errors.As(err, &unfit) {
			return &usageError{err.Error()}
		}
		return fmt.Errorf("cannot continue: %w", err)
	}
	r.earlier = earlier
	if earlier.Cut > 0 {
		fmt.Fprintf(r.streams.err, "spider: %s: a half-written last line, of %s bytes, is cut off\n", r.command.Resume, grouped(earlier.Cut))
	}
	cfg.Output = earlier
	cfg.Source = earlier.Rest(cfg, cfg.Source, cfg.Window)
	return nil
}

// skipped is how many inputs need not be run.
func (r *mapRun) skipped() int64 {
	if r.earlier == nil {
		return 0
	}
	return r.earlier.Succeeded + r.earlier.Failed
}

// run runs the batch on a pool of its own.
func (r *mapRun) run(ctx context.Context, cfg batch.Config) error {
	c := r.command
	executor, packageDir, missing := c.find()
	r.screen = newScreen(r.streams, c.Progress, r.earlier == nil)
	poolConfig := pool.Config{
		Executor: executor, PackageDir: packageDir, Executors: cfg.Jobs,
		Logger: r.streams.log,
		Stderr: func(pool.StderrLine) {},
	}
	if c.TaskStderr {
		poolConfig.Stderr = r.screen.taskLine
	}
	poolConfig.Limits.Cores = maxCore()
	watched := newWatched(r)
	poolConfig.Observer = watched
	p, err := pool.New(poolConfig)
	if err != nil {
		return err
	}
	cfg.Pool = p
	describing := describe(catalog.Source{Dir: packageDir, Executor: executor, Timeout: describePatience}, c.Package)
	if describing.remembered {
		// Asked once for many inputs, it need not be remembered.
		earlier, _ := recall(describing.from, c.Package)
		describing.ask(earlier)
	}
	defer describing.cancel()
	if c.Check {
		cfg.Check = checks(describing, c.Task)
	}
	b := batch.New(cfg)

	background, ended := context.WithCancel(ctx)
	var counting sync.WaitGroup
	defer counting.Wait() // it uses the source's descriptor, which is closed then
	defer ended()
	if r.source.count != nil {
		counting.Go(func() {
			if n, ok := r.source.count(background); ok {
				r.source.total.Store(n)
			}
		})
	}
	show := r.screen.show(func() progress { return r.progress(b.Stats()) })
	unwatch := watched.serve(p, b)
	err = b.Run(ctx)
	show.end()
	if err == nil && r.skipped()+b.Stats().Sent == 0 {
		err = absent(ctx, p, c.Package, c.Task, describing)
	}

	closing, cancel := context.WithTimeout(ctx, closePatience)
	defer cancel()
	_ = p.Close(closing) // what does not end is killed
	if r.earlier != nil {
		if closed := r.earlier.Close(); err == nil && closed != nil {
			err = &batch.OutputError{Err: closed}
		}
	}
	err = hint(orMissing(err, missing), c.Package, c.Task, packageDir, describing)
	err = r.ended(b.Stats(), err)
	unwatch(err)
	return err
}

// absent says that there is no such package or task, which no input has found out: none
// was sent.
func absent(ctx context.Context, p *pool.Pool, pkg, task string, describing *describing) error {
	<-describing.done
	if d := describing.description; d != nil && !slices.ContainsFunc(d.Tasks, func(t tdl.TaskDescription) bool { return t.Name == task }) {
		return &pool.ExecutorError{Package: pkg, Task: task, Kind: pool.TaskError, Err: tdl.Errorf(tdl.TaskNotFound, "%s", task)}
	}
	// Nobody has this task; the package is loaded before that shows.
	_, err := p.Execute(ctx, pool.Request{Package: pkg, Task: absentTask})
	var answered *pool.ExecutorError
	if errors.As(err, &answered) && answered.Kind == pool.TaskError {
		return nil
	}
	return err
}

// absentTask is a task that no package has.
const absentTask = "__spider_load"

// checks says what is wrong with arguments, as far as the package describes its tasks.
func checks(d *describing, task string) func(inputs []byte) error {
	checker := sync.OnceValue(func() *typecheck.Checker {
		<-d.done
		return typecheck.New(d.description)
	})
	return func(inputs []byte) error {
		values, err := wire.Split(nil, inputs)
		if err != nil {
			return err
		}
		return checker().Check(task, values)
	}
}

// closePatience is how long executors may take to end when nothing runs any more.
const closePatience = 5 * time.Second

func (r *mapRun) progress(s batch.Stats) progress {
	total := r.source.total.Load()
	if s.ReadAll {
		total = r.skipped() + s.Taken
	}
	return progress{
		done: r.skipped() + s.Done, skipped: r.skipped(), total: total, failed: s.Failed,
		rate: s.Rate, took: time.Since(s.Started),
	}
}

// ended says how it went, and what the command ends with.
func (r *mapRun) ended(s batch.Stats, err error) error {
	nothing := s.Done == 0 && r.skipped() == 0
	var unwritten *batch.OutputError
	if errors.As(err, &unwritten) {
		s.Done = s.Written // the rest is in no file
	}
	done := fmt.Sprintf("%s done", grouped(s.Done))
	if total := r.source.total.Load(); err != nil && total > 0 {
		done = fmt.Sprintf("%s of %s done", grouped(s.Done), grouped(total-r.skipped()))
	}
	if skipped := r.skipped(); skipped > 0 {
		done += fmt.Sprintf(", %s before", grouped(skipped))
	}
	took := time.Since(s.Started)
	if err == nil {
		r.tellPassed()
		if r.earlier != nil && r.earlier.Failed > 0 {
			fmt.Fprintf(r.streams.err, "spider: %s failed before: --retry-failed runs what has\n", grouped(r.earlier.Failed))
		}
		if r.screen.summary {
			slowest := ""
			if s.Done > 1 {
				slowest = fmt.Sprintf("; the slowest, input %d, took %v", s.Slowest.Index, roughly(s.Slowest.Took))
			}
			fmt.Fprintf(r.streams.err, "spider: %s in %v, %s%s\n", done, roughly(took), perSecond(float64(s.Done)/took.Seconds()), slowest)
		}
		if s.Failed == 0 {
			return nil
		}
		text := fmt.Sprintf("%s of %s failed: %s", grouped(s.Failed), grouped(s.Done), causes(s))
		if s.Sent == 0 && !r.command.plain() {
			text += "; an input is a JSON array of arguments, or, with --lines, a line of text, or, with --files, a file's name"
		}
		return &noError{text}
	}
	var other *batch.OtherInputsError
	if errors.As(err, &other) {
		if s.Done == 0 {
			return &usageError{other.Error() + "; nothing was run"}
		}
		return &usageError{other.Error()}
	}
	if s.Failed > 0 {
		done += fmt.Sprintf(", %s of them failed: %s", grouped(s.Failed), causes(s))
	}
	var stopped *batch.StoppedError
	first := errors.As(err, &stopped) && errors.Is(err, batch.ErrFailFast)
	if first {
		err = &noError{fmt.Sprintf("stopped as input %d has failed (--fail-fast)", stopped.Index)}
	}
	if nothing {
		return &unfinishedError{err, ""}
	}
	return &unfinishedError{err, done + r.howToResume()}
}

// tellPassed says what was below --files and no input.
func (r *mapRun) tellPassed() {
	if r.source.passed == nil {
		return
	}
	var total int64
	var kinds []string
	for _, p := range r.source.passed() {
		total += p.Count
		what := p.Many
		if p.Count == 1 {
			what = p.One
		}
		kinds = append(kinds, grouped(p.Count)+" "+what)
	}
	switch {
	case total == 1:
		fmt.Fprintf(r.streams.err, "spider: %s is no regular file and was passed over\n", kinds[0])
	case total > 1:
		fmt.Fprintf(r.streams.err, "spider: %s are no regular files and were passed over\n", strings.Join(kinds, ", "))
	}
}

// causes is why inputs have failed, such as "2 crashed (SIGSEGV), 1 timed out after 1s".
func causes(s batch.Stats) (text string) {
	const most = 6
	rest := int64(0)
	for i, cause := range s.Causes {
		if i >= most {
			rest += cause.Count
			continue
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s", grouped(cause.Count), cause.Text)
	}
	if rest > 0 {
		text += fmt.Sprintf(", %s of other causes", grouped(rest))
	}
	return text
}

// howToResume says how to go on, if that is possible.
func (r *mapRun) howToResume() string {
	if r.command.Resume != "" {
		return "; go on with the same command"
	}
	if r.output == nil {
		return ""
	}
	return r.output.howToResume()
}

// unfinishedError says that a map has ended early, what is done, and how to go on.
type unfinishedError struct {
	err  error
	done string
}

func (e *unfinishedError) Error() string {
	if e.done == "" {
		return e.err.Error()
	}
	return e.err.Error() + ": " + e.done
}
func (e *unfinishedError) Unwrap() error { return e.err }
