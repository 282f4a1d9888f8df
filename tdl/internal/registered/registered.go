// Package registered is the one place where the package that a library is made
// of waits to be called: tdl puts it there, tdl/cshared takes it from there. It
// knows nothing of types, encodings or cgo.
package registered

// Package is a set of tasks, in bytes.
type Package interface {
	// Name is the package's name.
	Name() string

	// Misnamed is all that is wrong with the package, if its name is: an executor
	// asks for the name first, and then for nothing else.
	Misnamed() error

	// Init runs the package's initialisation. It returns an encoded TdlError,
	// or nil.
	Init() []byte

	// Describe returns the package's description, or an encoded TdlError if
	// failed.
	Describe() (_ []byte, failed bool)

	// Execute runs a task and appends its outputs, or an encoded TdlError if
	// failed, to dst. The arguments are valid only during the call.
	Execute(dst, task, context, inputs []byte) (_ []byte, failed bool)
}

var current Package

const (
	// MaxStack bounds a goroutine's stack, in bytes: endless recursion then ends
	// the process in a tenth of a second instead of after a gigabyte.
	MaxStack = 64 << 20

	// KeepResult is the largest result buffer, in bytes, that is kept for the
	// next call.
	KeepResult = 1 << 20
)

// Set makes p the package of this process image. It is called from an init
// function, so nothing runs beside it.
func Set(p Package) { current = p }

// Get returns the package, or nil if none has been set.
func Get() Package { return current }
