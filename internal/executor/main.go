package executor

import (
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/sharedmem"
	"github.com/spider-go/spider/internal/spin"
	"github.com/spider-go/spider/internal/widepipe"
)

// Environment variables of an executor process, beside SPIDER_LOG and RUST_LOG.
const (
	// EnvParentWatch set to "off" lets the process outlive its parent: for
	// people who start executors through a helper that exits.
	EnvParentWatch = "SPIDER_PARENT_WATCH"

	// EnvCoreDumps set to "on" keeps the inherited core size limit. Otherwise
	// it is 0: the core of a process that hosts a Go runtime is some 80 MB.
	EnvCoreDumps = "SPIDER_CORE_DUMPS"
)

// StatusNotDescribed is the exit status of an executor with --describe if the package
// can be opened, but does not describe itself.
const StatusNotDescribed = 3

// Protection names one thing that keeps tasks, the process and its parent from
// harming each other. The programs use [AllProtections]; the tests switch them
// off one by one, to see that each is needed.
type Protection uint

const (
	ProtectStdio      Protection = 1 << iota // stdin and stdout out of the tasks' reach
	ProtectSignals                           // a native fault ends the process with its true signal
	ProtectPreemption                        // SIGURG reaches every Go runtime in the process
	ProtectParent                            // the process ends with its parent
	ProtectThread                            // a task that leaves its thread ends the process
	ProtectLimits                            // no core files, a bounded stack

	AllProtections = ProtectStdio | ProtectSignals | ProtectPreemption | ProtectParent | ProtectThread | ProtectLimits
)

// Config says what kind of executor [Main] is to be.
type Config struct {
	// Open makes the Runner. An error ends the process before anything is read.
	Open func(log *slog.Logger) (Runner, error)

	// Protect installs, before the first request and on the task thread, what of
	// the protections depends on the kind of executor. ProtectStdio and most of
	// ProtectLimits Main does itself.
	Protect func(Protection) error

	// Without is what to leave out: nothing, except in tests.
	Without Protection
}

// Main is the life of an executor process, from start-up to the exit status it
// returns: 0 after Shutdown or a closed stdin, 1 when it could not start or the
// protocol was damaged, with one log line that says why. The calling goroutine
// must be locked to its thread: all tasks run on it, for as long as the process
// lives, since native code may keep state per thread.
func Main(cfg Config) (status int) {
	// Also before the first log line: a closed stderr must not kill the process.
	signal.Ignore(syscall.SIGPIPE)
	log := newLogger(os.Stderr, os.Getenv)
	keepProcessor()

	// Before anything else can open descriptors or start processes.
	shared, err := sharedmem.Accept()
	if err != nil {
		log.Info("no shared memory: " + err.Error())
	}

	runner, err := cfg.Open(log)
	if err != nil {
		log.Error(err.Error())
		return 1
	}
	protections := AllProtections &^ cfg.Without
	if os.Getenv(EnvParentWatch) == "off" {
		protections &^= ProtectParent
	}
	leadGroup()
	if protections&ProtectLimits != 0 {
		LimitResources()
	}
	stdio := &conn{in: 0, out: 1}
	if protections&ProtectStdio != 0 {
		if stdio, err = takeStdio(); err != nil {
			log.Error("cannot take stdin and stdout: " + err.Error())
			return 1
		}
	}
	if err := cfg.Protect(protections); err != nil {
		log.Error("cannot protect the process: " + err.Error())
		return 1
	}
	if cfg.Without&ProtectParent == 0 {
		outliveSignal()
	}
	shortTimers()
	stdio.spin = spin.FromEnv()
	log.Info("executor ready", "pid", os.Getpid())

	var pipes widepipe.Pipes
	s := server{
		frames: protocol.NewReader(stdio, protocol.DefaultMaxFrame), w: stdio, runner: runner,
		maxFrame: protocol.DefaultMaxFrame, log: log,
		shared: shared, widen: func() { pipes.Widen(stdio.in, stdio.out) }, abandoned: stdio.abandoned,
	}
	err = s.serve()
	var broken *WriteError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &broken):
		log.Error(err.Error() + "; exiting")
	default:
		log.Error("protocol damage on stdin: " + err.Error() + "; exiting")
	}
	return 1
}

// leadGroup makes the process the leader of its own group, so that it and all
// that tasks fork can be ended together. A parent that made the group already,
// and a person at a terminal whose Ctrl-C must arrive, keep what they have.
func leadGroup() {
	if unix.Getpgrp() == unix.Getpid() {
		return
	}
	if IsTerminal(0) {
		return
	}
	// Fails only for a session leader, which leads its group already.
	_ = unix.Setpgid(0, 0)
}

// IsTerminal reports whether a person sits at a descriptor.
func IsTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// maxStack bounds the main thread's stack, on which native tasks run. Where the
// inherited limit is higher or absent, endless recursion would take memory by
// the gigabyte before it faults.
const maxStack = 64 << 20

// LimitResources lowers soft limits only: what an operator set lower stays, and
// a task that knows better may raise them again.
func LimitResources() {
	lower(unix.RLIMIT_STACK, maxStack)
	if os.Getenv(EnvCoreDumps) != "on" {
		lower(unix.RLIMIT_CORE, 0)
	}
}

func lower(resource int, to uint64) {
	var limit unix.Rlimit
	if unix.Getrlimit(resource, &limit) == nil && limit.Cur > to {
		limit.Cur = to
		_ = unix.Setrlimit(resource, &limit)
	}
}

// keepProcessor makes sure that the runtime has two processors (in the sense of
// GOMAXPROCS), also on one core. If the only one is in a system call or in native
// code for over 20 us, the runtime's monitor takes it away and goes to sleep, and
// to get it back the task thread has to wake the monitor: two context switches on
// every request. With a second, idle one it is left alone for 10 ms.
func keepProcessor() {
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
}

// shortTimers asks for timers without slack on the task thread: by default the
// kernel may end a sleep up to 50 us late to save wake-ups.
func shortTimers() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
}

// LockMainThread is for an init function of the program: it ties the main
// goroutine to the process's main thread, the only one whose end is the
// process's end.
func LockMainThread() { runtime.LockOSThread() }
