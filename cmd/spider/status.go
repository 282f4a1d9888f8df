package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spider-go/spider/pool"
)

// The exit statuses. The ones from 124 on are those of timeout(1), env(1) and
// the shell.
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
//	*usageError                            statusUsage
//	*pool.TimeoutError                     statusTimeout
//	*pool.CrashError, died of a signal     statusSignal + n
//	*signalError, *interruptError          statusSignal + n
//	all else                               statusUnusable
//
// All else is: the other kinds of *pool.ExecutorError, a *pool.CrashError
// without a signal, *pool.SpawnError, *pool.ProtocolError, *pool.TooLargeError,
// *noExecutorError, *resultError and *outputError.
func statusOf(err error) int {
	var (
		answered *pool.ExecutorError
		usage    *usageError
		timeout  *pool.TimeoutError
		crash    *pool.CrashError
		signaled *signalError
		stopped  *interruptError
		no       *noError
	)
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &answered) && answered.Kind == pool.TaskError:
		return statusTask
	case errors.As(err, &no):
		return statusTask
	case errors.As(err, &usage):
		return statusUsage
	case errors.As(err, &timeout):
		return statusTimeout
	case errors.As(err, &crash) && diedOfSignal(crash.Exit):
		return statusSignal + int(crash.Exit.Signal)
	case errors.As(err, &signaled):
		return statusSignal + int(signaled.signal)
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
	var crash *pool.CrashError
	if !errors.As(err, &crash) {
		return err.Error()
	}
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
	return fmt.Sprintf("task %s of package %s: %s after %v", crash.Task, crash.Package, how, roughly(crash.Ran))
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

// usageError says what is wrong with the command line.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// outputError says that stdout does not take what belongs there.
type outputError struct{ err error }

func (e *outputError) Error() string { return fmt.Sprintf("cannot write the output: %v", e.err) }
func (e *outputError) Unwrap() error { return e.err }

// signalError says that spider itself was told to end.
type signalError struct {
	pkg, task string
	signal    syscall.Signal
}

func (e *signalError) Error() string {
	return fmt.Sprintf("task %s of package %s: stopped by %v", e.task, e.pkg, pool.Exit{Signal: e.signal})
}

// resultError says that a task's results are not what the protocol calls results.
type resultError struct {
	pkg, task string
	err       error
}

func (e *resultError) Error() string {
	return fmt.Sprintf("task %s of package %s: unreadable results: %v", e.task, e.pkg, e.err)
}
func (e *resultError) Unwrap() error { return e.err }
