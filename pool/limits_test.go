package pool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

func init() {
	// Not an executor, but a program whose only processor's thread is its main one
	// when it starts others.
	behaviours["starts from the main thread"] = func() {
		runtime.GOMAXPROCS(1)
		for range 20 {
			p, err := pool.StartProcess(pool.ProcessConfig{Executor: "/bin/cat"})
			if err != nil {
				panic(err)
			}
			p.Close()
		}
		fmt.Println(statusOf("self", "NoNewPrivs"))
	}
}

// statusOf is a field of /proc/<pid>/status.
func statusOf(pid any, field string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%v/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// startLimited starts our executor on the test packages, under limits.
func startLimited(t *testing.T, limits pool.Limits, configure ...func(*pool.ProcessConfig)) *pool.Process {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	cfg := pool.ProcessConfig{Executor: built.Executor, PackageDir: built.Packages, Limits: limits}
	for _, c := range configure {
		c(&cfg)
	}
	p, err := pool.StartProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// run runs a task with one result.
func run[R any](p *pool.Process, pkg, task string, args ...any) (result R, err error) {
	answer, err := p.Execute(pool.Request{Package: pkg, Task: task, Context: tasktest.Context(), Inputs: tasktest.Inputs(args...)}, patience)
	if err == nil {
		err = tasktest.Outputs(answer.Outputs, &result)
	}
	return result, err
}

func TestOpenFilesLimit(t *testing.T) {
	t.Parallel()
	p := startLimited(t, pool.Limits{OpenFiles: 64})
	if got, err := run[uint64](p, "misbehave", "get_rlimit", unix.RLIMIT_NOFILE); err != nil || got != 64 {
		t.Errorf("soft limit %d, %v", got, err)
	}
	if got, err := run[uint64](p, "misbehave", "open_files", 100); err != nil || got >= 64 || got < 30 {
		t.Errorf("it opened %d files, %v", got, err)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(p.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil || limit != (unix.Rlimit{Cur: 64, Max: 64}) {
		t.Errorf("%+v, %v", limit, err)
	}
}

// A program that leaves signals alone ends by SIGXCPU; one in Go takes no notice of
// that, and is killed a second later.
func TestCPULimit(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "busy")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nwhile :; do :; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		start  func(*testing.T, pool.Limits) *pool.Process
		signal []syscall.Signal
	}{
		{"a shell", func(t *testing.T, l pool.Limits) *pool.Process {
			return startLimited(t, l, func(cfg *pool.ProcessConfig) { cfg.Executor = script })
		}, []syscall.Signal{syscall.SIGXCPU}},
		{"the executor", func(t *testing.T, l pool.Limits) *pool.Process { return startLimited(t, l) },
			[]syscall.Signal{syscall.SIGXCPU, syscall.SIGKILL}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := c.start(t, pool.Limits{CPU: time.Millisecond}) // rounded up
			// On a busy machine a second of the processor can take long.
			_, err := p.Execute(pool.Request{Package: "misbehave", Task: "endless_loop", Context: tasktest.Context(), Inputs: tasktest.Inputs()}, 10*patience)
			var crash *pool.CrashError
			if !errors.As(err, &crash) || crash.Exit.Killed != "" {
				t.Fatalf("%v", err)
			}
			for _, s := range c.signal {
				if crash.Exit.Signal == s {
					return
				}
			}
			t.Errorf("%v, want %v", err, c.signal)
		})
	}
}

func TestCoreLimit(t *testing.T) {
	t.Parallel()
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	if s := strings.TrimSpace(string(pattern)); s == "" || strings.ContainsAny(s, "|/@") {
		t.Skipf("NOT TESTED: core dumps do not go to the working directory, but to %q", s)
	}
	var own unix.Rlimit
	const size = 1 << 30
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &own); err != nil || own.Max < size {
		t.Skipf("NOT TESTED: this process may not have core dumps itself: %+v, %v", own, err)
	}
	for _, c := range []struct {
		limit int64
		cores int
	}{{0, 0}, {size, 1}} {
		dir := t.TempDir()
		p := startLimited(t, pool.Limits{Cores: c.limit}, func(cfg *pool.ProcessConfig) { cfg.Dir = dir })
		_, err := run[int](p, "misbehave", "abort")
		var crash *pool.CrashError
		if !errors.As(err, &crash) || crash.Exit.Signal != syscall.SIGABRT || (crash.Core != "") != (c.cores > 0) {
			t.Errorf("limit %d: %v, core %q", c.limit, err, crash.Core)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != c.cores {
			t.Errorf("limit %d: %q", c.limit, files)
		}
		// What is inherited is not touched.
		want := unix.Rlimit{Cur: uint64(c.limit), Max: uint64(c.limit)}
		q := startLimited(t, pool.Limits{Cores: c.limit})
		var got unix.Rlimit
		if err := unix.Prlimit(q.PID(), unix.RLIMIT_CORE, nil, &got); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
	inherits := startLimited(t, pool.Limits{Cores: -1})
	if _, err := run[string](inherits, "misbehave", "echo", "it has started"); err != nil {
		t.Fatal(err)
	}
	var got unix.Rlimit
	if err := unix.Prlimit(inherits.PID(), unix.RLIMIT_CORE, nil, &got); err != nil || got != own {
		t.Errorf("%+v, %v, want %+v", got, err, own)
	}
}

func TestNice(t *testing.T) {
	t.Parallel()
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := startLimited(t, pool.Limits{Nice: 3})
	if _, err := run[string](p, "misbehave", "echo", "x"); err != nil {
		t.Fatal(err)
	}
	// All threads, those of the Go runtime too.
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if len(stats) < 2 {
		t.Errorf("threads %q", stats)
	}
	for _, file := range stats {
		text, _ := os.ReadFile(file)
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after) // from the third on
		if want := fmt.Sprint(min(20-own+3, 19)); len(fields) < 17 || fields[16] != want {
			t.Errorf("%s: %q, want a nice value of %s", file, text, want)
		}
	}
}

func TestNoNewPrivileges(t *testing.T) {
	t.Parallel()
	if own := statusOf("self", "NoNewPrivs"); own != "0" {
		t.Skip("NOT TESTED: this process cannot gain privileges itself: ", own)
	}
	for _, c := range []struct {
		allowed bool
		want    string
	}{{false, "1"}, {true, "0"}} {
		p := start(t, "echo", func(cfg *pool.ProcessConfig) { cfg.Limits.NewPrivileges = c.allowed })
		mustEcho(t, p, small)
		if got := statusOf(p.PID(), "NoNewPrivs"); got != c.want {
			t.Errorf("allowed %t: NoNewPrivs %s", c.allowed, got)
		}
	}
}

// The main thread cannot end, so nothing of what a start needs may be put on it.
func TestMainThreadStaysUnrestricted(t *testing.T) {
	t.Parallel()
	if own := statusOf("self", "NoNewPrivs"); own != "0" {
		t.Skip("NOT TESTED: this process cannot gain privileges itself: ", own)
	}
	if out, err := command(t, "starts from the main thread").Output(); err != nil || string(out) != "0\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// What the caller pinned its thread to holds for the process that it starts.
func TestStartKeepsProcessors(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if before.Count() < 2 {
		t.Skip("NOT TESTED: there is one processor")
	}
	for cpu := range len(before) * 64 {
		if before.IsSet(cpu) {
			only.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		t.Fatal(err)
	}
	p := start(t, "echo")
	if err := unix.SchedSetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	var got unix.CPUSet
	if err := unix.SchedGetaffinity(p.PID(), &got); err != nil || got != only {
		t.Errorf("%v, %v, want %v", got, err, only)
	}
}

func TestWrongLimits(t *testing.T) {
	t.Parallel()
	_, err := pool.New(pool.Config{PackageDir: "/", Limits: pool.Limits{
		CPU: -1, Memory: -1, Nice: 20, NewPrivileges: true, Cgroup: "relative",
		Landlock: &pool.Landlock{BestEffort: true, ReadOnly: []string{"relative"}, ReadWrite: []string{"/", "/is/not/there"}},
	}})
	var wrong *pool.ConfigError
	if !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	want := []string{
		"Limits.CPU is negative",
		"Limits.Memory is negative",
		"Limits.Nice 20 is not from -20 to 19",
		`Limits.Cgroup: "relative" is no absolute path`,
		"Limits.NewPrivileges and Landlock are both set: the kernel does not allow that",
		`Limits.Landlock.ReadOnly[0]: "relative" is no absolute path`,
		"Limits.Landlock.ReadWrite[1]: stat /is/not/there: no such file or directory",
	}
	if got := strings.Join(wrong.Faults, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}

// It may not be more than this process has itself, and without a pool that is said at
// the start.
func TestLimitAboveTheInheritedOne(t *testing.T) {
	t.Parallel()
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	_, err := pool.StartProcess(configuration("echo", func(cfg *pool.ProcessConfig) { cfg.Limits.OpenFiles = 1 << 40 }))
	var spawn *pool.SpawnError
	if !errors.As(err, &spawn) {
		t.Fatal(err)
	}
	var wrong *pool.ConfigError
	var limit *pool.LimitError // as root
	if !errors.As(err, &wrong) && !errors.As(err, &limit) || !strings.Contains(err.Error(), "Limits.OpenFiles: ") {
		t.Errorf("%v (own: %+v)", err, own)
	}
}

// BenchmarkStart is about what limits add to the time from a start to the first answer.
func BenchmarkStart(b *testing.B) {
	built, err := tasktest.Build()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		limits pool.Limits
	}{
		{"new privileges", pool.Limits{NewPrivileges: true}},
		{"default", pool.Limits{}},
		{"landlock", pool.Limits{Landlock: &pool.Landlock{BestEffort: true}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				p, err := pool.StartProcess(pool.ProcessConfig{Executor: built.Executor, PackageDir: built.Packages, Limits: c.limits})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := run[string](p, "misbehave", "echo", "x"); err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(begin))
				p.Close()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-p99")
		})
	}
}
