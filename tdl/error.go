package tdl

import (
	"errors"
	"fmt"

	"github.com/spider-go/spider/internal/protocol"
)

// ErrorKind tells the kinds of task errors apart. The text is the variant's name
// on the wire.
type ErrorKind string

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
	Kind    ErrorKind
	Message string
}

func (e *Error) Error() string { return e.wire().Error() }

// Is reports whether target is an *Error of the same kind whose message is the
// same or empty, so that errors.Is(err, &Error{Kind: TaskNotFound}) asks for
// the kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && (t.Message == "" || t.Message == e.Message)
}

// Errorf returns an *Error of the given kind.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
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
	return &Error{Kind: ExecutionError, Message: err.Error()}
}
