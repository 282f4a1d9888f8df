package pool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are what an executor may use of the machine. The zero Limits are none, but
// that it writes no core dumps and cannot gain privileges.
//
// They hold for any executor, without its help. Those on CPU, OpenFiles, Cores and
// Nice are set in the moment after its start: an executor does not run package code
// before its first request, and that is sent later.
type Limits struct {
	// CPU is the processor time of the executor's life, in whole seconds, rounded
	// up. When it is used up the kernel sends SIGXCPU, and, since Go programs take
	// no notice of that, SIGKILL a second later. 0: no limit.
	CPU time.Duration

	// OpenFiles is how many descriptors it may have; an executor needs some ten
	// for itself. 0: what it inherits.
	OpenFiles uint64

	// Cores is the largest core dump, in bytes. 0: none is written, unless the
	// kernel hands them to a program (core_pattern), which decides for itself.
	// Negative: what it inherits.
	Cores int64

	// Memory is its largest resident memory, in bytes, of the process alone: the
	// pool looks every 100 ms and kills what is over it. 0: no limit.
	Memory int64

	// Cgroup has the kernel see to Memory too, at once and for all processes that
	// tasks start: it is the path of a cgroup (version 2) that this user may
	// change, that holds no processes itself and has "memory" in its
	// cgroup.subtree_control. Each executor gets a group of its own in it, without
	// swap, which is removed at its end with all processes that are in it. "": none.
	Cgroup string

	// Nice is added to its scheduling priority: 19 gives way to all else. Less than
	// 0 takes privileges.
	Nice int

	// NewPrivileges allows what is off by default: that programs with the set-uid
	// bit or file capabilities give it more privileges than this process has.
	NewPrivileges bool

	// Landlock, if set, says which files are in its reach.
	Landlock *Landlock
}

// LimitError says which limit could not be set. No process is left.
type LimitError struct {
	Limit string // the field of [Limits]
	Err   error
}

func (e *LimitError) Error() string { return fmt.Sprintf("Limits.%s: %v", e.Limit, e.Err) }
func (e *LimitError) Unwrap() error { return e.Err }

// memoryEvery is how often memory is looked at where it is limited.
const memoryEvery = 100 * time.Millisecond

// envCoreDumps set to "on" has our own executor keep the limit on core dumps that it
// finds, which it else lowers to 0.
const envCoreDumps = "SPIDER_CORE_DUMPS"

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
	if l.CPU >= 0 {
		for _, r := range l.resources() {
			if err := r.aboveHard(); err != nil {
				fault("%s: %v", r.field, err)
			}
		}
	}
	if l.Cgroup != "" {
		if l.Memory == 0 {
			fault("Cgroup is set without Memory")
		}
		if err := checkCgroup(l.Cgroup); err != nil {
			fault("Cgroup: %v", err)
		}
	}
	if l.Landlock != nil {
		if l.NewPrivileges {
			fault("NewPrivileges and Landlock are both set: the kernel does not allow that")
		}
		for _, f := range l.Landlock.faults() {
			fault("Landlock%s", f)
		}
	}
	return faults
}

// launch starts a process under the limits, on a thread of its own, and then runs await on
// that thread, unless it is nil. The cgroup, which is nil unless Cgroup is set, is to be
// removed when the process has ended. After an error there is neither process nor cgroup,
// and await is not run.
func (l *Limits) launch(cmd *exec.Cmd, await func()) (group *cgroup, err error) {
	if faults := l.faults(); len(faults) > 0 {
		return nil, &ConfigError{Faults: faults}
	}
	if l.Cores != 0 {
		cmd.Env = append(cmd.Environ(), envCoreDumps+"=on")
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if l.Cgroup != "" {
		if group, err = newCgroup(l.Cgroup, l.Memory); err != nil {
			return nil, &LimitError{Limit: "Cgroup", Err: err}
		}
		dir, err := os.Open(group.dir)
		if err != nil {
			group.remove()
			return nil, &LimitError{Limit: "Cgroup", Err: err}
		}
		defer dir.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	err = onThrowawayThread(func() error { return l.start(cmd) }, await)
	if err != nil {
		group.remove()
		return nil, err
	}
	return group, nil
}

// start starts a process on the calling thread, and restricts both.
func (l *Limits) start(cmd *exec.Cmd) error {
	if !l.NewPrivileges {
		rules, err := l.Landlock.ruleset(cmd)
		if err != nil {
			return &LimitError{Limit: "Landlock", Err: err}
		}
		defer rules.close()
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return &LimitError{Limit: "NewPrivileges", Err: err}
		}
		if err := rules.restrictThread(); err != nil {
			return &LimitError{Limit: "Landlock", Err: err}
		}
	}
	if err := cmd.Start(); err != nil {
		return l.explain(cmd, err)
	}
	if err := l.limit(cmd.Process.Pid); err != nil {
		end(cmd)
		return err
	}
	return nil
}

// explain says what the error of a start is about, which names the program only.
func (l *Limits) explain(cmd *exec.Cmd, err error) error {
	if cmd.Dir != "" {
		if info, missing := os.Stat(cmd.Dir); missing != nil {
			return fmt.Errorf("its working directory, Dir: %w", missing)
		} else if !info.IsDir() {
			return fmt.Errorf("its working directory, Dir: %w", &os.PathError{Op: "chdir", Path: cmd.Dir, Err: syscall.ENOTDIR})
		}
	}
	if l.Landlock != nil && errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: it may not be executed, or Limits.Landlock.ReadOnly lacks what it needs to start", err)
	}
	return err
}

