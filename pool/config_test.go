package pool

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := Config{PackageDir: "d"}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Executors != runtime.NumCPU() || cfg.Spares != 1 || cfg.StartTimeout != 10*time.Second || cfg.LoadTimeout != 30*time.Second {
		t.Errorf("%+v", cfg)
	}
	if cfg.Timeout != 0 || cfg.SoftTimeout != 0 || cfg.MaxTasks != 0 || cfg.MaxAge != 0 || cfg.MaxGrowth != 0 {
		t.Errorf("limits that nobody set: %+v", cfg)
	}
	if cfg, err := (Config{PackageDir: "d", Spares: -3}).complete(); err != nil || cfg.Spares != 0 {
		t.Errorf("%d spares, %v", cfg.Spares, err)
	}
	given := Config{PackageDir: "d", Executor: "e", Executors: 3, Spares: 2, Timeout: 5, SoftTimeout: 4, SoftSignal: 3, StartTimeout: 6,
		LoadTimeout: 7, MaxTasks: 8, MaxAge: 9, MaxGrowth: 10, MaxFrame: 1100, StderrLines: 12, Preload: []string{"p"}, EnvAllow: []string{"A*", "*"}}
	cfg, err = given.complete()
	if err != nil || cfg.Executors != 3 || cfg.Spares != 2 || cfg.StartTimeout != 6 || cfg.LoadTimeout != 7 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// Each fault is told, and all of them at once.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	type broken struct {
		fault  string // the beginning of what is said
		breaks func(*Config)
	}
	all := []broken{
		{"PackageDir is required", func(c *Config) { c.PackageDir = "" }},
		{"Executors is negative", func(c *Config) { c.Executors = -1 }},
		{"Timeout is negative", func(c *Config) { c.Timeout = -1 }},
		{"SoftTimeout is negative", func(c *Config) { c.SoftTimeout = -1 }},
		{"StartTimeout is negative", func(c *Config) { c.StartTimeout = -1 }},
		{"LoadTimeout is negative", func(c *Config) { c.LoadTimeout = -1 }},
		{"MaxTasks is negative", func(c *Config) { c.MaxTasks = -1 }},
		{"MaxAge is negative", func(c *Config) { c.MaxAge = -1 }},
		{"MaxGrowth is negative", func(c *Config) { c.MaxGrowth = -1 }},
		{"MaxFrame is negative", func(c *Config) { c.MaxFrame = -1 }},
		{"StderrLines is negative", func(c *Config) { c.StderrLines = -1 }},
		{"SoftSignal 65 is no signal", func(c *Config) { c.SoftSignal, c.SoftTimeout = 65, max(c.SoftTimeout, 1) }},
		{`Preload[1]: the name "a/b"`, func(c *Config) { c.Preload = []string{"fine", "a/b", ""} }},
		{`Preload[2]: the name ""`, func(c *Config) { c.Preload = []string{"fine", "a/b", ""} }},
		{`Preload[0]: the name ".."`, func(c *Config) { c.Preload = []string{".."} }},
		{`Env[1] "novalue"`, func(c *Config) { c.Env = []string{"A=", "novalue"} }},
		{`Env[0] "=x"`, func(c *Config) { c.Env = []string{"=x"} }},
		{`EnvAllow[0]: "A=1"`, func(c *Config) { c.EnvAllow = []string{"A=1"} }},
		{`EnvAllow[1]: ""`, func(c *Config) { c.EnvAllow = []string{"B", ""} }},
		{"Env and EnvAllow are both set", func(c *Config) { c.Env, c.EnvAllow = []string{}, []string{} }},
		{"SoftSignal is set without SoftTimeout", func(c *Config) { c.SoftSignal = 3 }},
		{"SoftTimeout 2s is not below Timeout 1s", func(c *Config) { c.Timeout, c.SoftTimeout = time.Second, 2*time.Second }},
		{"SoftTimeout 1s is not below Timeout 1s", func(c *Config) { c.Timeout, c.SoftTimeout = time.Second, time.Second }},
		{"Limits.CPU is negative", func(c *Config) { c.Limits.CPU = -1 }},
		{"Limits.Memory is negative", func(c *Config) { c.Limits.Memory = -1 }},
		{"Limits.Nice 20 ", func(c *Config) { c.Limits.Nice = 20 }},
		{"MaxFrame 8388609 is over 8388608, the most that executors take: larger inputs and outputs are what MaxPayload", func(c *Config) { c.MaxFrame = 8<<20 + 1 }},
		{"MaxPayload 9223372036854775807 is over", func(c *Config) { c.MaxPayload = math.MaxInt }},
		{"StderrLines 9223372036854775807 is over 65536", func(c *Config) { c.StderrLines = math.MaxInt }},
		{"Dir: stat /is/not/there: no such file", func(c *Config) { c.Dir = "/is/not/there" }},
		{"Dir: /dev/null is no directory", func(c *Config) { c.Dir = "/dev/null" }},
	}
	faultsOf := func(cfg Config) []string {
		p, err := New(cfg)
		var wrong *ConfigError
		if p != nil || !errors.As(err, &wrong) {
			t.Fatalf("%v, %T: %v", p, err, err)
		}
		for _, fault := range wrong.Faults {
			if !strings.Contains(wrong.Error(), fault) {
				t.Errorf("%q does not say %q", wrong, fault)
			}
		}
		return wrong.Faults
	}
	says := func(faults []string, fault string) bool {
		return slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, fault) })
	}
	for _, b := range all {
		cfg := Config{PackageDir: "d"}
		b.breaks(&cfg)
		if faults := faultsOf(cfg); !says(faults, b.fault) {
			t.Errorf("%q is not among %q", b.fault, faults)
		}
	}
	// The first twelve stand in each other's way nowhere, nor do these.
	together := append(slices.Clone(all[:12]), all[12], all[13], all[15], all[18], all[19], all[23], all[24], all[25])
	var cfg Config
	for _, b := range together {
		if b.fault == all[19].fault {
			continue // it is one by now
		}
		b.breaks(&cfg)
	}
	faults := faultsOf(cfg)
	for _, b := range together {
		if b.fault != all[3].fault && !says(faults, b.fault) {
			t.Errorf("%q is not among %q", b.fault, faults)
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	env := []string{"A=1", "AB=2", "B=", "C=x=y", "odd"}
	for _, c := range []struct{ allow, want []string }{
		{[]string{}, nil},
		{[]string{"A"}, []string{"A=1"}},
		{[]string{"A*"}, []string{"A=1", "AB=2"}},
		{[]string{"*"}, env},
		{[]string{"C", "B", "none"}, []string{"B=", "C=x=y"}},
	} {
		got := allowed(env, c.allow)
		if got == nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.allow, got, c.want)
		}
	}
}

func TestStaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := staged{dir: dir}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", "nowhere"} {
		_, err := s.find(name)
		var answered *ExecutorError
		if !errors.As(err, &answered) || answered.Kind != InvalidLibrary || answered.Package != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	must(os.Mkdir(dir+"/p", 0o755))
	library, program := dir+"/p/libp.so", dir+"/p/p"
	must(os.WriteFile(library, []byte("1"), 0o644))
	first, err := s.find("p")
	if err != nil || first.program || first.path != library {
		t.Errorf("%+v, %v", first, err)
	}
	if again, err := s.find("p"); err != nil || again != first {
		t.Errorf("%+v, %v", again, err)
	}
	// Of the same size, and maybe of the same time: a rename makes another file.
	must(os.WriteFile(library+".new", []byte("2"), 0o644))
	must(os.Rename(library+".new", library))
	second, err := s.find("p")
	if err != nil || second == first {
		t.Errorf("%+v, %v", second, err)
	}
	// What cannot be executed is no program.
	must(os.WriteFile(program, []byte("3"), 0o644))
	if file, err := s.find("p"); err != nil || file != second {
		t.Errorf("%+v, %v", file, err)
	}
	must(os.Chmod(program, 0o755))
	s.age.Add(1) // as the pool does each second
	if file, err := s.find("p"); err != nil || !file.program || file.path != program {
		t.Errorf("%+v, %v", file, err)
	}
	must(errors.Join(os.Remove(program), os.Mkdir(program, 0o755)))
	if file, err := s.find("p"); err != nil || file != second {
		t.Errorf("a folder of that name: %+v, %v", file, err)
	}
	must(os.Remove(library))
	if _, err := s.find("p"); !errors.As(err, new(*ExecutorError)) {
		t.Errorf("%v", err)
	}
}

