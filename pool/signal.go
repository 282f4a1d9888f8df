package pool

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName is the signal's constant, such as SIGSEGV.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "unknown"
}
