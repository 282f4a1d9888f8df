package pool

import (
	"fmt"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalName is the signal's constant, such as SIGSEGV, or its number.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return strconv.Itoa(int(sig)) // a real-time one
}

// describeSignal gives, for example, SIGSEGV (segmentation fault).
func describeSignal(sig syscall.Signal) string {
	if unix.SignalName(sig) == "" {
		return signalName(sig)
	}
	return fmt.Sprintf("%s (%v)", signalName(sig), sig)
}
