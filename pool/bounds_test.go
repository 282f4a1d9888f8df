package pool_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// A process that itself writes to stderr without pause, faster than its lines are handed
// on, keeps back no answer, no end by a context, and no Close; and after that nothing
// comes any more.
func TestChattyProcess(t *testing.T) {
	t.Parallel()
	for _, listener := range []string{"slow", "none"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			var closed atomic.Bool
			var late atomic.Int64
			p := oddPool(t, func(c *pool.Config) {
				c.Executors = 1
				if listener == "slow" {
					c.Stderr = func(pool.StderrLine) {
						if closed.Load() {
							late.Add(1)
						}
						time.Sleep(50 * time.Microsecond)
					}
				}
			})
			for range 3 {
				within(t, "the chatty call", func() {
					if _, err := do(t.Context(), p, "chat", ""); err != nil {
						t.Error(err)
					}
				})
				within(t, "the next call", func() { mustDo(t, p) })
			}
			within(t, "a call that is canceled", func() {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				var canceled *pool.CanceledError
				if _, err := do(ctx, p, "hang", ""); !errors.As(err, &canceled) {
					t.Errorf("%v", err)
				}
			})
			within(t, "a call that is late", func() {
				var timeout *pool.TimeoutError
				_, err := p.Execute(t.Context(), pool.Request{Package: "p", Task: "hang", Timeout: limited})
				if !errors.As(err, &timeout) {
					t.Errorf("%v", err)
				}
			})
			if _, err := do(t.Context(), p, "chat", ""); err != nil {
				t.Error(err)
			}
			within(t, "Close", func() {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = p.Close(ctx)
				closed.Store(true)
			})
			if n := late.Load(); n > 0 {
				t.Errorf("%d lines came after Close", n)
			}
		})
	}
}

// What a daemon that a task has started writes now and then, after the end of the process,
// is nothing that the process has said: nobody waits for it.
func TestTrickleAfterTheEnd(t *testing.T) {
	t.Parallel()
	var drips atomic.Int64
	p := oddPool(t, func(c *pool.Config) {
		c.Executors = 1
		c.Stderr = func(pool.StderrLine) { drips.Add(1) }
	})
	text, err := do(t.Context(), p, "fork setsid trickle", "")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(text)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	before := drips.Load()
	if _, err := do(t.Context(), p, "kill", ""); !errors.As(err, new(*pool.CrashError)) {
		t.Errorf("%v", err)
	}
	// In five seconds, for which such a line was waited for once, there are some 250.
	if n := drips.Load() - before; n > 125 {
		t.Errorf("%d lines of the daemon came before the call ended", n)
	}
}

// Also where the process has enlarged the pipe, what it wrote before its answer is handed
// on before the answer.
func TestLargeStderrPipe(t *testing.T) {
	t.Parallel()
	var last atomic.Pointer[string]
	p := oddPool(t, func(c *pool.Config) {
		c.Executors = 1
		c.Stderr = func(l pool.StderrLine) { last.Store(&l.Text) }
	})
	for range 5 {
		got, err := do(t.Context(), p, "fill", "in")
		if err != nil || got != "in" {
			t.Fatalf("%q, %v", got, err)
		}
		if line := last.Swap(nil); line == nil || *line != "line 059999" {
			t.Errorf("the last line at the answer is %v", line)
		}
	}
}

// What looks like a panic but was survived is not taken for the cause of the next call's
// end, also where nobody listens.
func TestSurvivedPanicOfAnEarlierCall(t *testing.T) {
	t.Parallel()
	const printed = "panic: survived\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:1\n"
	p := oddPool(t, func(c *pool.Config) { c.Executors = 1 })
	for range 20 {
		if _, err := do(t.Context(), p, "line", printed); err != nil {
			t.Fatal(err)
		}
		_, err := do(t.Context(), p, "exit: 2", "")
		var crash *pool.CrashError
		if !errors.As(err, &crash) || crash.Exit.Code != 2 || crash.Panic != "" {
			t.Fatalf("%v", err)
		}
		if tail := strings.Join(crash.Stderr, "\n"); !strings.Contains(tail, "panic: survived") {
			t.Errorf("%q", tail)
		}
	}
}

// Who does not read its stdin any more gets no call.
func TestClosedStdin(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors = 1 })
	for range 5 {
		if got, err := do(t.Context(), p, "close stdin", ""); err != nil || got != "closed" {
			t.Fatalf("%q, %v", got, err)
		}
		mustDo(t, p)
	}
}

// The longest limit is as good as none: who is about to exit has time to.
func TestLongestLimit(t *testing.T) {
	t.Parallel()
	p := start(t, asTold)
	_, err := p.Execute(pool.Request{Task: "close stdout and exit"}, math.MaxInt64)
	var crash *pool.CrashError
	if !errors.As(err, &crash) || crash.Exit.Killed != "" || crash.Exit.Code != 7 {
		t.Errorf("%v", err)
	}
	q := oddPool(t, func(c *pool.Config) { c.Timeout = math.MaxInt64 })
	if _, err := do(t.Context(), q, "close stdout and exit", ""); !errors.As(err, &crash) || crash.Exit.Killed != "" || crash.Exit.Code != 7 {
		t.Errorf("%v", err)
	}
}

