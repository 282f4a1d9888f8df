package pool

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/spin"
)

// Config says what executors a [Pool] has, and what they may do. The zero value of
// each field but Executor and PackageDir is a working default.
type Config struct {
	// Executor is the program that runs packages: a path, or a name looked up on
	// PATH. It may be any that speaks the protocol. Required, unless every
	// package is staged as a program of its own, which is then started instead.
	Executor string

	// PackageDir holds the packages, as <dir>/<package>/lib<package>.so or, for a
	// package that is its own executor, <dir>/<package>/<package>. Required.
	PackageDir string

	// Executors is how many tasks run at once, each in a process of its own. 0:
	// one for each CPU.
	Executors int

	// Spares is how many further processes are kept warm, so that the call after
	// a crash, a timeout or a recycling does not wait for a start. In the background
	// they load the packages that were called last, up to eight. 0: 1. Negative: none.
	//
	// Programs of packages and Config.Executor share the room for Executors+Spares
	// processes. Each program has spares as long as there is room, or others have not
	// been called for 10 s; for spares of more programs at once, have more.
	Spares int

	// Preload names packages that every executor loads before its first call. What
	// cannot be loaded is told to the Observer and the Logger, and left out.
	Preload []string

	// Timeout is the hard limit of a call, from its being sent to its answer,
	// loading included; it does not run while a call waits for an executor.
	// When it is over the executor is killed. 0: no limit. [Request] can have its
	// own.
	Timeout time.Duration

	// SoftTimeout is when a call is called slow: the Observer is told, and
	// SoftSignal is sent if there is one. 0: never.
	SoftTimeout time.Duration

	// SoftSignal is sent to the executor's process at SoftTimeout, for what it
	// can do before Timeout kills it: SIGQUIT has Go packages print their
	// stacks and end. A process that got it is not used again. 0: none.
	SoftSignal syscall.Signal

	// StartTimeout is how long an executor may take from its start to its first
	// answer. 0: 10 s.
	StartTimeout time.Duration

	// LoadTimeout is how long an executor may take to load a package; a call's own
	// limit also holds. 0: 30 s.
	LoadTimeout time.Duration

	// MaxTasks, MaxAge and MaxGrowth retire an executor, once a warm one is ready
	// to take its place: after that many calls, after that time, or when its
	// resident memory has grown by that many bytes over what it was after its
	// last load. 0: never.
	//
	// They do not keep a call waiting: while none is ready, under load, an executor
	// goes on beyond them. Memory is looked at once a second, age also after each
	// call.
	MaxTasks  int
	MaxAge    time.Duration
	MaxGrowth int64

	// MaxFrame is the largest request or answer, in bytes. 0: 8 MiB, which is
	// what every executor takes, and the most: for more there is MaxPayload. At least
	// 256 and the length of PackageDir's absolute path: an executor is asked first for
	// a package that nobody has, and answers with its path.
	MaxFrame int

	// MaxPayload is the largest inputs or outputs, in bytes, where they travel in
	// shared memory instead of in a frame: from 8 KiB on, with executors that can. With
	// others, what is over MaxFrame is a *[TooLargeError], and so is an answer. The
	// memory is taken as it is needed, and given back a second after it was last. 0: what
	// fits a frame, and nothing larger. Negative: there is no shared memory.
	MaxPayload int

	// Spin is how long a caller, and our executor, look for what the other side writes
	// before they block: up to 1 ms. It saves the time that a sleeping core takes to
	// wake up, and costs up to that long of a core's time in each call, less where it
	// is in vain. It needs two cores. 0: not at all.
	Spin time.Duration

	// Limits are what executors may use of the machine.
	Limits Limits

	// Env is the environment of executors, "NAME=value" each. Nil: of this
	// process's own only what EnvAllow lists.
	Env []string

	// EnvAllow lists the names of the variables that executors get of this
	// process's environment; a name that ends in * stands for all that begin
	// so. Nil: all.
	EnvAllow []string

	// Dir is the working directory of executors, which has to exist. "": this process's
	// own.
	Dir string

	// StderrLines is how many of the last lines of an executor's stderr are kept
	// for reports. 0: 32. At most 65,536.
	StderrLines int

	// Stderr, if set, gets every line that executors write to stderr. It is
	// called from many goroutines, and what it takes its time for, calls wait for: at
	// most until their limits, see ProcessConfig.OnStderr.
	Stderr func(StderrLine)

	// Observer, if set, is told what happens to calls and executors.
	Observer Observer

	// Logger, if set, gets lines of stderr at level Info, the events of executors
	// at Debug, and deaths at Warn.
	Logger *slog.Logger
}

// The defaults of [Config].
const (
	defaultSpares       = 1
	defaultStartTimeout = 10 * time.Second
	defaultLoadTimeout  = 30 * time.Second
)

// ConfigError lists all that is wrong with a [Config].
type ConfigError struct {
	Faults []string // a field and what is wrong with it, each
}