// Each kind of error is one outcome, also where it wraps another.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want func(*Counts) *int64
	}{
		{nil, func(c *Counts) *int64 { return &c.Succeeded }},
		{&ExecutorError{}, func(c *Counts) *int64 { return &c.Failed }},
		{&TimeoutError{}, func(c *Counts) *int64 { return &c.TimedOut }},
		{&CrashError{}, func(c *Counts) *int64 { return &c.Crashed }},
		{&CanceledError{}, func(c *Counts) *int64 { return &c.Canceled }},
		{&ProtocolError{}, func(c *Counts) *int64 { return &c.ProtocolErrors }},
		{&TooLargeError{}, func(c *Counts) *int64 { return &c.TooLarge }},
		{ErrClosed, func(c *Counts) *int64 { return &c.NotStarted }},
		{&SpawnError{Err: &CrashError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
		{&SpawnError{Err: &ExecutorError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
		{&BreakerError{Err: &TimeoutError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
	} {
		var counts Counts
		*counts.of(c.err) = 1
		if *c.want(&counts) != 1 || counts.Calls() != 1 {
			t.Errorf("%T: %+v", c.err, counts)
		}
	}
}

// What cannot be configured is refused for a single process too.
func TestProcessConfigFaults(t *testing.T) {
	t.Parallel()
	for _, cfg := range []ProcessConfig{{MaxFrame: 8<<20 + 1}, {MaxPayload: math.MaxInt}, {StderrLines: math.MaxInt}} {
		cfg.Executor = "/bin/true"
		_, err := StartProcess(cfg)
		var spawn *SpawnError
		var wrong *ConfigError
		if !errors.As(err, &spawn) || spawn.Executor != "/bin/true" || !errors.As(err, &wrong) || len(wrong.Faults) != 1 {
			t.Errorf("%v", err)
		}
	}
}

// The error names what is missing, not the program that is there.
func TestStartNamesDir(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]error{"/is/not/there": os.ErrNotExist, "/dev/null": syscall.ENOTDIR} {
		_, err := StartProcess(ProcessConfig{Executor: "/bin/true", Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "its working directory, Dir: ") || !errors.Is(err, want) {
			t.Errorf("%v", err)
		}
	}
}

// What fails again however often it is tried is not retryable.
func TestRetryableConfiguration(t *testing.T) {
	t.Parallel()
	start := func(cfg ProcessConfig) error {
		p, err := StartProcess(cfg)
		if err == nil {
			p.Close()
			t.Errorf("%+v starts", cfg)
		}
		return err
	}
	for name, err := range map[string]error{
		"none":          start(ProcessConfig{}),
		"missing":       start(ProcessConfig{Executor: "/is/not/there"}),
		"not on PATH":   start(ProcessConfig{Executor: "is-not-there"}),
		"no program":    start(ProcessConfig{Executor: "/etc/passwd"}),
		"a directory":   start(ProcessConfig{Executor: "/etc"}),
		"missing Dir":   start(ProcessConfig{Executor: "/bin/true", Dir: "/is/not/there"}),
		"MaxFrame":      start(ProcessConfig{Executor: "/bin/true", MaxFrame: 1 << 30}),
		"a limit":       start(ProcessConfig{Executor: "/bin/true", Limits: Limits{CPU: -1}}),
		"after deaths":  &BreakerError{Err: &SpawnError{Executor: "x", Err: exec.ErrNotFound}},
		"a joined path": fmt.Errorf("a call: %w", start(ProcessConfig{Executor: "/dev/null/x"})),
	} {
		if Retryable(err) {
			t.Errorf("%s: retryable: %v", name, err)
		}
	}
	for _, err := range []error{
		&SpawnError{Executor: "x", Err: syscall.EAGAIN},
		&SpawnError{Executor: "x", Err: syscall.EMFILE},
		&SpawnError{Executor: "x", Err: &CrashError{}},
		&BreakerError{Err: &SpawnError{Executor: "x", Err: &CrashError{}}},
		&BreakerError{Err: &CrashError{}},
	} {
		if !Retryable(err) {
			t.Errorf("not retryable: %v", err)
		}
	}
}

// Who looks for what became of its task does not find what became of a start.
func TestNothingSentIsNoCrash(t *testing.T) {
	t.Parallel()
	lost := []error{&CrashError{}, &TimeoutError{}, &ProtocolError{Err: io.EOF}}
	for _, cause := range lost {
		for _, err := range []error{&SpawnError{Err: cause}, &BreakerError{Err: cause}, &BreakerError{Err: &SpawnError{Err: cause}}} {
			if report := reportOf(err); report != nil {
				t.Errorf("%T of %T has a report", err, cause)
			}
			if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), cause.Error()) {
				t.Errorf("%v", err)
			}
		}
	}
	if err := (&SpawnError{Err: os.ErrNotExist}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// The kernel says how much memory a process has had at most, but begins with what its
// parent has: where that is more, the figure is the parent's.
func TestPeakOfALargeParent(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	small, large := Process{cmd: cmd}, Process{cmd: cmd, parentPeak: 1 << 60}
	if peak, atLeast := small.peakRSS(); peak == 0 || atLeast {
		t.Errorf("%d, at least: %t", peak, atLeast)
	}
	large.notePeak(5)
	if peak, atLeast := large.peakRSS(); peak != 5 || !atLeast {
		t.Errorf("%d, at least: %t", peak, atLeast)
	}
	large.exit.Killed = "and looked at before"
	if peak, atLeast := large.peakRSS(); peak != 5 || atLeast {
		t.Errorf("%d, at least: %t", peak, atLeast)
	}
}

// Also where the working directory is this program's own.
func TestCoreIsAbsolute(t *testing.T) {
	t.Parallel()
	own, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := findCore("core.of.nobody", false, "", "x", 1, syscall.SIGSEGV), "dumped as "+filepath.Join(own, "core.of.nobody"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := findCore("config.go", false, "", "x", 1, syscall.SIGSEGV), filepath.Join(own, "config.go"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
