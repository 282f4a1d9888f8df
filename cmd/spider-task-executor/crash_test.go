package main_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/pool"
)

// fewLines is how much log a crash in native code may leave.
const fewLines = 3

func TestFaultShowsItsSignal(t *testing.T) {
	t.Parallel()
	for task, signal := range map[string]syscall.Signal{
		"segv":           syscall.SIGSEGV,
		"segv_null_call": syscall.SIGSEGV,
		"segv_in_thread": syscall.SIGSEGV,
		"stack_overflow": syscall.SIGSEGV,
		"bus":            syscall.SIGBUS,
		"fpe":            syscall.SIGFPE,
		"ill":            syscall.SIGILL,
		"trap":           syscall.SIGTRAP,
		"sys":            syscall.SIGSYS,
		"abort":          syscall.SIGABRT,
		"double_free":    syscall.SIGABRT,
	} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			// Alone, and behind two Go runtimes with handlers of their own.
			for _, companions := range []bool{false, true} {
				e := start(t)
				if companions {
					e.must("gobehave/now")
					e.must("gobehave2/now")
				}
				if exit := e.crash(task); exit.Signal != signal || exit.Killed != "" {
					t.Errorf("with Go packages %v: %v, want %v\nstderr: %q", companions, exit, signal, e.StderrTail())
				}
				if lines := e.StderrTail(); len(lines) > fewLines {
					t.Errorf("%d lines of log: %q", len(lines), lines)
				}
			}
		})
	}
}

func TestSentSignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{
		syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP,
		syscall.SIGABRT, syscall.SIGSYS, syscall.SIGTERM, syscall.SIGKILL,
	} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			// By a task that raises it, with a Go package loaded.
			e := start(t)
			e.must("gobehave/now")
			if exit := e.crash("raise", uint64(signal)); exit.Signal != signal {
				t.Errorf("raised: %v", exit)
			}
			// From outside, to an executor that waits for a request.
			e = start(t)
			e.must("gobehave/now")
			if err := syscall.Kill(e.PID(), signal); err != nil {
				t.Fatal(err)
			}
			if exit := e.Wait(); exit.Signal != signal {
				t.Errorf("sent: %v", exit)
			}
		})
	}
}

// SIGTERM must also end a task that never returns.
func TestTerminatedInsideTask(t *testing.T) {
	t.Parallel()
	for _, task := range []string{"endless_loop", "block_forever"} {
		e := start(t)
		e.must("getpid") // loaded: what is sent next runs at once
		request := &pool.Request{Package: "misbehave", Task: task}
		request.Context, request.Inputs = contextAndInputs()
		if err := e.Send(request); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(e.PID(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if exit := e.Wait(); exit.Signal != syscall.SIGTERM {
			t.Errorf("%s: %v", task, exit)
		}
	}
}

// No answer is a crash, whatever the exit status.
func TestExitIsACrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		task string
		args []any
		code int
	}{
		{"exit", []any{uint64(0)}, 0},
		{"exit", []any{uint64(3)}, 3},
		{"_exit", []any{uint64(0)}, 0},
		{"exit_in_thread", nil, 7},
		{"gobehave/exit", []any{5}, 5},
	} {
		e := start(t)
		if exit := e.crash(c.task, c.args...); exit.Code != c.code || exit.Signal != 0 {
			t.Errorf("%s%v: %v, want status %d", c.task, c.args, exit, c.code)
		}
	}
}

func TestThreadExitAborts(t *testing.T) {
	t.Parallel()
	e := start(t)
	if exit := e.crash("pthread_exit"); exit.Signal != syscall.SIGABRT {
		t.Errorf("%v, want SIGABRT", exit)
	}
	if lines := e.StderrTail(); len(lines) != 1 || !strings.Contains(lines[0], "pthread_exit") {
		t.Errorf("stderr: %q", lines)
	}
}

// A fault in Go code is a panic that Go code can recover from: in one package, in
// two with the older one asked last, on the task thread and on others.
func TestGoRecovers(t *testing.T) {
	t.Parallel()
	e := start(t)
	const want = "nil pointer dereference"
	check := func(task string) {
		t.Helper()
		if text := one[string](e, task); !strings.Contains(text, want) {
			t.Errorf("%s answered %q", task, text)
		}
	}
	check("gobehave/recover_nil_dereference")
	check("gobehave2/recover_nil_dereference")
	check("integration_test_tasks/recover_nil_dereference")
	for range 3 {
		check("gobehave/recover_nil_dereference")
		check("gobehave/recover_in_goroutine")
		check("gobehave2/recover_in_goroutine")
	}
	if text := e.stderr(); text != "" {
		t.Errorf("stderr: %s", text)
	}
}

