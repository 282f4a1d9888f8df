package executor

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// parentLook is how often to look for the parent where it cannot be waited for.
const parentLook = 100 * time.Millisecond

// WatchParent ends the process, and its group if it leads one, when the parent
// ends. It is for executors without native code: a goroutine waits, and what keeps
// Go code from running keeps it from acting.
func WatchParent() error {
	parent := unix.Getppid()
	if parent == 0 {
		// It is in another PID namespace, and cannot be watched.
		return nil
	}
	pidfd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		pidfd = -1
	} else if pidfd, err = moveAway(pidfd); err != nil {
		return fmt.Errorf("move the parent's pidfd: %w", err)
	}
	if unix.Getppid() != parent {
		// It ended meanwhile, and the pidfd may be a stranger's.
		endProcess()
	}
	go func() {
		for {
			if pidfd < 0 {
				time.Sleep(parentLook)
			} else if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1); n > 0 && unix.Getppid() == parent {
				// A task closed the descriptor, or put its own there.
				pidfd = -1
			}
			if unix.Getppid() != parent {
				endProcess()
			}
		}
	}()
	return nil
}

// moveAway gives fd a number out of the tasks' way.
func moveAway(fd int) (int, error) {
	moved, err := private(fd)
	unix.Close(fd)
	return moved, err
}

// endProcess kills the process's group, which holds what tasks have forked, if the
// group is its own, and the process.
func endProcess() {
	self := os.Getpid()
	if unix.Getpgrp() == self {
		_ = unix.Kill(-self, unix.SIGKILL)
	}
	_ = unix.Kill(self, unix.SIGKILL)
}

// outliveSignal takes back what a parent may have asked for: that the kernel kills this
// process when the parent ends (PR_SET_PDEATHSIG). It would come before the watch has
// killed what tasks have forked, and would not do that itself. Where there is no watch,
// since the parent is in another PID namespace, it stays.
func outliveSignal() {
	if unix.Getppid() == 0 {
		return
	}
	onMainThread(func() { _ = unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0) })
}

// onMainThread runs f on the process's main thread, the one that attributes of the process
// such as that signal belong to. It does not if the thread is in use elsewhere.
func onMainThread(f func()) {
	if unix.Gettid() == unix.Getpid() {
		f()
		return
	}
	const threads = 32 // more than a program has that has just started
	release := make(chan struct{})
	defer close(release)
	for range threads {
		found := make(chan bool)
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() == unix.Getpid() {
				f()
				runtime.UnlockOSThread()
				found <- true
				return
			}
			found <- false
			// Held, the next gets another thread. This one ends with the goroutine.
			<-release
		}()
		if <-found {
			return
		}
	}
}
