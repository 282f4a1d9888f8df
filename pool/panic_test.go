package pool_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

const aTrace = "panic: said\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:1 +0x1\n"

// crashOf runs a task that must end the process.
func crashOf(t *testing.T, p *pool.Process, r pool.Request) *pool.CrashError {
	t.Helper()
	_, err := p.Execute(r, patience)
	var crash *pool.CrashError
	if !errors.As(err, &crash) {
		t.Fatalf("got %T: %v", err, err)
	}
	mustBeGone(t, p)
	return crash
}

// A panic is told with its message, wherever in the trace that stands.
func TestPanic(t *testing.T) {
	t.Parallel()
	const index = "runtime error: index out of range [5] with length 3"
	for _, c := range []struct {
		how, before string
		want        string
		cause       string // as in the error's text
		inStderr    []string
	}{
		{"index", "", index, "panic: " + index + " (exit status 2)", []string{"panicAs"}},
		{"index", strings.Repeat("said before\n", 100), index, "panic: " + index + " (exit status 2)", []string{"panicAs"}},
		{"index", "panic: just said\nand more\n", index, "panic: " + index + " (exit status 2)", nil},
		{"lines", "", "one; two", "panic: one; two (exit status 2)", []string{"\ttwo"}},
		{"defer", "", index + " [recovered]; then panic: while cleaning up: " + index, "; then panic: ", []string{"panicAs"}},
		{"deadlock", "", "fatal error: all goroutines are asleep - deadlock!", ": fatal error: all goroutines", nil},
		{"many", "", "deep down", "panic: deep down (exit status 2)", []string{"pool_test.deep(...)|pool_test.deep\\(0x0", `^\.\.\. \([0-9]+ lines\)$`}},
		// It exits on its own account, whatever it has printed.
		{"2", "some\n", "", "exit status 2", nil},
		{"3", aTrace, "", "exit status 3", []string{"panic: said"}},
		{"kill", aTrace, "", "signal SIGKILL", []string{"panic: said"}},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			p := start(t, "panics")
			crash := crashOf(t, p, pool.Request{Package: "p", Task: c.how, Inputs: []byte(c.before)})
			if crash.Panic != c.want {
				t.Errorf("panic %q, want %q", crash.Panic, c.want)
			}
			if !strings.Contains(crash.Error(), c.cause) {
				t.Errorf("%q lacks %q", crash, c.cause)
			}
			if crash.Program != p.Program() || !strings.Contains(crash.Error(), p.Program()) {
				t.Errorf("program %q, want %q", crash.Program, p.Program())
			}
			for _, expression := range c.inStderr {
				if !matches(crash.Stderr, expression) {
					t.Errorf("stderr lacks %q:\n%s", expression, strings.Join(crash.Stderr, "\n"))
				}
			}
		})
	}
}

func matches(lines []string, expression string) bool {
	return regexp.MustCompile("(?m)" + expression).MatchString(strings.Join(lines, "\n"))
}

// Without stacks, the message is all there is.
func TestPanicWithoutStacks(t *testing.T) {
	t.Parallel()
	p := start(t, "panics", func(cfg *pool.ProcessConfig) { cfg.Env = append(cfg.Env, "GOTRACEBACK=none") })
	if crash := crashOf(t, p, pool.Request{Task: "lines"}); crash.Panic != "one; two" {
		t.Errorf("got %q: %q", crash.Panic, crash.Stderr)
	}
}

// A process that has answered since did not die of what it printed before.
func TestPrintedTrace(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 100)
	p := start(t, "panics", func(cfg *pool.ProcessConfig) { cfg.OnStderr = func(line string) { seen <- line } })
	if _, err := p.Execute(pool.Request{Task: "print", Inputs: []byte(aTrace)}, patience); err != nil {
		t.Fatal(err)
	}
	for range strings.Count(aTrace, "\n") {
		<-seen
	}
	crash := crashOf(t, p, pool.Request{Task: "2"})
	if crash.Panic != "" || crash.Exit.Code != 2 || crash.Served != 1 || !matches(crash.Stderr, "^panic: said$") {
		t.Errorf("got %q, %v", crash.Panic, crash)
	}
}

// The next request learns of a panic between two.
func TestPanicWhenIdle(t *testing.T) {
	t.Parallel()
	p := start(t, "panics when idle")
	mustEcho(t, p, small)
	p.Wait()
	for range 2 {
		crash := crashOf(t, p, request(small))
		if crash.Panic != "runtime error: index out of range [5] with length 3" || crash.Served != 1 {
			t.Errorf("got %v", crash)
		}
	}
}

// Go packages, as libraries in the executor and as programs of their own.
func TestPanicOfPackage(t *testing.T) {
	t.Parallel()
	built := build(t)
	for name, cfg := range map[string]pool.ProcessConfig{
		"library": {Executor: built.Executor, PackageDir: built.Packages},
		"program": {Package: "gobehave", PackageDir: built.SelfHosted},
	} {
		for _, c := range []struct {
			task     string
			args     []any
			want     string
			inStderr string
		}{
			{"nil_dereference", nil, "runtime error: invalid memory address or nil pointer dereference", `gobehave/main\.go`},
			{"stack_overflow", nil, "fatal error: stack overflow: goroutine stack exceeds ", `main\.overflow\(0x`},
			{"panic_in_goroutine", nil, "panic in a goroutine", `main\.panicInGoroutine`},
		} {
			t.Run(name+" "+c.task, func(t *testing.T) {
				t.Parallel()
				p := startPackage(t, cfg)
				crash := crashOf(t, p, taskOf("gobehave", c.task, c.args...))
				if !strings.HasPrefix(crash.Panic, c.want) {
					t.Errorf("panic %q, want %q", crash.Panic, c.want)
				}
				if !matches(crash.Stderr, c.inStderr) {
					t.Errorf("stderr lacks %q:\n%s", c.inStderr, strings.Join(crash.Stderr, "\n"))
				}
			})
		}
		t.Run(name+" exit", func(t *testing.T) {
			t.Parallel()
			cfg, seen := cfg, make(chan string, 100)
			cfg.OnStderr = func(line string) { seen <- line }
			p := startPackage(t, cfg)
			if _, err := p.Execute(taskOf("gobehave", "print_stderr", aTrace), patience); err != nil {
				t.Fatal(err)
			}
			for range strings.Count(aTrace, "\n") {
				<-seen
			}
			crash := crashOf(t, p, taskOf("gobehave", "exit", 2))
			if crash.Panic != "" || crash.Exit.Code != 2 {
				t.Errorf("got %v", crash)
			}
		})
	}
	// The signal is what counts, not what was said.
	for _, c := range []struct {
		task   string
		signal syscall.Signal
	}{{"segv", syscall.SIGSEGV}, {"abort", syscall.SIGABRT}} {
		t.Run(c.task, func(t *testing.T) {
			t.Parallel()
			p := startPackage(t, pool.ProcessConfig{Executor: built.Executor, PackageDir: built.Packages})
			crash := crashOf(t, p, taskOf("misbehave", c.task))
			if crash.Panic != "" || crash.Exit.Signal != c.signal {
				t.Errorf("got %v", crash)
			}
		})
	}
}

func build(t *testing.T) tasktest.Built {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func startPackage(t *testing.T, cfg pool.ProcessConfig) *pool.Process {
	t.Helper()
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	p, err := pool.StartProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func taskOf(pkg, task string, args ...any) pool.Request {
	return pool.Request{Package: pkg, Task: task, Context: tasktest.Context(), Inputs: tasktest.Inputs(args...)}
}
