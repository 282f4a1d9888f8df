package loader

/*
#cgo CFLAGS: -O2 -Wall
#cgo LDFLAGS: -ldl -lpthread
#cgo noescape spider_execute
#cgo nocallback spider_execute
#include <stdlib.h>
#include "call.h"
*/
import "C"

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/protocol"
)

// EnvPackageDir names the directory that holds the packages.
const EnvPackageDir = "SPIDER_TDL_PACKAGE_DIR"

// Version is the ABI version this loader speaks.
var Version = protocol.Version{
	Major: C.SPIDER_TDL_VERSION_MAJOR,
	Minor: C.SPIDER_TDL_VERSION_MINOR,
	Patch: C.SPIDER_TDL_VERSION_PATCH,
}

// Loader runs the tasks of the packages below one directory. It is not for
// concurrent use: all calls come from the task thread.
type Loader struct {
	dir      string
	log      *slog.Logger
	packages map[string]*library
	attempts map[string]*attempt
	result   C.uintptr_t // of the last task, to be freed; 0 if none
}

// library is a package that passed all checks: its execute function.
type library struct{ execute unsafe.Pointer }

// attempt remembers the file of a load that failed after dlopen had opened it.
type attempt struct {
	file    os.FileInfo // the last one that was tried
	replace int         // how many times the file was replaced since
}

// New returns a Loader for the packages in dir, as SPIDER_TDL_PACKAGE_DIR gives
// it. Only an empty dir is refused: a directory may be filled, or mounted, after
// the executor has started.
func New(dir string, log *slog.Logger) (*Loader, error) {
	if dir == "" {
		return nil, errors.New(EnvPackageDir + " is not set: it must name the directory that holds the packages, as <directory>/<package>/lib<package>.so")
	}
	// A task may change the working directory.
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvPackageDir, err)
	}
	return &Loader{
		dir:      abs,
		log:      log,
		packages: map[string]*library{},
		attempts: map[string]*attempt{},
	}, nil
}

// Run implements [executor.Runner]: it loads the package on its first use and
// calls the task.
func (l *Loader) Run(e *protocol.Execute) protocol.Outcome {
	pkg := l.packages[string(e.Package)]
	if pkg == nil {
		name := string(e.Package)
		var failure *protocol.ExecutorError
		if pkg, failure = l.load(name); failure != nil {
			if name != protocol.PingPackage {
				l.log.Info("package not loaded", "package", name, "reason", failure.Error())
			}
			return executor.Fail(failure)
		}
		l.log.Info("package loaded", "package", name)
		l.packages[name] = pkg
	}
	r := C.spider_execute(pkg.execute,
		address(e.Task), C.size_t(len(e.Task)),
		address(e.Context), C.size_t(len(e.Context)),
		address(e.Inputs), C.size_t(len(e.Inputs)))
	runtime.KeepAlive(e)
	l.result = r.ptr
	if !plausible(r.ptr, r.len) {
		// Not to be freed either: nobody knows what it is.
		l.result = 0
		return executor.FailTask(protocol.TdlSerializationError, fmt.Sprintf(
			"package %q, task %q returned a result of %d bytes at address %#x, which cannot be", e.Package, e.Task, uint64(r.len), uint64(r.ptr)))
	}
	payload := view(r.ptr, r.len)
	if r.is_error {
		return executor.Fail(taskError(payload, string(e.Package), string(e.Task)))
	}
	return protocol.Outcome{Payload: payload}
}

// Release implements [executor.Runner].
func (l *Loader) Release() {
	if l.result != 0 {
		C.spider_free(l.result)
		l.result = 0
	}
}

// address is where a request's bytes are, as a number: they are no pointers to Go's
// pointers, and cgo need not look for those. The request keeps them alive.
func address(b []byte) C.uintptr_t {
	return C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}

// plausible reports whether a package may have meant this buffer: not NULL, nor
// longer than any address space is.
func plausible(ptr C.uintptr_t, n C.size_t) bool {
	const addressBits = 47
	return n == 0 || ptr != 0 && n < 1<<addressBits
}

// view is the result's memory itself, valid until it is freed.
func view(ptr C.uintptr_t, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	// Not a conversion of ptr by value, which vet takes for a mistake: the
	// memory is C's, and the garbage collector has no business with it.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&ptr)), int(n))
}

