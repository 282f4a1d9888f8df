package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
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
	// InvalidUtf8: the package's declared name is not text, or, as the pool itself
	// answers, a name in the request.
	InvalidUtf8 ErrorKind = "InvalidUtf8"
	// TaskError: the task ran, or was refused by its package.
	TaskError ErrorKind = "TaskError"
	// PackageInitError: the package's init hook failed.
	PackageInitError ErrorKind = "PackageInitError"
	// ErrorPayloadDeserializationFailure: the package failed, and its error
	// cannot be read.
	ErrorPayloadDeserializationFailure ErrorKind = "ErrorPayloadDeserializationFailure"
)

// ExecutorError is a failure that the executor answered, or that the pool knew it would: of
// a package that is not there or cannot be loaded. The process, if it took one, lives on;
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

// SpawnError says that an executor could not be started. Nothing was sent. Check the
// program and the limits; [Retryable] tells whether it may start the next time.
//
// An executor that was lost while it started has a report: an *[CrashError],
// *[TimeoutError] or *[ProtocolError]. It is in Err alone, where errors.As does not come
// from a SpawnError: who looks for one of them wants to know of the call's own task.
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

// Unwrap returns Err, unless that is the report of a lost executor.
func (e *SpawnError) Unwrap() error { return unlessReport(e.Err) }

// unlessReport is what an error unwraps to that says that nothing was sent.
func unlessReport(err error) error {
	if reportOf(err) != nil {
		return nil
	}
	return err
}

// isConfiguration reports whether a start failed for what the configuration says, so
// that it fails again.
func isConfiguration(err error) bool {
	var spawn *SpawnError
	if !errors.As(err, &spawn) {
		return false
	}
	var (
		wrong *ConfigError
		limit *LimitError
	)
	return spawn.Executor == "" || errors.As(spawn.Err, &wrong) || errors.As(spawn.Err, &limit) && limit.Limit != "Cgroup" ||
		errors.Is(spawn.Err, exec.ErrNotFound) || errors.Is(spawn.Err, fs.ErrNotExist) || errors.Is(spawn.Err, fs.ErrPermission) ||
		errors.Is(spawn.Err, syscall.ENOEXEC) || errors.Is(spawn.Err, syscall.ENOTDIR) || errors.Is(spawn.Err, syscall.EINVAL)
}

// TooLargeError says that a request does not fit into a frame, and nothing was sent, or that
// the answer did not: the task has run, and what it has returned is lost. The process is
// none the worse. Sending it again cannot help: pass less, or a path.
type TooLargeError struct {
	Package, Task string
	Size, Limit   int // bytes
	Answer        bool
}

func (e *TooLargeError) Error() string {
	if e.Answer {
		return fmt.Sprintf("task %s of package %s: the answer has %d bytes, over the limit of %d: return less, or a reference to it, or allow more (MaxFrame)",
			e.Task, e.Package, e.Size, e.Limit)
	}
	return fmt.Sprintf("task %s of package %s: the request has %d bytes, over the limit of %d: pass less, or a reference to it",
		e.Task, e.Package, e.Size, e.Limit)
}

// Phase is what an executor was doing when it was lost.
type Phase string

// The phases of an executor.
const (
	PhaseStart Phase = "start" // coming up, before its first answer
	PhaseLoad  Phase = "load"  // loading a package
	PhaseRun   Phase = "run"   // running a task
	PhaseIdle  Phase = "idle"  // running nothing, in a [Pool]
)

// Report is what is known of an executor that was lost. It is part of every error
// that says so.
type Report struct {
	// Package and Task are what it was asked for, in PhaseRun and PhaseLoad.
	Package, Task string

	// Context says which task of which job it was. Nil if that is not known.
	Context *tdl.TaskContext

	Phase    Phase
	Executor int    // its number in its [Pool], from 1; 0 if it is in none
	Program  string // the executable
	Exit     Exit

	// Panic is the message of the panic, or the fatal error, of which it has died
	// according to what it printed; "" if it was none.
	Panic string

	Ran    time.Duration // since the request was sent
	Served int           // tasks answered before

	// PeakRSS is the largest resident memory it is known to have had, in bytes, from
	// samples and from what the kernel reports at the end. 0: not known.
	PeakRSS int64

	// PeakRSSAtLeast is set if it may have had more: what the kernel reports is this
	// program's own peak, where that is larger, and samples are up to a second old,
	// unless it was killed by this side.
	PeakRSSAtLeast bool

	// Core is where its core dump is, "" if there is none.
	Core string

	// Stderr are the last lines it wrote there. If there is a Panic, the first
	// lines of its trace are among them: before the last ones, with a line between
	// that says how many were left out.
	Stderr []string
}

// subject begins a message with what the report is about, if it is about a request.
func (r *Report) subject() string {
	switch {
	case r.Phase == PhaseStart:
		return "starting " + r.Program + ": "
	case r.Phase == PhaseLoad:
		return "loading package " + r.Package + ": "
	case r.Task == "":
		return ""
	}
	return fmt.Sprintf("task %s of package %s: ", r.Task, r.Package)
}

