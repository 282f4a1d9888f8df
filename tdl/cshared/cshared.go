//go:build cgo

package cshared

/*
#include <stdlib.h>
#include "tdl.h"

void spider_restore_open_files(void);
*/
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"github.com/spider-go/spider/internal/timeslice"
	"github.com/spider-go/spider/tdl/internal/registered"
)

func init() {
	debug.SetMaxStack(registered.MaxStack)
	restoreOpenFiles()
	// Otherwise this Go runtime ends the process when it writes to a stderr
	// that nobody reads any more.
	signal.Ignore(syscall.SIGPIPE)
	// With only one, on one core, the runtime's monitor would take the processor
	// away between calls and have to be woken in each: two context switches.
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
}

func restoreOpenFiles() { C.spider_restore_open_files() }

var (
	// name is what get_name returns: C memory, for the life of the process.
	name    *C.char
	nameLen C.size_t

	// result is where the next outputs are encoded; it is copied into memory
	// that the executor can free. Calls never overlap.
	result []byte

	slice timeslice.Slice
)

//export spiderName
func spiderName(out *C.SpiderTdlCharArray) {
	if name == nil {
		p := registered.Get()
		if p == nil {
			// The executor will only see a name that is not the one it looks for.
			fmt.Fprintln(os.Stderr, "this library registers no package: call tdl.Register in an init function")
		} else {
			if err := p.Misnamed(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			name, nameLen = C.CString(p.Name()), C.size_t(len(p.Name()))
		}
	}
	out.ptr, out.len = name, nameLen
}

//export spiderInit
func spiderInit() C.SpiderTdlResult {
	p := registered.Get()
	if p == nil {
		// The name is empty then, so no executor comes this far.
		return C.SpiderTdlResult{is_error: true}
	}
	failure := p.Init()
	return lend(failure, failure != nil)
}

//export spiderDescribe
func spiderDescribe() C.SpiderTdlResult {
	p := registered.Get()
	if p == nil {
		return C.SpiderTdlResult{is_error: true}
	}
	return lend(p.Describe())
}

//export spiderExecute
func spiderExecute(task C.uintptr_t, taskLen C.size_t, ctx C.uintptr_t, ctxLen C.size_t, inputs C.uintptr_t, inputsLen C.size_t) C.SpiderTdlResult {
	var failed bool
	result, failed = registered.Get().Execute(result[:0], view(task, taskLen), view(ctx, ctxLen), view(inputs, inputsLen))
	r := lend(result, failed)
	if cap(result) > registered.KeepResult {
		result = nil
	}
	slice.Yield(timeslice.Now())
	return r
}

// view is the executor's memory itself, valid during the call.
func view(ptr C.uintptr_t, n C.size_t) []byte {
	if n == 0 {
		return nil
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&ptr)), int(n))
}

// lend copies b into memory that the executor frees.
func lend(b []byte, failed bool) C.SpiderTdlResult {
	r := C.SpiderTdlResult{is_error: C.bool(failed), len: C.size_t(len(b))}
	if len(b) > 0 {
		r.ptr = (*C.uint8_t)(C.CBytes(b))
	}
	return r
}
