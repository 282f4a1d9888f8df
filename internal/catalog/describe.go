package catalog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/throwaway"
	"github.com/spider-go/spider/tdl"
)

// DefaultTimeout is how long a package may take to be loaded and to describe itself.
const DefaultTimeout = 10 * time.Second

// maxDescription is how long a description may be, in bytes.
const maxDescription = 4 << 20

// knownFormat is the newest form of a description that is understood here.
const knownFormat = 1

// Source says where a package comes from, and what opens it.
type Source struct {
	// Dir is the package directory.
	Dir string

	// Executor is the program that opens libraries: spider-task-executor, or one that
	// does as it does with --describe. It may be empty where the package is a program.
	Executor string

	// PreferLibrary takes the library where there is a program too, as when a person
	// names an executor.
	PreferLibrary bool

	// Timeout, if not 0, is used instead of DefaultTimeout.
	Timeout time.Duration
}

// Reason tells apart why a package has no description.
type Reason int

// Why a package has no description.
const (
	// NotFound: there is no such package in the directory.
	NotFound Reason = iota + 1
	// NotDescribed: it does not describe itself. It may well run.
	NotDescribed
	// Unusable: it cannot be loaded, or says that it cannot describe itself.
	Unusable
	// Hung: it did not answer within the timeout.
	Hung
	// Crashed: it ended by a signal, or exited where it should have answered.
	Crashed
	// Nonsense: what it says is no description, or too long for one.
	Nonsense
	// NoExecutor: it is a library, and there is no program that could open it.
	NoExecutor
)

// DescribeError says why a package has no description.
type DescribeError struct {
	Package string
	Reason  Reason

	// Message is the rest of the sentence, with what to do where that is known.
	Message string

	Signal syscall.Signal // of Crashed, 0 if it exited
	Stderr string         // the last of what it wrote there
}

func (e *DescribeError) Error() string { return fmt.Sprintf("package %s %s", e.Package, e.Message) }

// Describe has the package name describe itself. Its code runs, in a process that is gone
// when Describe returns. The error is a *[DescribeError], or ctx's own.
func Describe(ctx context.Context, from Source, name string) (*tdl.Description, error) {
	failed := func(reason Reason, format string, args ...any) error {
		return &DescribeError{Package: name, Reason: reason, Message: fmt.Sprintf(format, args...)}
	}
	entry := Look(from.Dir, name)
	isProgram := entry.Program != nil && (entry.Library == nil || !from.PreferLibrary)
	var program string
	var args []string
	switch {
	case entry.missing:
		return nil, failed(NotFound, "is not in %s: %s", from.Dir, entry.Problem)
	case !entry.Usable():
		return nil, failed(Unusable, "cannot be used: %s", entry.Problem)
	case isProgram:
		program, args = entry.Program.Path, []string{"--describe"}
	case from.Executor == "":
		return nil, failed(NoExecutor, "is a library, which only an executor can open, and there is none")
	default:
		program, args = from.Executor, []string{"--describe", name}
	}

	limit := cmp.Or(from.Timeout, DefaultTimeout)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := throwaway.Run(limited, throwaway.Command{
		Program:   program,
		Args:      args,
		Env:       append(os.Environ(), "SPIDER_TDL_PACKAGE_DIR="+from.Dir),
		MaxOutput: maxDescription,
	})
	if err != nil {
		return nil, failed(Unusable, "cannot be described: cannot start %s: %v", program, err)
	}
	if err := ctx.Err(); err != nil && r.Cut != nil {
		return nil, err
	}
	d, fault := description(&r, isProgram, limit)
	if fault == nil && d.Name != "" && d.Name != name {
		fault = &DescribeError{Reason: Nonsense, Message: fmt.Sprintf("describes itself as %q", d.Name)}
	}
	if fault != nil {
		fault.Package, fault.Stderr = name, r.Stderr
		return nil, fault
	}
	return d, nil
}

// description reads what a process has answered to --describe.
func description(r *throwaway.Result, isProgram bool, limit time.Duration) (*tdl.Description, *DescribeError) {
	said := ""
	if line := strings.TrimPrefix(r.Reason(), "spider-task-executor: "); line != "" {
		said = ": " + line
	}
	switch status := r.Status; {
	case errors.Is(r.Cut, throwaway.ErrTooMuch):
		return nil, &DescribeError{Reason: Nonsense, Message: fmt.Sprintf("describes itself in more than %d bytes; it was killed", maxDescription)}
	case r.Cut != nil:
		return nil, &DescribeError{Reason: Hung, Message: fmt.Sprintf("did not describe itself within %v; it was killed", limit)}
	case status.Signaled():
		return nil, &DescribeError{Reason: Crashed, Signal: status.Signal(),
			Message: fmt.Sprintf("crashed when it was asked to describe itself: %s%s", throwaway.SignalName(status.Signal()), said)}
	case status.ExitStatus() == 1:
		return nil, &DescribeError{Reason: Unusable, Message: "cannot be used" + said}
	case status.ExitStatus() == executor.StatusNotDescribed, status.ExitStatus() != 0 && isProgram:
		// The executor says so, or a program does not know the flag.
		return nil, &DescribeError{Reason: NotDescribed, Message: "does not describe itself"}
	case status.ExitStatus() != 0:
		return nil, &DescribeError{Reason: Crashed,
			Message: fmt.Sprintf("exited with status %d when it was asked to describe itself%s", status.ExitStatus(), said)}
	case len(bytes.TrimSpace(r.Stdout)) == 0:
		// An executor that does not know the flag has found its stdin empty.
		return nil, &DescribeError{Reason: NotDescribed, Message: "does not describe itself"}
	}
	d, err := ReadDescription(r.Stdout)
	var newer *newerError
	switch {
	case errors.As(err, &newer):
		return nil, &DescribeError{Reason: NotDescribed, Message: "describes itself in " + newer.Error()}
	case err != nil:
		return nil, &DescribeError{Reason: Nonsense, Message: fmt.Sprintf("describes itself in %d bytes that are no description: %v", len(r.Stdout), err)}
	}
	return d, nil
}

// ReadDescription reads what a package says of itself.
func ReadDescription(text []byte) (*tdl.Description, error) {
	var d tdl.Description
	if err := json.Unmarshal(text, &d); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, fmt.Errorf("%q is %s (at byte %d), which it cannot be", wrong.Field, wrong.Value, wrong.Offset)
		}
		return nil, err
	}
	if d.Format < 1 {
		return nil, errors.New(`"describe" is missing`)
	}
	if d.Format > knownFormat {
		return nil, &newerError{d.Format}
	}
	return &d, nil
}

// newerError says that a description is in a form of the future.
type newerError struct{ format int }

func (e *newerError) Error() string {
	return fmt.Sprintf("form %d, and this program knows only %d", e.format, knownFormat)
}
