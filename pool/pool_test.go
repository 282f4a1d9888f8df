package pool_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// newPool is a pool on the test packages, which is closed at the end.
func newPool(t *testing.T, change func(*pool.Config)) *pool.Pool {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	cfg := pool.Config{Executor: built.Executor, PackageDir: built.Packages, Executors: 2, Timeout: patience}
	if change != nil {
		change(&cfg)
	}
	p, err := pool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if s := p.Stats(); len(s.Executors) > 0 || s.Running > 0 || s.Waiting > 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
	return p
}

func TestPoolRunsTasks(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			got, err := pool.Call[uint64](t.Context(), p, "integration_test_tasks", "fibonacci", i%20)
			if err != nil || got != fibonacci(i%20) {
				t.Errorf("fibonacci(%d) = %d, %v", i%20, got, err)
			}
		})
	}
	calls.Wait()
	s := p.Stats()
	if s.Succeeded != 200 || s.Calls() != 200 || len(s.Executors) > 3 {
		t.Errorf("%+v", s)
	}
}

// A result says who has answered; one of a call without an answer says nothing.
func TestResultSaysWho(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	answered := 0
	for _, task := range []string{"pid", "kill", "pid", "fail TaskError", "pid"} {
		result, err := p.Execute(t.Context(), pool.Request{Package: "p", Task: task})
		if task == "kill" {
			if result.Executor != 0 || result.PID != 0 || err == nil {
				t.Errorf("%+v, %v", result, err)
			}
			continue
		}
		if finished := r.kind(pool.EventFinished)[answered]; result.Executor != finished.Executor || result.PID != finished.PID {
			t.Errorf("%+v, %+v", result, finished)
		}
		answered++
		if task == "pid" && string(result.Outputs) != strconv.Itoa(result.PID) {
			t.Errorf("%+v", result)
		}
		if result.PID == 0 || result.Executor == 0 || (err != nil) != (task != "pid") {
			t.Errorf("%+v, %v", result, err)
		}
	}
	inits := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	if result, err := inits.Execute(t.Context(), pool.Request{Package: "init_fails", Task: "ok"}); result.PID == 0 || result.Executor == 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if result, err := inits.Execute(t.Context(), pool.Request{Package: "nowhere", Task: "ok"}); result.PID != 0 || result.Executor != 0 {
		t.Errorf("no executor has been asked: %+v, %v", result, err)
	}
	for _, task := range []string{"", "fail TaskError"} {
		bare := start(t, "echo")
		if result, _ := bare.Execute(pool.Request{Task: task}, patience); result.PID != bare.PID() || result.Executor != 0 {
			t.Errorf("%+v of process %d", result, bare.PID())
		}
	}
}

func fibonacci(n int) uint64 {
	a, b := uint64(0), uint64(1)
	for range n {
		a, b = b, a+b
	}
	return a
}

// A crash costs one process and one call.
func TestPoolSurvivesCrashes(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	var calls sync.WaitGroup
	for i := range 60 {
		calls.Go(func() {
			if i%3 == 0 {
				_, err := pool.Call[int](t.Context(), p, "misbehave", "segv")
				var crash *pool.CrashError
				if !errors.As(err, &crash) || crash.Exit.Signal != syscall.SIGSEGV || crash.Executor == 0 || crash.Phase != pool.PhaseRun || crash.PeakRSS == 0 {
					t.Errorf("%+v", err)
				}
				return
			}
			text := fmt.Sprint("call ", i)
			if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", text); err != nil || got != text {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	calls.Wait()
	if s := p.Stats(); s.Crashed != 20 || s.Succeeded != 40 {
		t.Errorf("%+v", s)
	}
}

func TestPoolTimeout(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	// Loaded before, since that counts too.
	if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
		t.Fatalf("%q, %v", got, err)
	}
	_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "block_forever", Inputs: tasktest.Inputs(), Timeout: 50 * time.Millisecond})
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) || timeout.Limit != 50*time.Millisecond || timeout.Phase != pool.PhaseRun {
		t.Errorf("%v", err)
	}
	if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
		t.Errorf("after it: %q, %v", got, err)
	}
}

func TestPoolCancel(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 1)
	p := newPool(t, func(c *pool.Config) {
		c.Executors = 1
		c.Observer = pool.ObserverFunc(func(e pool.Event) {
			if e.Kind == pool.EventStarted && e.Task == "endless_loop" {
				started <- struct{}{}
			}
		})
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	running := make(chan error)
	go func() {
		_, err := pool.Call[int](ctx, p, "misbehave", "endless_loop")
		running <- err
	}()
	<-started
	waiting := make(chan error)
	go func() {
		_, err := pool.Call[int](ctx, p, "misbehave", "echo", "x")
		waiting <- err
	}()
	cause := errors.New("changed my mind")
	cancel(cause)
	for _, c := range []struct {
		err     error
		running bool
	}{{<-running, true}, {<-waiting, false}} {
		var canceled *pool.CanceledError
		if !errors.As(c.err, &canceled) || canceled.Running != c.running || !errors.Is(c.err, cause) || !errors.Is(c.err, context.Canceled) {
			t.Errorf("%v", c.err)
		}
	}
	if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
		t.Errorf("after it: %q, %v", got, err)
	}
}

func TestPoolTaskContext(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	c, err := tdl.NewTaskContext(99, tdl.Cleanup, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var job uint64
	var id string
	if err := pool.CallInto(pool.WithTaskContext(t.Context(), c), p, "gorecover", "context", nil, &job, &id); err != nil || job != 99 || id != "cleanup task" {
		t.Errorf("%d, %q, %v", job, id, err)
	}
	if _, err := pool.Call[int](t.Context(), p, "gorecover", "panic_text", "x"); !errors.Is(err, tdl.ExecutionError) {
		t.Errorf("%v", err)
	}
	// A commit task without the graph's outputs, which no constructor makes.
	c.TaskID = tdl.Commit
	if err := pool.CallInto(pool.WithTaskContext(t.Context(), c), p, "gorecover", "context", nil, &job, &id); !errors.Is(err, tdl.InvalidTaskContext) || !strings.Contains(err.Error(), "task context of package gorecover") {
		t.Errorf("%v", err)
	}
}
