package loader

/*
#include <stdio.h>
#include <sys/resource.h>
#include "call.h"
#include "parent.h"
#include "signals.h"

// Line by line, so that what a task prints comes out in order with what others
// write to stderr, and nothing is lost when it crashes.
static void spider_line_buffer_stdout(void) { setvbuf(stdout, NULL, _IOLBF, 0); }

// The Go runtime raises the soft limit on open files when it starts. Native tasks
// are to see the limit that the process was given, so it is noted before.
static struct rlimit spider_open_files;

__attribute__((constructor)) static void spider_note_limits(void)
{
	if (getrlimit(RLIMIT_NOFILE, &spider_open_files) != 0)
		spider_open_files.rlim_max = 0;
}

static void spider_restore_limits(void)
{
	struct rlimit now;

	// A hard limit that the parent has set since is not to be raised again.
	if (spider_open_files.rlim_max != 0 && getrlimit(RLIMIT_NOFILE, &now) == 0) {
		now.rlim_cur = spider_open_files.rlim_cur < now.rlim_max ? spider_open_files.rlim_cur : now.rlim_max;
		setrlimit(RLIMIT_NOFILE, &now);
	}
}
*/
import "C"

import (
	"fmt"
	"syscall"

	"github.com/spider-go/spider/internal/executor"
)

// Protect installs the given protections in this process. It must be called
// once, on the task thread, before the first package is loaded: a Go package
// remembers the handlers it finds.
func Protect(p executor.Protection) error {
	C.spider_line_buffer_stdout()
	if p&executor.ProtectLimits != 0 {
		C.spider_restore_limits()
	}
	C.spider_guard_thread = C.bool(p&executor.ProtectThread != 0)
	faults := C.bool(p&executor.ProtectSignals != 0)
	preemption := C.bool(p&executor.ProtectPreemption != 0)
	if errno := C.spider_install_signals(faults, preemption); errno != 0 {
		return fmt.Errorf("install signal handlers: %w", syscall.Errno(errno))
	}
	if p&executor.ProtectParent != 0 {
		if errno := C.spider_watch_parent(); errno != 0 {
			return fmt.Errorf("watch the parent: %w", syscall.Errno(errno))
		}
	}
	return nil
}