// reportOf returns the report in the error of a process that was lost, nil if err is
// none.
func reportOf(err error) *Report {
	var (
		crash   *CrashError
		timeout *TimeoutError
		damage  *ProtocolError
	)
	switch {
	case errors.As(err, &crash):
		return &crash.Report
	case errors.As(err, &timeout):
		return &timeout.Report
	case errors.As(err, &damage):
		return &damage.Report
	}
	return nil
}

// TimeoutError says that a task did not answer in time. Its process has been
// killed, with all that the task forked.
type TimeoutError struct {
	Report
	Limit time.Duration

	// Soft tells that it ended by the signal that it got at the soft limit, which
	// Limit then is.
	Soft bool
}

func (e *TimeoutError) Error() string {
	if e.Soft {
		return fmt.Sprintf("%sno answer within %v; it ended by the signal it got for that: %v", e.subject(), e.Limit, e.Exit)
	}
	text := fmt.Sprintf("%sno answer within %v; executor killed: allow more time", e.subject(), e.Limit)
	if e.Phase == PhaseRun {
		text += ", or pass less work"
	}
	return text
}

// Timeout reports true, as for the net package's errors.
func (e *TimeoutError) Timeout() bool { return true }

// CrashError says that the process ended without an answer.
type CrashError struct{ Report }

// Cause says what ended the process: how it exited, and the panic if it was one.
func (r *Report) Cause() string {
	if r.Panic == "" {
		return r.Exit.String()
	}
	how := r.Exit.String()
	if r.Exit.Signal != 0 {
		how = signalName(r.Exit.Signal) // its text is in parentheses too
	}
	text := r.Panic
	if !strings.HasPrefix(text, "fatal error: ") {
		text = "panic: " + text
	}
	return fmt.Sprintf("%s (%s)", text, how)
}

func (e *CrashError) Error() string {
	var b strings.Builder
	b.WriteString(e.subject() + "the executor ")
	if e.Program != "" {
		fmt.Fprintf(&b, "%s ", e.Program)
	}
	fmt.Fprintf(&b, "(pid %d) ended without an answer: %s, after %v and %d requests served", e.Exit.PID, e.Cause(), e.Ran.Round(time.Microsecond), e.Served)
	if e.Phase == PhaseRun {
		b.WriteString("; call again only if running the task twice does no harm")
	}
	if n := len(e.Stderr); n > 0 && e.Panic == "" {
		fmt.Fprintf(&b, "; last line on stderr: %s", e.Stderr[n-1])
	}
	return b.String()
}

// ProtocolError says that what the process wrote is no answer. It has been
// killed: nothing it says could be trusted any more.
type ProtocolError struct {
	Report
	Err error
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("%sthe executor %s does not speak the protocol: %v; executor killed: check that it is an executor, and prints nothing else on its stdout", e.subject(), e.Program, e.Err)
}
func (e *ProtocolError) Unwrap() error { return e.Err }

// CanceledError says that a call ended because its context did: while it waited, or
// while its task ran, whose process has then been killed with all that it forked.
//
// It unwraps to the context's cause too. Where that may be the error of another call,
// as with an errgroup, look for a CanceledError before the other kinds.
type CanceledError struct {
	Report        // of the process that was killed
	Running bool  // false: nothing had been sent
	Err     error // of the context: context.Canceled or context.DeadlineExceeded
	Reason  error // what its owner gave as the cause, or Err
}

func (e *CanceledError) Error() string {
	if e.Running {
		return fmt.Sprintf("%scanceled after %v, executor killed: %v", e.subject(), e.Ran.Round(time.Microsecond), e.Reason)
	}
	return fmt.Sprintf("task %s of package %s: canceled while it waited for an executor: %v", e.Task, e.Package, e.Reason)
}

// Unwrap returns both errors of the context.
func (e *CanceledError) Unwrap() []error { return []error{e.Err, e.Reason} }

func notUTF8(r *Request) error {
	// An executor would end on it.
	return &ExecutorError{Package: r.Package, Task: r.Task, Kind: InvalidUtf8,
		Message: "the names of package and task must be UTF-8"}
}

// Exit is how a process ended.
type Exit struct {
	PID    int
	Code   int            // exit status; -1 if it was ended by a signal
	Signal syscall.Signal // 0 if it exited

	// Unknown is set if this program reaped the process elsewhere, or ignores
	// SIGCHLD, so that the status is lost.
	Unknown bool

	// OutOfMemory is set if the kernel killed it since the memory of its cgroup
	// (Limits.Cgroup) was used up, OutOfCPU if its processor time (Limits.CPU) was.
	OutOfMemory, OutOfCPU bool

	// Killed is why this side killed the process, "" if it did not. It is
	// recorded before the kill, so it is never a guess.
	Killed string
}

// SignalName is the name of the signal that ended the process, such as SIGSEGV; "" if
// none did.
func (e Exit) SignalName() string {
	if e.Signal == 0 {
		return ""
	}
	return signalName(e.Signal)
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
	if e.OutOfMemory {
		how += ", by the kernel: its memory was used up"
	}
	if e.OutOfCPU {
		how += ", by the kernel: its processor time was used up"
	}
	if e.Killed != "" {
		how += ", killed by its parent: " + e.Killed
	}
	return how
}
