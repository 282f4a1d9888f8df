package loader

/*
#include "call.h"
*/
import "C"

import (
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/protocol"
)

// Examine does with the library at path, wherever it is and whatever it is called, what
// is done with a package before its first task runs, and asks it to describe itself. Tell
// gets each step when it begins and when it is done. A
// step that fails is the last one, but that after init describe follows in any case.
func Examine(path string, tell func(executor.Finding)) {
	name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "lib"), ".so")
	// step reports whether to go on.
	step := func(which string, do func(*executor.Finding) error) bool {
		tell(executor.Finding{Step: which})
		done := executor.Finding{Step: which, Done: true}
		if err := do(&done); err != nil {
			done.Error = err.Error()
		}
		tell(done)
		return done.Error == ""
	}

	// The linker takes a name without a slash for one to search for.
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	var handle unsafe.Pointer
	if !step(executor.StepOpen, func(*executor.Finding) (err error) {
		if _, err = openable(abs); err == nil {
			handle, err = dlopen(abs)
		}
		return err
	}) {
		return
	}
	if !step(executor.StepVersion, func(f *executor.Finding) error {
		version, failure := declaredVersion(handle, name)
		if failure == nil || failure.Variant == protocol.IncompatibleVersion {
			f.Value = version.String()
		}
		return asError(failure)
	}) {
		return
	}
	if !step(executor.StepName, func(f *executor.Finding) error {
		declared, failure := declaredName(handle, name)
		f.Value, name = declared, declared
		return asError(failure)
	}) {
		return
	}
	// In the order of check, so that both tell the same reason where there are two.
	prepared := true
	if initialise := symbol(handle, C.SPIDER_TDL_SYMBOL_INIT); initialise != nil {
		prepared = step(executor.StepInit, func(*executor.Finding) error { return asError(runInit(initialise, name)) })
	}
	if prepared && !step(executor.StepExecute, func(*executor.Finding) error {
		if symbol(handle, C.SPIDER_TDL_SYMBOL_EXECUTE) == nil {
			return missing(name, C.SPIDER_TDL_SYMBOL_EXECUTE)
		}
		return nil
	}) {
		return
	}
	// Also where init has failed: there is something to tell all the same.
	step(executor.StepDescribe, func(f *executor.Finding) (err error) {
		f.Description, err = describe(handle, name)
		return err
	})
}

// asError makes no failure no error.
func asError(failure *protocol.ExecutorError) error {
	if failure == nil {
		return nil
	}
	return failure
}