func (e *ConfigError) Error() string {
	return "pool: wrong configuration: " + strings.Join(e.Faults, "; ")
}

// maxPayload bounds what can be asked for, in bytes.
const maxPayload = 1 << 40

// tooMuch says which sizes are larger than they can be.
func tooMuch(frame, payload, stderrLines int) (faults []string) {
	if frame > protocol.DefaultMaxFrame {
		faults = append(faults, fmt.Sprintf("MaxFrame %d is over %d, the most that executors take: larger inputs and outputs are what MaxPayload is for", frame, protocol.DefaultMaxFrame))
	}
	if payload > maxPayload {
		faults = append(faults, fmt.Sprintf("MaxPayload %d is over %d", payload, int64(maxPayload)))
	}
	if stderrLines > maxStderrLines {
		faults = append(faults, fmt.Sprintf("StderrLines %d is over %d", stderrLines, maxStderrLines))
	}
	return faults
}

// minFrame is the least that MaxFrame can be, in bytes. The first request has 79; the first
// answer of ours, which says which file is not there, 118 and the directory's path.
func minFrame(packageDir string) int {
	if dir, err := filepath.Abs(packageDir); err == nil {
		packageDir = dir
	}
	return 256 + len(packageDir)
}

// complete returns cfg with its defaults filled in. The error is a *[ConfigError].
func (cfg Config) complete() (Config, error) {
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if cfg.PackageDir == "" {
		fault("PackageDir is required")
	}
	notNegative := func(name string, n int64) {
		if n < 0 {
			fault("%s is negative", name)
		}
	}
	notNegative("Executors", int64(cfg.Executors))
	notNegative("Timeout", int64(cfg.Timeout))
	notNegative("SoftTimeout", int64(cfg.SoftTimeout))
	notNegative("StartTimeout", int64(cfg.StartTimeout))
	notNegative("LoadTimeout", int64(cfg.LoadTimeout))
	notNegative("MaxTasks", int64(cfg.MaxTasks))
	notNegative("MaxAge", int64(cfg.MaxAge))
	notNegative("MaxGrowth", cfg.MaxGrowth)
	notNegative("MaxFrame", int64(cfg.MaxFrame))
	notNegative("StderrLines", int64(cfg.StderrLines))
	if least := minFrame(cfg.PackageDir); cfg.MaxFrame > 0 && cfg.MaxFrame < least {
		fault("MaxFrame %d is below %d, which an executor's first answer may have: it names a path in PackageDir", cfg.MaxFrame, least)
	}
	faults = append(faults, tooMuch(cfg.MaxFrame, cfg.MaxPayload, cfg.StderrLines)...)
	if cfg.Dir != "" {
		if info, err := os.Stat(cfg.Dir); err != nil {
			fault("Dir: %v", err)
		} else if !info.IsDir() {
			fault("Dir: %s is no directory", cfg.Dir)
		}
	}
	if cfg.Spin < 0 || cfg.Spin > spin.Max {
		fault("Spin %v is not from 0 to %v", cfg.Spin, spin.Max)
	}
	if cfg.SoftSignal < 0 || cfg.SoftSignal > 64 {
		fault("SoftSignal %d is no signal", cfg.SoftSignal)
	}
	if cfg.SoftSignal != 0 && cfg.SoftTimeout == 0 {
		fault("SoftSignal is set without SoftTimeout")
	}
	if cfg.Timeout > 0 && cfg.SoftTimeout >= cfg.Timeout {
		fault("SoftTimeout %v is not below Timeout %v", cfg.SoftTimeout, cfg.Timeout)
	}
	for i, name := range cfg.Preload {
		if reason := protocol.BadPackageName(name); reason != "" {
			fault("Preload[%d]: the name %q %s", i, name, reason)
		}
	}
	for i, assignment := range cfg.Env {
		if name, _, ok := strings.Cut(assignment, "="); !ok || name == "" || strings.ContainsRune(assignment, 0) {
			fault("Env[%d] %q is not NAME=value", i, assignment)
		}
	}
	if cfg.Env != nil && cfg.EnvAllow != nil {
		fault("Env and EnvAllow are both set")
	}
	for i, name := range cfg.EnvAllow {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			fault("EnvAllow[%d]: %q is no variable's name", i, name)
		}
	}
	faults = append(faults, cfg.Limits.faults()...)
	if len(faults) > 0 {
		return cfg, &ConfigError{Faults: faults}
	}

	if cfg.Executors == 0 {
		cfg.Executors = runtime.NumCPU()
	}
	switch {
	case cfg.Spares == 0:
		cfg.Spares = defaultSpares
	case cfg.Spares < 0:
		cfg.Spares = 0
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = protocol.DefaultMaxFrame
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = defaultStartTimeout
	}
	if cfg.LoadTimeout == 0 {
		cfg.LoadTimeout = defaultLoadTimeout
	}
	return cfg, nil
}
