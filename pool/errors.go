package pool

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/tdl"
)

// ErrorKind tells apart what an executor can answer instead of outputs. The text
// is the variant's name on the wire.
type ErrorKind string

// What an executor can answer instead of outputs.
const (
	// InvalidLibrary: the package is missing, is no library, lacks a symbol,
	// or has another name.
	InvalidLibrary ErrorKind = "InvalidLibrary"
	// IncompatibleVersion: the package was built for another ABI version.
	IncompatibleVersion ErrorKind = "IncompatibleVersion"
	// DuplicatePackage: another package of that name is loaded already. Only
	// the Rust executor answers this.
	DuplicatePackage ErrorKind = "DuplicatePackage"
	// InvalidUtf8: the package's declared name is not text.
	InvalidUtf8 ErrorKind = "InvalidUtf8"
	// TaskError: the task ran, or was refused by its package.
	TaskError ErrorKind = "TaskError"
	// PackageInitError: the package's init hook failed.
	PackageInitError ErrorKind = "PackageInitError"
	// ErrorPayloadDeserializationFailure: the package failed, and its error
	// cannot be read.
	ErrorPayloadDeserializationFailure ErrorKind = "ErrorPayloadDeserializationFailure"
)

// ExecutorError is a failure that the executor answered. The process lives on;
// running the same request again gives the same answer, unless the task or the
// package changes.
type ExecutorError struct {
	Package, Task string
	Kind          ErrorKind

	// Err is the task's or the init hook's own error, for TaskError and
	// PackageInitError; else nil.
	Err *tdl.Error

	// Message says what is wrong, for every kind without Err.
	Message string
}

func (e *ExecutorError) Error() string {
	if e.Kind == TaskError && e.Err != nil {
		return fmt.Sprintf("task %s of package %s: %v", e.Task, e.Package, e.Err)
	}
	if strings.Contains(e.Message, e.Package) {
		return e.Message
	}
	return fmt.Sprintf("package %s: %s", e.Package, e.Message)
}

// Unwrap returns the task's own error, an *[tdl.Error], if there is one.
func (e *ExecutorError) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return e.Err
}

func executorError(w *protocol.ExecutorError, r *Request) *ExecutorError {
	e := &ExecutorError{Package: r.Package, Task: r.Task, Kind: ErrorKind(w.Variant), Message: w.Error()}
	if w.Task != nil {
		e.Err = &tdl.Error{Kind: tdl.ErrorKind(w.Task.Variant), Message: w.Task.Message}
	}
	return e
}

// SpawnError says that an executor could not be started.
type SpawnError struct {
	Executor string // or the package that is a program; "" if there is neither
	Err      error
}

func (e *SpawnError) Error() string {
	if e.Executor == "" {
		return fmt.Sprintf("cannot start an executor: %v", e.Err)
	}
	return fmt.Sprintf("cannot start the executor %s: %v", e.Executor, e.Err)
}
func (e *SpawnError) Unwrap() error { return e.Err }

// TooLargeError says that a request does not fit into a frame. Nothing was sent;
// the process is untouched. Sending it again cannot help: pass less, or a path.
type TooLargeError struct {
	Package, Task string
	Size, Limit   int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("task %s of package %s: the request has %d bytes, over the limit of %d: pass less, or a reference to it",
		e.Task, e.Package, e.Size, e.Limit)
}

// TimeoutError says that a task did not answer in time. Its process has been
// killed, with all that the task forked.
type TimeoutError struct {
	Package, Task string
	Limit         time.Duration
	Exit          Exit
	Stderr        []string // last lines
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("task %s of package %s: no answer within %v; executor killed", e.Task, e.Package, e.Limit)
}

// Timeout reports true, as for the net package's errors.
func (e *TimeoutError) Timeout() bool { return true }

// CrashError says that the process ended without an answer.
type CrashError struct {
	Package, Task string
	Program       string // see Process.Program
	Exit          Exit

	// Panic is the message of the panic, or the fatal error, of which the
	// process has died according to what it printed; "" if it was none.
	Panic string

	Ran    time.Duration // since the request was sent
	Served int           // requests answered before

	// Stderr is the last lines. If there is a Panic, it has the first lines of
	// the trace too: before the last ones, with a line between that says how
	// many were left out.
	Stderr []string
}

// Cause says what ended the process: how it exited, and the panic if it was one.
func (e *CrashError) Cause() string {
	if e.Panic == "" {
		return e.Exit.String()
	}
	how := e.Exit.String()
	if e.Exit.Signal != 0 {
		how = signalName(e.Exit.Signal) // its text is in parentheses too
	}
	text := e.Panic
	if !strings.HasPrefix(text, "fatal error: ") {
		text = "panic: " + text
	}
	return fmt.Sprintf("%s (%s)", text, how)
}

func (e *CrashError) Error() string {
	var b strings.Builder
	if e.Task != "" {
		fmt.Fprintf(&b, "task %s of package %s: ", e.Task, e.Package)
	}
	b.WriteString("the executor ")
	if e.Program != "" {
		fmt.Fprintf(&b, "%s ", e.Program)
	}
	fmt.Fprintf(&b, "(pid %d) ended without an answer: %s, after %v and %d requests served", e.Exit.PID, e.Cause(), e.Ran.Round(time.Microsecond), e.Served)
	if n := len(e.Stderr); n > 0 && e.Panic == "" {
		fmt.Fprintf(&b, "; last line on stderr: %s", e.Stderr[n-1])
	}
	return b.String()
}

// ProtocolError says that what the process wrote is no answer. It has been
// killed: nothing it says could be trusted any more.
type ProtocolError struct {
	Package, Task string
	Program       string // see Process.Program
	Err           error
	Exit          Exit
	Stderr        []string // last lines
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("task %s of package %s: the executor %s does not speak the protocol: %v; executor killed", e.Task, e.Package, e.Program, e.Err)
}
func (e *ProtocolError) Unwrap() error { return e.Err }

// Exit is how a process ended.
type Exit struct {
	PID    int
	Code   int            // exit status; -1 if it was ended by a signal
	Signal syscall.Signal // 0 if it exited

	// Unknown is set if this program reaped the process elsewhere, or ignores
	// SIGCHLD, so that the status is lost.
	Unknown bool

	// Killed is why this side killed the process, "" if it did not. It is
	// recorded before the kill, so it is never a guess.
	Killed string
}

func (e Exit) String() string {
	var how string
	if e.Unknown {
		how = "with a status that another part of this program has taken (it reaps children, or ignores SIGCHLD)"
	} else if e.Signal != 0 {
		how = "signal " + describeSignal(e.Signal)
	} else {
		how = fmt.Sprintf("exit status %d", e.Code)
	}
	if e.Killed != "" {
		how += ", killed by its parent: " + e.Killed
	}
	return how
}
