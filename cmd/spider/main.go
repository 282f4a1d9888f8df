// Spider runs tasks of native packages from the command line.
//
//	spider run arith add 2 3
//
// Arguments are JSON values, and so are the results on stdout, one to a line.
// What the task prints appears on stderr as it comes. If something goes wrong,
// the last line on stderr says what, and the exit status says whose doing it was:
//
//	0      the task is done
//	1      the task returned an error: it failed, it refused its arguments, or
//	       the package has no such task
//	2      wrong usage; nothing ran
//	124    no answer within --timeout
//	125    no answer to be had: there is no executor or no such package, it
//	       cannot be loaded, it exited or wrote nonsense instead of answering;
//	       or the results could not be written to stdout
//	128+n  signal n killed the executor while the task ran (139 is SIGSEGV), or
//	       ended spider itself (130 is Ctrl-C)
//
// See spider run --help for the flags.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/spider-go/spider/internal/bench"
)

// commands is the grammar: one field per command, each with a Run method that
// takes *streams.
type commands struct {
	Run      runCommand      `cmd:"" help:"Run one task and print its results."`
	Inspect  inspectCommand  `cmd:"" help:"Say what a package is, what it can do, and whether it loads."`
	Packages packagesCommand `cmd:"" help:"List the packages of a directory, and whether they load."`
	New      newCommand      `cmd:"" help:"Write a new package that builds, is tested and has a task."`
	Build    buildCommand    `cmd:"" help:"Build a package and put it in place."`
	Doctor   doctorCommand   `cmd:"" help:"Look at all that packages need, and say what to do."`
	Bench    benchCommand    `cmd:"" help:"Measure what a call costs beyond the task."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

const description = `Run tasks of native packages.

Example: spider run arith add 2 3`

// streams is where a command writes. A command need not check its writes to
// out: a failed one turns success into an error.
type streams struct {
	out *output
	err io.Writer
}

func main() {
	bench.Worker()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	// A reader that went away is to be a failed write. SIGPIPE is caught rather
	// than ignored, since executors and tasks would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	s := &streams{out: &output{w: stdout}, err: stderr}
	err := dispatch(args, s)
	if err == nil {
		err = s.out.err
	}
	if err != nil {
		fmt.Fprintf(stderr, "spider: %s\n", oneLine(explain(err)))
	}
	return statusOf(err)
}

func dispatch(args []string, s *streams) error {
	// Kong expects exit not to return. It does no harm that it does here, as
	// long as nothing runs after it.
	exited := false
	parser, err := kong.New(&commands{},
		kong.Name("spider"),
		kong.Description(description),
		kong.Writers(s.out, s.err),
		kong.Exit(func(int) { exited = true }),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
		kong.Vars{"default_package_dir": defaultPackageDir, "output_dir_variable": bench.EnvOutputDir},
	)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	parsed, err := parser.Parse(args)
	switch {
	case exited, s.out.err != nil: // by --help
		return s.out.err
	case err != nil:
		return &usageError{fmt.Sprintf("%v (see spider --help)", err)}
	}
	return parsed.Run(s)
}

// printHelp is kong's, but for the usage line of a command: kong has the flags
// last, where they would be the task's arguments.
func printHelp(o kong.HelpOptions, c *kong.Context) error {
	if command := c.Selected(); command != nil {
		o.NoAppSummary = true
		usage := "Usage: " + command.FullPath() + " [flags]"
		for _, arg := range command.Positional {
			usage += " " + arg.Summary()
		}
		fmt.Fprintf(c.Stdout, "%s\n", usage)
	}
	return kong.DefaultHelpPrinter(o, c)
}

// output remembers that a write failed.
type output struct {
	w   io.Writer
	err error // the first, an *outputError
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil && o.err == nil {
		o.err = &outputError{err}
	}
	return n, err
}

type versionCommand struct{}

// Run prints what the go command recorded: a tag, or a commit, or (devel).
func (versionCommand) Run(s *streams) error {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(s.out, "spider %s\n", version)
	return nil
}