// taskError wraps what a task returned as its error.
func taskError(payload []byte, pkg, task string) *protocol.ExecutorError {
	te, err := protocol.DecodeTdlError(payload)
	if err != nil {
		return &protocol.ExecutorError{
			Variant: protocol.ErrorPayloadDeserializationFailure,
			Message: fmt.Sprintf("package %q, task %q returned an error of %d bytes that is not a TdlError: %v", pkg, task, len(payload), err),
		}
	}
	return &protocol.ExecutorError{Variant: protocol.TaskError, Task: te}
}

// load opens a package and checks it. Failures are not remembered: a package
// that was missing or broken may be there at the next request.
func (l *Loader) load(name string) (*library, *protocol.ExecutorError) {
	handle, info, failure := l.open(name)
	if failure != nil {
		return nil, failure
	}
	lib, failure := check(handle, name)
	if failure != nil {
		if l.attempts[name] == nil {
			l.attempts[name] = &attempt{file: info}
		}
		return nil, failure
	}
	delete(l.attempts, name)
	return lib, nil
}

// NotDescribedError says that a package has no describe symbol, which is no fault.
type NotDescribedError struct{ Package string }

func (e *NotDescribedError) Error() string {
	return fmt.Sprintf("package %q does not describe itself: it has no %s", e.Package, C.SPIDER_TDL_SYMBOL_DESCRIBE)
}

// Describe opens a package and returns what its describe symbol tells: JSON, as
// tdl.h says. Its init function does not run. The error says that the package
// cannot be used, or that it does not describe itself.
func (l *Loader) Describe(name string) ([]byte, error) {
	handle, _, failure := l.open(name)
	if failure == nil {
		failure = identify(handle, name)
	}
	if failure != nil {
		return nil, failure
	}
	text, err := describe(handle, name)
	if err == nil && text == nil {
		return nil, &NotDescribedError{name}
	}
	return text, err
}

// describe has an open library describe itself; nil if it has no symbol for that.
func describe(handle unsafe.Pointer, name string) ([]byte, error) {
	fn := symbol(handle, C.SPIDER_TDL_SYMBOL_DESCRIBE)
	if fn == nil {
		return nil, nil
	}
	text, failed, err := produce(fn)
	switch {
	case err != nil:
		return nil, fmt.Errorf("package %q: describe %w", name, err)
	case failed:
		return nil, fmt.Errorf("package %q cannot describe itself: %w", name, taskError(text, name, "describe"))
	}
	if !json.Valid(text) {
		return nil, fmt.Errorf("package %q describes itself in %d bytes that are not JSON", name, len(text))
	}
	return text, nil
}

// open opens a package's library.
func (l *Loader) open(name string) (handle unsafe.Pointer, info os.FileInfo, _ *protocol.ExecutorError) {
	if reason := protocol.BadPackageName(name); reason != "" {
		return nil, nil, invalid("package name %q %s: a package is named like its directory below %s", name, reason, l.dir)
	}
	path := filepath.Join(l.dir, name, "lib"+name+".so")
	info, err := openable(path)
	if err != nil {
		return nil, nil, invalid("package %q: %v", name, err)
	}
	if handle, err = dlopen(l.unopened(name, path, info)); err != nil {
		return nil, nil, invalid("package %q: %v", name, err)
	}
	return handle, info, nil
}

// openable says what keeps a file from being given to the dynamic linker.
func openable(path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", path)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		// Opening a FIFO would block, and a directory only confuses the linker.
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if err := complete(path, uint64(info.Size())); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return info, nil
}

// unopened returns a path to the package's file by which the dynamic linker does
// not know an older file. Libraries are never closed, and the linker answers a
// path it has opened before without looking at the file. So when a file that
// failed its checks has been replaced since, the path is spelled differently.
func (l *Loader) unopened(name, path string, info os.FileInfo) string {
	failed := l.attempts[name]
	if failed == nil {
		return path
	}
	if !os.SameFile(failed.file, info) {
		failed.replace++
		failed.file = info
	}
	return l.dir + "/" + name + "/" + strings.Repeat("./", failed.replace) + "lib" + name + ".so"
}

func dlopen(path string) (unsafe.Pointer, error) {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	var text *C.char
	handle := C.spider_open(cpath, &text)
	if handle == nil {
		defer C.free(unsafe.Pointer(text))
		return nil, errors.New(C.GoString(text))
	}
	return handle, nil
}

func symbol(handle unsafe.Pointer, name string) unsafe.Pointer {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	return C.spider_symbol(handle, cname)
}

