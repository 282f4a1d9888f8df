// Spider-task-executor runs tasks of native packages for a parent process.
//
// It reads framed requests from stdin and writes framed responses to stdout
// (docs/PROTOCOL.md), one task at a time, until it is told to shut down or stdin
// ends. It is started by a pool, by the spider command, or by any other program
// that speaks the protocol; a person has no reason to start it by hand.
//
// As "spider-task-executor --describe PACKAGE" it prints what the package tells about
// itself, as JSON, and exits: 0; 3 if it tells nothing; 1 if it cannot be used, with the
// reason on stderr.
//
// With --help, or with a terminal for stdin, it says that. Other arguments it ignores, so that
// no parent that passes some is without an executor.
//
// As "spider-task-executor --examine FILE" it loads a library wherever it is, and prints a
// line of JSON for each step of that before it begins and when it is done.
//
// Environment:
//
//	SPIDER_TDL_PACKAGE_DIR  required: packages are <dir>/<name>/lib<name>.so
//	SPIDER_LOG              debug, info, warn (default), error or off; JSON
//	                        lines on stderr. Where unset: RUST_LOG's bare level
//	SPIDER_PARENT_WATCH     off: live on when the parent ends
//	SPIDER_SPIN             how long to look for the next request before
//	                        blocking, up to 1ms; default: not at all
//	SPIDER_SHARED_MEMORY    set by pool: a descriptor, see docs/PROTOCOL.md
//	SPIDER_CORE_DUMPS       on: keep the inherited core size limit
//
// Exit status: 0 after a shutdown request or the end of stdin, 1 if it could not
// start or the protocol was damaged, with the reason on stderr. A task that
// crashes takes the process with it, visibly: by its signal.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/loader"
)

func init() { executor.LockMainThread() }

const usage = `This is the task executor of Spider. It is started by a parent, which speaks the
executor protocol with it on stdin and stdout. By hand:

    spider run PACKAGE TASK [ARGUMENT...]
    spider-task-executor --describe PACKAGE    what a package tells about itself, as JSON
    spider-task-executor --examine FILE        how far loading a library comes, as JSON

Packages are $SPIDER_TDL_PACKAGE_DIR/NAME/libNAME.so.
`

func main() {
	args := os.Args[1:]
	switch {
	case len(args) == 2 && args[0] == "--describe":
		exit(describe(args[1]))
	case len(args) == 2 && args[0] == "--examine":
		exit(examine(args[1]))
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		_, err := os.Stdout.WriteString(usage)
		exit(err)
	case executor.IsTerminal(0):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	os.Exit(executor.Main(executor.Config{
		Open: func(log *slog.Logger) (executor.Runner, error) {
			l, err := loader.New(os.Getenv(loader.EnvPackageDir), log)
			if err != nil {
				return nil, err
			}
			return l, nil
		},
		Protect: loader.Protect,
	}))
}

// exit ends the process after what err says.
func exit(err error) {
	if err == nil {
		os.Exit(0)
	}
	fmt.Fprintln(os.Stderr, "spider-task-executor:", err)
	var silent *loader.NotDescribedError
	if errors.As(err, &silent) {
		os.Exit(executor.StatusNotDescribed)
	}
	os.Exit(1)
}

// describe opens a package and prints what it says.
func describe(name string) error {
	l, err := loader.New(os.Getenv(loader.EnvPackageDir), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	stdout, err := protect()
	if err != nil {
		return err
	}
	text, err := l.Describe(name)
	if err != nil {
		return err
	}
	_, err = stdout.Write(append(text, '\n'))
	return err
}

// examine opens a library and prints each step.
func examine(path string) error {
	stdout, err := protect()
	if err != nil {
		return err
	}
	var failed error
	loader.Examine(path, func(f executor.Finding) {
		line, err := json.Marshal(f)
		if err == nil {
			_, err = stdout.Write(append(line, '\n'))
		}
		if err != nil && failed == nil {
			failed = err
		}
	})
	return failed
}

// protect is for a process that is no executor, but in which code of packages runs. It
// returns what was stdout.
func protect() (io.Writer, error) {
	stdio, err := executor.TakeStdio()
	if err != nil {
		return nil, err
	}
	executor.LimitResources()
	return stdio, loader.Protect(executor.AllProtections)
}
