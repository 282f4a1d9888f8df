// Spider runs tasks of native packages from the command line.
//
//	spider run arith add 2 3
//
// Arguments are JSON values, and so are the results on stdout, one to a line.
// What the task prints appears on stderr as it comes. If something goes wrong,
// the last line on stderr says what, and the exit status says whose doing it was:
// see exitStatuses, or spider help statuses.
package main

import (
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/bench"
)

// command is one of spider's commands.
type command struct {
	name, help string

	// fresh makes a struct with a Run method that takes *streams; the command line
	// fills it in.
	fresh func() any

	tags   []string // further ones of package kong's
	hidden bool
}

// commands are all of them, in the order of the help.
var commands = []command{
	{name: "run", fresh: fresh[runCommand], help: "Run one task and print its results."},
	{name: "map", fresh: fresh[mapCommand], help: "Run one task over many inputs."},
	{name: "top", fresh: fresh[topCommand], help: "Watch the maps that run."},
	{name: "inspect", fresh: fresh[inspectCommand], help: "Say what a package is, what it can do, and whether it loads."},
	{name: "packages", fresh: fresh[packagesCommand], help: "List the packages of a directory, and whether they load."},
	{name: "new", fresh: fresh[newCommand], help: "Write a new package that builds, is tested and has a task."},
	{name: "build", fresh: fresh[buildCommand], help: "Build a package and put it in place."},
	{name: "doctor", fresh: fresh[doctorCommand], help: "Look at all that packages need, and say what to do."},
	{name: "bench", fresh: fresh[benchCommand], help: "Measure what a call costs beyond the task."},

	{name: "config", fresh: fresh[configCommand], help: "Print the configuration, and where each value is from."},
	{name: "completion", fresh: fresh[completionCommand], help: "Print a script for the shell, which then completes spider's commands."},
	{name: "help", fresh: fresh[helpCommand], help: "Explain a command, or what all commands have in common."},
	{name: "version", fresh: fresh[versionCommand], help: "Print the version."},

	{name: "man", fresh: fresh[manCommand], hidden: true, help: "Write the manual pages."},
	{name: "__complete", fresh: fresh[completeCommand], hidden: true, tags: []string{`cmd:"" passthrough:""`}, help: "Answer the shell's completion."},
}

func fresh[T any]() any { return new(T) }

// globals are the flags of every command.
type globals struct {
	Config      string      `group:"common" placeholder:"FILE" help:"The only configuration to read. Default: see spider help configuration."`
	Color       string      `group:"common" placeholder:"WHEN" enum:"auto,always,never" default:"auto" help:"Color: auto, always or never. Default: auto, which is on a terminal, unless $$NO_COLOR is set."`
	LogLevel    string      `group:"common" placeholder:"LEVEL" enum:"debug,info,warn,error,off" default:"off" help:"What is logged on stderr, as lines of JSON: debug, info, warn, error or off. Executors log at that level too, unless $$SPIDER_LOG is set. Default: off."`
	ShowVersion versionFlag `group:"common" name:"version" help:"Print the version and exit."`
}

// streams is where a command reads and writes. A command need not check its writes
// to out: a failed one turns success into an error.
type streams struct {
	in  io.Reader
	out *output
	err io.Writer

	// log is what --log-level asks for: nothing, by default.
	log *slog.Logger

	// color is what --color says; see styleOf.
	color string
}

func main() {
	bench.Worker()
	// What this program was started with beyond stdio is not for executors and their tasks.
	// Kernels before Linux 5.11 cannot do it.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// A reader that went away is to be a failed write. SIGPIPE is caught rather
	// than ignored, since executors and tasks would inherit the latter.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	s := &streams{in: stdin, out: &output{w: stdout}, err: stderr, log: slog.New(slog.DiscardHandler)}
	err := dispatch(args, s)
	if err == nil {
		err = s.out.err
	}
	if err != nil {
		s.complain(err)
	}
	return statusOf(err)
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
