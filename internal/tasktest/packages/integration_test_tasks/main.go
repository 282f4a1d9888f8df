// Integration_test_tasks is the Go package that the integration tests and the
// overhead report run.
package main

/*
#include <stdlib.h>
*/
import "C"

import (
	"unsafe"

	"github.com/spider-go/spider/internal/tasktest/instrument"
	"github.com/spider-go/spider/tdl"
	_ "github.com/spider-go/spider/tdl/cshared"
)

func init() {
	tdl.Register(tdl.Package{
		Name: "integration_test_tasks",
		Init: initialise,
		Tasks: []tdl.Task{
			tdl.Func("fibonacci", fibonacci),
			tdl.Func("always_fail", alwaysFail),
			tdl.Func("always_panic", alwaysPanic),
			tdl.Func("recover_nil_dereference", recoverNilDereference),
			tdl.Func("instrument", sleepAndEcho),
			tdl.Func("sleep_and_echo", sleepAndEcho),
			tdl.Func("assert_outputs_sum_zero", assertOutputsSumZero),
			tdl.Func("assert_initialized", assertInitialized),
		},
	})
}

func main() { tdl.Main() }

var initialised bool

func initialise() error {
	// C's getenv: a Go library sees a copy of the environment from when it was
	// loaded, and would miss what the host has set since.
	name := C.CString("SPIDER_TEST_TDL_INIT_SHOULD_FAIL")
	defer C.free(unsafe.Pointer(name))
	if C.getenv(name) != nil {
		return tdl.Errorf(tdl.ExecutionError, "init failure requested")
	}
	initialised = true
	return nil
}

func fibonacci(n uint64) (uint64, error) { return fib(n), nil }

func fib(n uint64) uint64 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func alwaysFail() error {
	return tdl.Errorf(tdl.ExecutionError, "always_fail: failed as it always does")
}

func alwaysPanic() error { panic("always_panic: panicked as it always does") }

// recoverNilDereference shows that a fault in Go code is still a panic that Go
// code can recover from.
func recoverNilDereference() (text string, err error) {
	defer func() {
		if p, ok := recover().(error); ok {
			text = p.Error()
		}
	}()
	var p *int
	*p = 1
	return "", nil
}

func sleepAndEcho(paths []string) ([]string, error) {
	instrument.Nanosleep(instrument.Sleep())
	return paths, nil
}

func assertOutputsSumZero(ctx tdl.TaskContext) error {
	outputs, ok, err := ctx.TaskGraphOutputs()
	switch {
	case err != nil:
		return err
	case !ok || ctx.TaskID != tdl.Commit:
		return tdl.Errorf(tdl.ExecutionError, "assert_outputs_sum_zero: not the context of a commit task with outputs, but of %v", ctx.TaskID)
	case len(outputs) == 0:
		return tdl.Errorf(tdl.ExecutionError, "assert_outputs_sum_zero: the task graph outputs are empty")
	}
	var sum int64
	for _, output := range outputs {
		var n int64
		if err := tdl.DecodeValue(output, &n); err != nil {
			return err
		}
		sum += n
	}
	if sum != 0 {
		return tdl.Errorf(tdl.ExecutionError, "assert_outputs_sum_zero: the outputs do not sum to zero, but to %d", sum)
	}
	return nil
}

func assertInitialized() error {
	if !initialised {
		return tdl.Errorf(tdl.ExecutionError, "assert_initialized: the init hook has not run")
	}
	return nil
}
