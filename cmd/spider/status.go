package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/spider-go/spider/pool"
)

// exitStatuses is what every command's exit status means, for people: the help, the
// manual pages and the README have it from here. Those from 124 on are those of
// timeout(1), env(1) and the shell.
var exitStatuses = []struct{ status, meaning string }{
	{"0", "done"},
	{"1", "the task returned an error, refused its arguments, or is not in the package; of other commands: the answer is no, such as a package that does not build or load, or inputs of `spider map` that failed"},
	{"2", "wrong usage: the command line, the configuration, or arguments that are no JSON or not of the task's types; nothing ran"},
	{"124", "no answer within `--timeout`; the task was killed"},
	{"125", "no answer to be had: there is no executor or no such package, it cannot be loaded, it exited or wrote nonsense instead of answering; or the results could not be written to stdout"},
	{"128+n", "signal n killed the executor while the task ran (139 is SIGSEGV), or ended `spider` itself (130 is Ctrl-C)"},
}

// statusTable is exitStatuses in two columns, in lines of at most width characters.
func statusTable(width int) string {
	var b strings.Builder
	for _, s := range exitStatuses {
		left := s.status
		for _, line := range wrap(strings.ReplaceAll(s.meaning, "`", ""), width-8) {
			fmt.Fprintf(&b, "%-8s%s\n", left, line)
			left = ""
		}
	}
	return b.String()
}

// wrap breaks text into lines of at most width characters, at its spaces.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// The statuses of exitStatuses.
const (
	statusDone     = 0
	statusTask     = 1
	statusUsage    = 2
	statusTimeout  = 124
	statusUnusable = 125
	statusSignal   = 128 // and the signal's number
)

// statusOf is the table of exit statuses:
//
//	nil                                    statusDone
//	*pool.ExecutorError, TaskError         statusTask
//	*noError                               statusTask
//	*unfinishedError                       as of what is in it, but for deaths: statusUnusable
//	*usageError                            statusUsage
//	*pool.TimeoutError                     statusTimeout, also in a *pool.SpawnError
//	*pool.CrashError, died of a signal     statusSignal + n, if a task ran
//	*interruptError                        statusSignal + n
//	all else                               statusUnusable
//
// All else is: the other kinds of *pool.ExecutorError, a *pool.CrashError
// without a signal or while a package was loaded, *pool.SpawnError, *pool.ProtocolError, *pool.TooLargeError,
// *noExecutorError, *resultError and *outputError.
func statusOf(err error) int {
	var (
		answered *pool.ExecutorError
		usage    *usageError
		timeout  *pool.TimeoutError
		crash    *pool.CrashError
		spawn    *pool.SpawnError
		stopped  *interruptError
		no       *noError
		early    *unfinishedError
	)
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &early) && (errors.As(err, &timeout) || errors.As(err, &crash)):
		return statusUnusable // no task's, which would be in a record
	case errors.As(err, &answered) && answered.Kind == pool.TaskError:
		return statusTask
	case errors.As(err, &no):
		return statusTask
	case errors.As(err, &usage):
		return statusUsage
	case errors.As(err, &timeout), early == nil && errors.As(err, &spawn) && errors.As(spawn.Err, &timeout):
		return statusTimeout
	case errors.As(err, &crash) && crash.Phase == pool.PhaseRun && diedOfSignal(crash.Exit):
		return statusSignal + int(crash.Exit.Signal)
	case errors.As(err, &stopped):
		return statusSignal + int(stopped.signal)
	}
	return statusUnusable
}

// diedOfSignal is false for a kill of our own: that is told by its reason.
func diedOfSignal(e pool.Exit) bool { return e.Signal != 0 && e.Killed == "" }

// explain is err's text. A crash's own tells a pool's log what a person at a
// terminal need not know, or has just seen: pid, requests served, stderr.
func explain(err error) string {
	text := err.Error()
	var broken *pool.BreakerError
	if errors.As(err, &broken) {
		// When a pool would try again is nobody's business who has none any more.
		text = strings.Replace(text, broken.Error(), fmt.Sprintf("%v (tried %d times)", broken.Err, broken.Deaths), 1)
		err = broken.Err
	}
	var spawn *pool.SpawnError
	if errors.As(err, &spawn) {
		err = spawn.Err
	}
	var crash *pool.CrashError
	if !errors.As(err, &crash) {
		return text
	}
	return strings.Replace(text, crash.Error(), explainCrash(crash), 1)
}

func explainCrash(crash *pool.CrashError) string {
	var how string
	switch e := crash.Exit; {
	case e.Killed != "":
		how = "the executor was killed: " + e.Killed
	case crash.Panic != "":
		how = crash.Cause()
	case e.Unknown:
		how = "the executor ended " + e.String()
	case e.Signal != 0:
		how = "killed by " + e.String()
	default:
		// Its name, as what exits may be no executor at all.
		how = fmt.Sprintf("the executor %s exited with status %d, without an answer,", crash.Program, e.Code)
	}
	how += fmt.Sprintf(" after %v", roughly(crash.Ran))
	switch crash.Phase {
	case pool.PhaseStart:
		return how // what could not be started, others have said
	case pool.PhaseLoad:
		return fmt.Sprintf("loading package %s: %s", crash.Package, how)
	}
	return fmt.Sprintf("task %s of package %s: %s", crash.Task, crash.Package, how)
}

// roughly keeps three digits.
func roughly(d time.Duration) time.Duration {
	unit := time.Nanosecond
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}

// oneLine makes what a task or a user wrote harmless to the line it stands in
// and to the terminal.
func oneLine(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte(' ')
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// complain writes the last line, which says what went wrong.
func (s *streams) complain(err error) {
	fmt.Fprintf(s.err, "%s %s\n", styleOf(s.color, s.err).red("spider:"), oneLine(explain(err)))
}

// usageError says what is wrong with the command line or the configuration.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// outputError says that stdout does not take what belongs there.
type outputError struct{ err error }

func (e *outputError) Error() string { return fmt.Sprintf("cannot write the output: %v", e.err) }
func (e *outputError) Unwrap() error { return e.err }

// stoppedError says of a task that spider was told to end while it ran.
type stoppedError struct {
	pkg, task string
	err       error // an *interruptError
}

func (e *stoppedError) Error() string {
	return fmt.Sprintf("task %s of package %s: %v", e.task, e.pkg, e.err)
}
func (e *stoppedError) Unwrap() error { return e.err }

// resultError says that a task's results are not what the protocol calls results.
type resultError struct {
	pkg, task string
	err       error
}

func (e *resultError) Error() string {
	return fmt.Sprintf("task %s of package %s: unreadable results: %v", e.task, e.pkg, e.err)
}
func (e *resultError) Unwrap() error { return e.err }

// noError is the answer no: the command has done what it is for, and the outcome is that
// something does not work. Its status is that of a task that has failed.
type noError struct{ message string }

func (e *noError) Error() string { return e.message }
