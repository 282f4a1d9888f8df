package tdl

import (
	"errors"
	"fmt"

	"github.com/spider-go/spider/internal/protocol"
)

// ErrorKind tells the kinds of task errors apart. The text is the variant's name
// on the wire. A kind is itself an error that every [Error] of the kind is, so
// that both sides can ask errors.Is(err, tdl.TaskNotFound).
type ErrorKind string

func (k ErrorKind) Error() string { return string(k) }

// The kinds of task errors.
const (
	// TaskNotFound: the package has no task of that name.
	TaskNotFound ErrorKind = "TaskNotFound"
	// DeserializationError: the context or an argument is not what the task takes.
	DeserializationError ErrorKind = "DeserializationError"
	// SerializationError: a result cannot be encoded, or is too large to send.
	SerializationError ErrorKind = "SerializationError"
	// ExecutionError: the task ran and failed.
	ExecutionError ErrorKind = "ExecutionError"
	// InvalidTaskContext: a context that contradicts itself.
	InvalidTaskContext ErrorKind = "InvalidTaskContext"
	// Custom: whatever else a package wants to say.
	Custom ErrorKind = "Custom"
)

// Error is an error of a task, as it travels to the parent and as the parent
// finds it again with errors.As. A task that returns an *Error, or wraps one, keeps
// its kind; any other error travels as an ExecutionError with its text.
type Error struct {
	// Kind is one of the six; any other, or none, travels as Custom.
	Kind    ErrorKind
	Message string

	wrapped error // by Errorf; it does not travel
}

func (e *Error) Error() string { return e.wire().Error() }

// Is reports whether target is e's kind, or an *Error of the same kind whose
// message is the same or empty.
func (e *Error) Is(target error) bool {
	if kind, ok := target.(ErrorKind); ok {
		return kind == e.Kind
	}
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Message == "" || t.Message == e.Message)
}

// Unwrap returns what [Errorf] wrapped, for the task's own side: only kind and
// message travel.
func (e *Error) Unwrap() error { return e.wrapped }

// Errorf returns an *[Error] of the given kind. It formats as [fmt.Errorf] does,
// also with %w.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Message: err.Error()}
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		e.wrapped = err
	}
	return e
}

func (e *Error) wire() *protocol.TdlError {
	return &protocol.TdlError{Variant: protocol.TdlVariant(e.Kind), Message: e.Message}
}

// asError is how err travels.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		if e == nil {
			// The classic mistake of a nil pointer in an interface.
			return &Error{Kind: ExecutionError, Message: "the task returned a nil *tdl.Error as its error"}
		}
		if err == error(e) {
			return e
		}
		// Wrapped: keep the kind, and what was added to the text.
		return &Error{Kind: e.Kind, Message: err.Error()}
	}
	var kind ErrorKind
	if errors.As(err, &kind) {
		return &Error{Kind: kind, Message: err.Error()}
	}
	return &Error{Kind: ExecutionError, Message: err.Error()}
}