// Rules name directories, not paths. Another directory in the place of the package
// directory, and one that comes later, are within reach all the same.
func TestLandlockFollowsThePackageDir(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(filepath.Join(built.Packages, "misbehave", "libmisbehave.so"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "packages")
	p := newPool(t, func(c *pool.Config) {
		c.PackageDir, c.Executors = dir, 1
		c.Limits.Landlock = &pool.Landlock{}
	})
	awaitIdle(t, p, 1) // it has started without
	for i := range 3 {
		stage(dir, "misbehave", library)
		if _, err := pool.Call[int](t.Context(), p, "misbehave", "getpid"); err != nil {
			t.Errorf("directory %d: %v", i, err)
		}
		if err := os.Rename(dir, fmt.Sprint(dir, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// A script starts under Landlock without its interpreter being listed; what cannot start
// is told what it may lack.
func TestLandlockScript(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	dir := t.TempDir()
	script, second := filepath.Join(dir, "script"), filepath.Join(dir, "second")
	if err := os.WriteFile(script, []byte("#! /bin/sh -e\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, []byte("#!"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, executor := range []string{script, second} {
		p, err := pool.StartProcess(pool.ProcessConfig{Executor: executor, Limits: pool.Limits{Landlock: &pool.Landlock{}}})
		if err != nil {
			t.Fatal(err)
		}
		if exit := p.Wait(); exit.Code != 7 {
			t.Errorf("%s: %v", executor, exit)
		}
		p.Close()
	}
	if err := os.Chmod(script, 0o644); err != nil {
		t.Fatal(err)
	}
	// The name of what may not be executed is the kernel's matter to resolve.
	_, err := pool.StartProcess(pool.ProcessConfig{Executor: second, Limits: pool.Limits{Landlock: &pool.Landlock{}}})
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "Limits.Landlock.ReadOnly") {
		t.Errorf("%v", err)
	}
}

// A program that has no descriptor left ends its calls all the same.
func TestNoDescriptorsLeft(t *testing.T) {
	t.Parallel()
	used.Store("has no descriptors left", true)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envBehaviour+"=has no descriptors left", "GORACE=atexit_sleep_ms=0")
	within(t, "the program", func() {
		out, err := cmd.CombinedOutput()
		if want := "late: no answer within 50ms\nkilled\nlate, with a grandchild: no answer within 50ms\nkilled, with a grandchild\n"; err != nil || string(out) != want {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// useNoDescriptors is that program. It says how its calls ended.
func useNoDescriptors() {
	dir, err := os.MkdirTemp("", "spider-pool-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var odd pool.Config
	oddConfig(&odd, dir)
	for _, kind := range []string{"", ", with a grandchild"} {
		for _, end := range []string{"late", "killed"} {
			p, err := pool.StartProcess(pool.ProcessConfig{Executor: odd.Executor, Env: odd.Env})
			if err != nil {
				panic(err)
			}
			child := 0
			if kind != "" {
				result, err := p.Execute(pool.Request{Task: "fork setsid"}, patience)
				if err != nil {
					panic(err)
				}
				child, _ = strconv.Atoi(string(result.Outputs))
			} else if _, err := p.Execute(pool.Request{Task: "pid"}, patience); err != nil {
				panic(err)
			}
			var before unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
				panic(err)
			}
			var taken []*os.File
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: before.Max}); err != nil {
				panic(err)
			}
			for {
				f, err := os.Open("/dev/null")
				if err != nil {
					break
				}
				taken = append(taken, f)
			}
			if end == "late" {
				_, err = p.Execute(pool.Request{Task: "hang"}, 50*time.Millisecond)
				var timeout *pool.TimeoutError
				if !errors.As(err, &timeout) {
					panic(err)
				}
				fmt.Printf("late%s: %s\n", kind, timeout.Exit.Killed)
			} else {
				_, err = p.Execute(pool.Request{Task: "kill"}, patience)
				var crash *pool.CrashError
				if !errors.As(err, &crash) || crash.Exit.Killed != "" || crash.Exit.Signal != syscall.SIGKILL {
					panic(err)
				}
				fmt.Printf("killed%s\n", kind)
			}
			p.Close()
			for _, f := range taken {
				f.Close()
			}
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
				panic(err)
			}
			if child > 0 {
				_ = syscall.Kill(child, syscall.SIGKILL)
			}
		}
	}
}

// The least MaxFrame that is accepted is enough for calls, however long the directory's path
// is; one byte less is refused.
func TestLeastMaxFrame(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 300))
	stage(dir, "misbehave", library(t, "misbehave"))
	least := 256 + len(filepath.Clean(dir))
	p := newPool(t, func(c *pool.Config) { c.PackageDir, c.MaxFrame, c.MaxPayload = dir, least, -1 })
	if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := pool.Call[string](t.Context(), p, "misbehave", "echo", strings.Repeat("x", least))
	if !errors.As(err, new(*pool.TooLargeError)) {
		t.Errorf("%v", err)
	}
	var wrong *pool.ConfigError
	if _, err := pool.New(pool.Config{Executor: "/bin/true", PackageDir: dir, MaxFrame: least - 1}); !errors.As(err, &wrong) ||
		!strings.Contains(err.Error(), fmt.Sprintf("MaxFrame %d is below %d", least-1, least)) {
		t.Errorf("%v", err)
	}
}
