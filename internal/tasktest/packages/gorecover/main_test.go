package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
	"github.com/spider-go/spider/tdl/tdltest"
)

// What an author sees of a crash, and that the next call finds a process again.
func TestCrashOutOfProcess(t *testing.T) {
	t.Parallel()
	for name, on := range map[string]func(testing.TB) *tdltest.Runner{
		"in executor": tdltest.InExecutor, "self-hosted": tdltest.SelfHosted,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runner := on(t)
			for range 2 {
				err := runner.Call("exit", 7).Err
				var crash *pool.CrashError
				if !errors.As(err, &crash) || crash.Exit.Code != 7 {
					t.Fatalf("%v", err)
				}
				var n int
				if err := runner.Call("fine", 5).Into(&n); err != nil || n != 5 {
					t.Fatalf("%d, %v", n, err)
				}
			}
			// Subtests share a runner, one call at a time.
			for range 4 {
				t.Run("together", func(t *testing.T) {
					t.Parallel()
					var n int
					if err := runner.Call("fine", 6).Into(&n); err != nil || n != 6 {
						t.Errorf("%d, %v", n, err)
					}
				})
			}
		})
	}
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	runner := tdltest.InProcess(t)
	err := runner.Call("panic_text", "as asked").Err
	if !errors.Is(err, tdl.ExecutionError) || !strings.Contains(err.Error(), "as asked") {
		t.Errorf("a panic: %v", err)
	}
	if err := runner.Call("fine", make(chan int)).Err; !errors.Is(err, tdl.SerializationError) {
		t.Errorf("an argument without a form: %v", err)
	}
	var n int
	if err := runner.Call("fine", 1).Into(&n, &n); !errors.Is(err, tdl.DeserializationError) {
		t.Errorf("more results than there are: %v", err)
	}
	ctx, err := tdl.NewTaskContext(99, tdl.Cleanup, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	var job uint64
	var id string
	if err := runner.With(ctx).Call("context").Into(&job, &id); err != nil || job != 99 || id != "cleanup task" {
		t.Errorf("%d, %q, %v", job, id, err)
	}
	if err := runner.Call("context").Into(&job, &id); err != nil || job != 1 || id != "task 0" {
		t.Errorf("%d, %q, %v", job, id, err)
	}
}