// end kills and reaps a process that nobody else knows of yet.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if fd := cmd.SysProcAttr.PidFD; fd != nil && *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// seconds is CPU as the kernel takes it.
func (l *Limits) seconds() uint64 {
	s := uint64(l.CPU / time.Second)
	if l.CPU%time.Second > 0 {
		s++
	}
	return s
}

// resource is one of the kernel's limits on a process.
type resource struct {
	field      string // of Limits
	number     int    // RLIMIT_...
	soft, hard uint64
}

// resources are the kernel's limits that are asked for.
func (l *Limits) resources() (all []resource) {
	if l.CPU > 0 {
		// If both were the same, it would be SIGKILL at once.
		r := resource{field: "CPU", number: unix.RLIMIT_CPU, soft: l.seconds(), hard: l.seconds() + 1}
		var own unix.Rlimit
		if unix.Getrlimit(r.number, &own) == nil && r.soft <= own.Max {
			r.hard = min(r.hard, own.Max)
		}
		all = append(all, r)
	}
	if l.OpenFiles > 0 {
		all = append(all, resource{"OpenFiles", unix.RLIMIT_NOFILE, l.OpenFiles, l.OpenFiles})
	}
	if l.Cores >= 0 {
		all = append(all, resource{"Cores", unix.RLIMIT_CORE, uint64(l.Cores), uint64(l.Cores)})
	}
	return all
}

// aboveHard is the error for a limit above the one that this process has itself, if
// it may not raise it.
func (r *resource) aboveHard() error {
	var own unix.Rlimit
	if err := unix.Getrlimit(r.number, &own); err != nil || r.hard <= own.Max || privileged(unix.CAP_SYS_RESOURCE) {
		return err
	}
	return fmt.Errorf("%d is above the hard limit of this process, %d", r.soft, own.Max)
}

// privileged reports whether the calling thread has a capability.
func privileged(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[capability/32].Effective&(1<<(capability%32)) != 0
}

// limit sets the limits of a process that has just been started, and not reaped.
func (l *Limits) limit(pid int) error {
	for _, r := range l.resources() {
		if err := unix.Prlimit(pid, r.number, &unix.Rlimit{Cur: r.soft, Max: r.hard}, nil); err != nil {
			return &LimitError{Limit: r.field, Err: os.NewSyscallError("prlimit", err)}
		}
	}
	if l.Nice == 0 {
		return nil
	}
	inherited, err := unix.Getpriority(unix.PRIO_PROCESS, pid)
	if err != nil {
		return &LimitError{Limit: "Nice", Err: os.NewSyscallError("getpriority", err)}
	}
	// The system call itself returns 20 to 1 for -20 to 19.
	nice := min(max(20-inherited+l.Nice, -20), 19)
	// Priority is a thread's. The group is how all threads of the process are named.
	which := unix.PRIO_PROCESS
	if pgid, err := unix.Getpgid(pid); err == nil && pgid == pid {
		which = unix.PRIO_PGRP
	}
	if err := unix.Setpriority(which, pid, nice); err != nil {
		return &LimitError{Limit: "Nice", Err: os.NewSyscallError("setpriority", err)}
	}
	return nil
}

// cpuUsedUp reports whether a process ended since it had used up its processor time.
// It must not have been killed by this side.
func (l *Limits) cpuUsedUp(state *os.ProcessState) bool {
	if l.CPU <= 0 || state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	switch status.Signal() {
	case syscall.SIGXCPU:
		return true
	case syscall.SIGKILL:
		// What the limit is held against is counted in ticks of the clock, and is
		// a little off.
		limit := time.Duration(l.seconds()) * time.Second
		return state.UserTime()+state.SystemTime() >= limit-limit/10
	}
	return false
}
