package protocol

import (
	"fmt"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// TdlVariant names the kind of a [TdlError]. The text is what is on the wire.
type TdlVariant string

// What can go wrong around and inside a task.
const (
	TdlTaskNotFound         TdlVariant = "TaskNotFound"
	TdlDeserializationError TdlVariant = "DeserializationError"
	TdlSerializationError   TdlVariant = "SerializationError"
	TdlExecutionError       TdlVariant = "ExecutionError"
	TdlInvalidTaskContext   TdlVariant = "InvalidTaskContext"
	TdlCustom               TdlVariant = "Custom"
)

// tdlVariants is in the order of the variants' wire indices.
var tdlVariants = [...]TdlVariant{
	TdlTaskNotFound, TdlDeserializationError, TdlSerializationError,
	TdlExecutionError, TdlInvalidTaskContext, TdlCustom,
}

// TdlError is an error of a task or of the package around it.
type TdlError struct {
	Variant TdlVariant
	Message string
}

func (e *TdlError) Error() string {
	switch e.Variant {
	case TdlTaskNotFound:
		return "task not found: " + e.Message
	case TdlDeserializationError:
		return "deserialization error: " + e.Message
	case TdlSerializationError:
		return "serialization error: " + e.Message
	case TdlExecutionError:
		return "execution error: " + e.Message
	case TdlInvalidTaskContext:
		return "invalid task context: " + e.Message
	}
	return e.Message
}

// Append appends the msgpack form of e to dst. So that every peer can read it, a
// variant that is not one of the constants is written as Custom, and bytes of
// the message that are not UTF-8 as U+FFFD.
func (e *TdlError) Append(dst []byte) []byte {
	variant := e.Variant
	if indexOf(tdlVariants[:], variant) < 0 {
		variant = TdlCustom
	}
	return appendText(appendVariant(dst, string(variant)), e.Message)
}

// Version is the version of the package interface that a package was built
// with, or that an executor speaks.
type Version struct {
	Major, Minor, Patch uint32
}

func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// ExecutorVariant names the kind of an [ExecutorError]. The text is what is on
// the wire.
type ExecutorVariant string

// What an executor can answer instead of outputs.
const (
	InvalidLibrary                     ExecutorVariant = "InvalidLibrary"
	IncompatibleVersion                ExecutorVariant = "IncompatibleVersion"
	DuplicatePackage                   ExecutorVariant = "DuplicatePackage"
	InvalidUtf8                        ExecutorVariant = "InvalidUtf8"
	TaskError                          ExecutorVariant = "TaskError"
	PackageInitError                   ExecutorVariant = "PackageInitError"
	ErrorPayloadDeserializationFailure ExecutorVariant = "ErrorPayloadDeserializationFailure"
)

// executorVariants is in the order of the variants' wire indices.
var executorVariants = [...]ExecutorVariant{
	InvalidLibrary, IncompatibleVersion, DuplicatePackage, InvalidUtf8,
	TaskError, PackageInitError, ErrorPayloadDeserializationFailure,
}

// ExecutorError is what an executor answers instead of outputs. Which fields
// count depends on the variant.
type ExecutorError struct {
	Variant ExecutorVariant

	// Task is the task's or the package's own error: TaskError and
	// PackageInitError only.
	Task *TdlError

	// Package and Executor are the versions that do not fit together:
	// IncompatibleVersion only.
	Package, Executor Version

	// Message is the text of every other variant.
	Message string
}

func (e *ExecutorError) Error() string {
	switch e.Variant {
	case InvalidLibrary:
		return "failed to load TDL package library: " + e.Message
	case IncompatibleVersion:
		return fmt.Sprintf("incompatible spider-tdl version: package=%v, executor=%v", e.Package, e.Executor)
	case DuplicatePackage:
		return "duplicate package name: " + e.Message
	case InvalidUtf8:
		return "invalid UTF-8: " + e.Message
	case TaskError:
		return "task execution failed: " + e.task().Error()
	case PackageInitError:
		return "package initialization failed: " + e.task().Error()
	case ErrorPayloadDeserializationFailure:
		return "failed to deserialize error payload: " + e.Message
	}
	return e.Message
}

// Unwrap returns Task, if there is one.
func (e *ExecutorError) Unwrap() error {
	if e.Task == nil {
		return nil
	}
	return e.Task
}

// task returns the error inside a TaskError or a PackageInitError, or where that
// was left out a Custom one with the message.
func (e *ExecutorError) task() *TdlError {
	if e.Task == nil {
		return &TdlError{Variant: TdlCustom, Message: e.Message}
	}
	return e.Task
}

// Append appends the msgpack form of e to dst. So that every peer can read it, a
// variant that is not one of the constants, and a missing Task, are written as
// a TaskError with a Custom error inside; about text see [TdlError.Append].
func (e *ExecutorError) Append(dst []byte) []byte {
	switch e.Variant {
	case InvalidLibrary, DuplicatePackage, InvalidUtf8, ErrorPayloadDeserializationFailure:
		return appendText(appendVariant(dst, string(e.Variant)), e.Message)
	case IncompatibleVersion:
		dst = msgp.AppendArrayHeader(appendVariant(dst, string(e.Variant)), versionFields)
		for _, v := range [...]Version{e.Package, e.Executor} {
			dst = msgp.AppendUint32(dst, v.Major)
			dst = msgp.AppendUint32(dst, v.Minor)
			dst = msgp.AppendUint32(dst, v.Patch)
		}
		return dst
	case PackageInitError:
		return e.task().Append(appendVariant(dst, string(e.Variant)))
	}
	return e.task().Append(appendVariant(dst, string(TaskError)))
}

// appendVariant starts an enum value: a map whose one key is the variant.
func appendVariant(dst []byte, name string) []byte {
	return msgp.AppendString(msgp.AppendMapHeader(dst, 1), name)
}

func appendText(dst []byte, text string) []byte {
	return msgp.AppendString(dst, strings.ToValidUTF8(text, "\uFFFD"))
}

// indexOf returns the wire index of the variant called name, or -1.
func indexOf[V ~string, N ~string | ~[]byte](variants []V, name N) int {
	for i, v := range variants {
		if string(v) == string(name) {
			return i
		}
	}
	return -1
}