// check asks an open library who it is, in the order of the ABI: version, name,
// init, execute.
func check(handle unsafe.Pointer, name string) (*library, *protocol.ExecutorError) {
	if failure := identify(handle, name); failure != nil {
		return nil, failure
	}
	if initialise := symbol(handle, C.SPIDER_TDL_SYMBOL_INIT); initialise != nil {
		if failure := runInit(initialise, name); failure != nil {
			return nil, failure
		}
	}
	execute := symbol(handle, C.SPIDER_TDL_SYMBOL_EXECUTE)
	if execute == nil {
		return nil, missing(name, C.SPIDER_TDL_SYMBOL_EXECUTE)
	}
	return &library{execute: execute}, nil
}

// identify checks that an open library is the package it should be.
func identify(handle unsafe.Pointer, name string) *protocol.ExecutorError {
	if _, failure := declaredVersion(handle, name); failure != nil {
		return failure
	}
	declared, failure := declaredName(handle, name)
	if failure != nil {
		return failure
	}
	if declared != name {
		return invalid("package %q declares the name %q: directory, file and declared name must agree", name, declared)
	}
	return nil
}

// declaredVersion asks which ABI an open library was built for. The failure is that this
// loader does not speak it. Name is for messages.
func declaredVersion(handle unsafe.Pointer, name string) (protocol.Version, *protocol.ExecutorError) {
	getVersion := symbol(handle, C.SPIDER_TDL_SYMBOL_GET_VERSION)
	if getVersion == nil {
		return protocol.Version{}, missing(name, C.SPIDER_TDL_SYMBOL_GET_VERSION)
	}
	v := C.spider_get_version(getVersion)
	version := protocol.Version{Major: uint32(v.major), Minor: uint32(v.minor), Patch: uint32(v.patch)}
	if !compatible(version, Version) {
		return version, &protocol.ExecutorError{
			Variant:  protocol.IncompatibleVersion,
			Package:  version,
			Executor: Version,
		}
	}
	return version, nil
}

// declaredName asks an open library what it calls itself. Name is for messages.
func declaredName(handle unsafe.Pointer, name string) (string, *protocol.ExecutorError) {
	getName := symbol(handle, C.SPIDER_TDL_SYMBOL_GET_NAME)
	if getName == nil {
		return "", missing(name, C.SPIDER_TDL_SYMBOL_GET_NAME)
	}
	n := C.spider_get_name(getName)
	if !plausible(n.ptr, n.len) {
		return "", invalid("package %q declares a name of %d bytes at address %#x, which cannot be", name, uint64(n.len), uint64(n.ptr))
	}
	declared := string(view(n.ptr, n.len))
	if !utf8.ValidString(declared) {
		return "", &protocol.ExecutorError{
			Variant: protocol.InvalidUtf8,
			Message: fmt.Sprintf("package %q declares a name that is not UTF-8: %q", name, declared),
		}
	}
	return declared, nil
}

func runInit(initialise unsafe.Pointer, name string) *protocol.ExecutorError {
	payload, failed, err := produce(initialise)
	if err != nil {
		return invalid("package %q: init %v", name, err)
	}
	if !failed {
		return nil
	}
	te, err := protocol.DecodeTdlError(payload)
	if err != nil {
		return &protocol.ExecutorError{
			Variant: protocol.ErrorPayloadDeserializationFailure,
			Message: fmt.Sprintf("package %q: init failed with an error of %d bytes that is not a TdlError: %v", name, len(payload), err),
		}
	}
	return &protocol.ExecutorError{Variant: protocol.PackageInitError, Task: te}
}

// produce calls a function that takes nothing, and returns a copy of its result.
func produce(fn unsafe.Pointer) (result []byte, failed bool, err error) {
	r := C.spider_produce(fn)
	if !plausible(r.ptr, r.len) {
		return nil, false, fmt.Errorf("returned %d bytes at address %#x, which cannot be", uint64(r.len), uint64(r.ptr))
	}
	if r.ptr != 0 {
		defer C.spider_free(r.ptr)
	}
	if r.len > protocol.DefaultMaxFrame {
		return nil, false, fmt.Errorf("returned %d bytes, more than can be sent", uint64(r.len))
	}
	return bytes.Clone(view(r.ptr, r.len)), bool(r.is_error), nil
}

// compatible tells whether a host of one version may call a package of another.
func compatible(pkg, host protocol.Version) bool {
	if pkg.Major != host.Major {
		return false
	}
	return pkg.Major > 0 || pkg.Minor == host.Minor
}

func invalid(format string, args ...any) *protocol.ExecutorError {
	return &protocol.ExecutorError{Variant: protocol.InvalidLibrary, Message: fmt.Sprintf(format, args...)}
}

func missing(name, symbol string) *protocol.ExecutorError {
	return invalid("package %q does not export %s", name, symbol)
}
