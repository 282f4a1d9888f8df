package main_test

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/pool"
)

// shortly is how long to look for something that must not happen.
const shortly = 300 * time.Millisecond

// Each protection is needed: with it left out, what it prevents happens. If one
// of these tests fails, the test that shows the protection at work shows nothing.
func TestProtections(t *testing.T) {
	t.Parallel()

	t.Run("stdio", func(t *testing.T) {
		t.Parallel()
		e := start(t, without("stdio"))
		_, err := e.run("print_write", "noise on the stream")
		var damaged *pool.ProtocolError
		if !errors.As(err, &damaged) {
			t.Errorf("the stream was not corrupted: %v", err)
		}
	})

	t.Run("signals", func(t *testing.T) {
		t.Parallel()
		e := start(t, without("signals"))
		if exit := e.crash("segv"); exit.Signal == syscall.SIGSEGV || len(e.StderrTail()) <= fewLines {
			t.Errorf("%v with %d lines of log", exit, len(e.StderrTail()))
		}
	})

	t.Run("preemption", func(t *testing.T) {
		t.Parallel()
		e := start(t, without("preemption"))
		e.must("gobehave/now")
		e.must("gobehave2/now")
		request := pool.Request{Package: "gobehave", Task: "gc_while_spinning"}
		request.Context, request.Inputs = contextAndInputs()
		_, err := e.Execute(request, 5*shortly)
		var timeout *pool.TimeoutError
		if !errors.As(err, &timeout) {
			t.Errorf("the collection did not wait for the loop: %v", err)
		}
	})

	t.Run("parent", func(t *testing.T) {
		t.Parallel()
		executor, _ := orphan(t, built.Unprotected, "endless_loop", "SPIDER_TEST_WITHOUT=parent")
		if ended(executor, shortly) {
			t.Error("the executor ended")
		}
		// The same by the switch that people have.
		executor, _ = orphan(t, built.Executor, "endless_loop", "SPIDER_PARENT_WATCH=off")
		if ended(executor, shortly) {
			t.Error("SPIDER_PARENT_WATCH=off: the executor ended")
		}
	})

	t.Run("thread", func(t *testing.T) {
		t.Parallel()
		e := start(t, without("thread"))
		request := pool.Request{Package: "misbehave", Task: "pthread_exit"}
		request.Context, request.Inputs = contextAndInputs()
		_, err := e.Execute(request, 5*shortly)
		var timeout *pool.TimeoutError
		if !errors.As(err, &timeout) {
			t.Errorf("it did not hang: %v", err)
		}
	})

	t.Run("limits", func(t *testing.T) {
		t.Parallel()
		if _, err := exec.LookPath("sh"); err != nil {
			t.Skip("needs a shell to raise the inherited limits")
		}
		const stack = 3 // RLIMIT_STACK
		for _, c := range []struct {
			program string
			bounded bool
		}{{built.Executor, true}, {built.Unprotected, false}} {
			e := start(t, func(cfg *pool.ProcessConfig) {
				cfg.Executor = "testdata/unlimited_stack.sh"
				cfg.Env = append(cfg.Env, "PROGRAM="+c.program, "SPIDER_TEST_WITHOUT=limits")
			})
			if limit := e.number("get_rlimit", uint64(stack)); (limit <= 64<<20) != c.bounded {
				t.Errorf("%s: stack limit %d", c.program, limit)
			}
		}
	})
}
