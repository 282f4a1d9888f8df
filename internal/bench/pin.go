package bench

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// cpus returns the processors that this process may use.
func cpus() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var all []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all, nil
}

// onCPU calls start on a thread that is pinned to cpu, so that a process which
// start forks is born there: each of its threads, and what its runtime takes the
// number of processors to be, follow. Pinning a process after it has started
// would leave out the threads it has by then. With -1 the thread is kept, but not
// pinned.
func onCPU(cpu int, start func() error) (err error) {
	runtime.LockOSThread()
	if cpu < 0 {
		defer runtime.UnlockOSThread()
		return start()
	}
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	defer func() {
		restored := unix.SchedSetaffinity(0, &before)
		if restored == nil {
			runtime.UnlockOSThread()
		} else if err == nil {
			// The thread stays locked, so no other goroutine gets onto it.
			err = fmt.Errorf("unpin from CPU %d: %w", cpu, restored)
		}
	}()
	return start()
}