// A package with a handler of its own that leaves it by siglongjmp, before and
// after that handler has been put behind ours by the loading of another package.
func TestNativeHandlerRecovers(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, load := range []string{"getpid", "gobehave/now", "gobehave2/now"} {
		e.must(load)
		if n := e.number("catch_segv", uint64(5)); n != 5 {
			t.Errorf("after %s: caught %d faults of 5", load, n)
		}
	}
	if text := one[string](e, "gobehave2/recover_nil_dereference"); text == "" {
		t.Error("Go no longer recovers")
	}
}

// What Go code does not recover from ends the process, with Go's own message.
func TestGoPanics(t *testing.T) {
	t.Parallel()
	for task, says := range map[string]string{
		"integration_test_tasks/always_panic": "always_panic: panicked as it always does",
		"gobehave/panic_in_goroutine":         "panic in a goroutine",
		"gobehave/nil_dereference":            "nil pointer dereference",
		"gobehave/stack_overflow":             "stack exceeds 67108864-byte limit",
	} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			e.crash(task)
			if text := strings.Join(e.StderrTail(), "\n"); !strings.Contains(text, says) {
				t.Errorf("stderr lacks %q:\n%s", says, text)
			}
		})
	}
}

// Each Go runtime stops its goroutines by SIGURG. With a second runtime loaded
// the first must still get it, or its next collection waits for ever.
func TestPreemptionSurvives(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, task := range []string{"gobehave/now", "gobehave2/now", "integration_test_tasks/assert_initialized"} {
		e.must(task)
	}
	for range 5 {
		e.must("gobehave/gc_while_spinning")
		e.must("gobehave2/gc_while_spinning")
	}
}

// The C stack is bounded even where the environment bounds nothing: see
// TestProtections for what happens otherwise. Here, that the limits are set.
func TestLimits(t *testing.T) {
	t.Parallel()
	e := start(t)
	const stack, core = 3, 4 // RLIMIT_STACK, RLIMIT_CORE
	if limit := e.number("get_rlimit", uint64(stack)); limit > 64<<20 {
		t.Errorf("stack limit %d", limit)
	}
	if limit := e.number("get_rlimit", uint64(core)); limit != 0 {
		t.Errorf("core limit %d", limit)
	}
	// Not what the Go runtime raises it to.
	e = start(t, func(cfg *pool.ProcessConfig) {
		cfg.Executor = "testdata/few_files.sh"
		cfg.Env = append(cfg.Env, "PROGRAM="+built.Executor)
	})
	const files = 7 // RLIMIT_NOFILE
	e.must("gobehave/now")
	if limit := e.number("get_rlimit", uint64(files)); limit != 250 {
		t.Errorf("%d open files, want the 250 it was given", limit)
	}
	if slack := e.number("timerslack"); slack != 1 {
		t.Errorf("timer slack %d ns", slack)
	}
}

// A signal that preempts goroutines may come at any time, also while the next Go
// runtime is being loaded and initialised.
func TestPreemptionWhileLoading(t *testing.T) {
	t.Parallel()
	for range 10 {
		e := start(t)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					_ = syscall.Kill(e.PID(), syscall.SIGURG)
				}
			}
		}()
		for _, task := range []string{"gobehave/now", "gobehave2/now", "integration_test_tasks/assert_initialized"} {
			e.must(task)
		}
		close(stop)
		<-stopped
	}
}

// A task may move the process out of the group that a timeout kills.
func TestTimeoutKillsWhatLeftTheGroup(t *testing.T) {
	t.Parallel()
	e := start(t)
	request := pool.Request{Package: "misbehave", Task: "leave_group"}
	request.Context, request.Inputs = contextAndInputs()
	_, err := e.Execute(request, shortly)
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) {
		t.Errorf("got %v", err)
	}
}

func TestTimeoutKillsTheGroup(t *testing.T) {
	t.Parallel()
	e := start(t)
	child := pidfd(t, e.number("fork_sleep", uint64(600_000)))
	request := pool.Request{Package: "misbehave", Task: "endless_loop"}
	request.Context, request.Inputs = contextAndInputs()
	_, err := e.Execute(request, 1)
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) || timeout.Exit.Signal != syscall.SIGKILL || timeout.Exit.Killed == "" {
		t.Errorf("got %v", err)
	}
	if !ended(child, patience) {
		t.Error("the forked child lives on")
	}
}
