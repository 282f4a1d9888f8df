package pool

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
)

// insidePool is a pool of one executor on the test packages, which is closed at the end.
func insidePool(t *testing.T, change func(*Config)) *Pool {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Executor: built.Executor, PackageDir: built.Packages, Executors: 1, Spares: -1, Timeout: time.Minute}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// lateContext ends between the first time that it is asked and the second.
type lateContext struct {
	context.Context
	asked atomic.Bool
}

func (c *lateContext) Err() error {
	if c.asked.Swap(true) {
		return c.Context.Err()
	}
	return nil
}

// A call whose context ends before anything is sent costs no process.
func TestCanceledBeforeSending(t *testing.T) {
	t.Parallel()
	p := insidePool(t, nil)
	pid, err := Call[int](t.Context(), p, "misbehave", "getpid")
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		_, err := Call[int](&lateContext{Context: canceled}, p, "misbehave", "getpid")
		var e *CanceledError
		if !errors.As(err, &e) || e.Running {
			t.Errorf("%v", err)
		}
		if again, err := Call[int](t.Context(), p, "misbehave", "getpid"); err != nil || again != pid {
			t.Fatalf("process %d, %v; it was %d", again, err, pid)
		}
	}
}

// dieLoading notes deaths in loading a package, the last of them in the future.
func dieLoading(t *testing.T, p *Pool, name string, deaths int) {
	t.Helper()
	file, err := p.packages.find(name)
	if err != nil {
		t.Fatal(err)
	}
	b := &loadBreaker{file: file}
	for range deaths {
		b.failed(time.Now().Add(time.Hour), errors.New("dead"))
	}
	p.mu.Lock()
	p.loads[name] = b
	p.mu.Unlock()
}

// Nor does one that waits until its package may be loaded again.
func TestCanceledBeforeLoading(t *testing.T) {
	t.Parallel()
	p := insidePool(t, func(c *Config) { c.Timeout = 0 })
	pid, err := Call[int](t.Context(), p, "misbehave", "getpid")
	if err != nil {
		t.Fatal(err)
	}
	dieLoading(t, p, "no_init", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = Call[int](ctx, p, "no_init", "ok")
	var e *CanceledError
	if !errors.As(err, &e) || e.Running || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if again, err := Call[int](t.Context(), p, "misbehave", "getpid"); err != nil || again != pid {
		t.Errorf("process %d, %v; it was %d", again, err, pid)
	}
}

// A call that is refused is none that the executor has answered.
func TestRefusedCallsAreNotAnswered(t *testing.T) {
	t.Parallel()
	p := insidePool(t, func(c *Config) { c.MaxTasks = 3 })
	pid, err := Call[int](t.Context(), p, "misbehave", "getpid")
	if err != nil {
		t.Fatal(err)
	}
	dieLoading(t, p, "no_init", breakAfter)
	for range 5 {
		if _, err := Call[int](t.Context(), p, "no_init", "ok"); !errors.As(err, new(*BreakerError)) {
			t.Errorf("%v", err)
		}
	}
	if all := p.Stats().Executors; len(all) != 1 || all[0].Tasks != 1 || all[0].PID != pid {
		t.Errorf("%+v; it was process %d", all, pid)
	}
}

// A call that another one's failure has canceled is a canceled one, whatever that
// failure was.
func TestCanceledByAnotherCall(t *testing.T) {
	t.Parallel()
	p := insidePool(t, nil)
	for _, cause := range []error{&ExecutorError{}, &CrashError{}, &TimeoutError{}, &SpawnError{}, &BreakerError{}, &ProtocolError{}} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		before := p.Stats().Canceled
		_, err := Call[int](&lateContext{Context: ctx}, p, "misbehave", "getpid")
		if !errors.As(err, new(*CanceledError)) || !errors.Is(err, cause) || Retryable(err) {
			t.Errorf("%T: %v, retryable %t", cause, err, Retryable(err))
		}
		if n := p.Stats().Canceled - before; n != 1 {
			t.Errorf("%T: %d calls are counted as canceled", cause, n)
		}
	}
}

// A panic in an observer, which the caller recovers, costs the call's process: neither
// its turn nor the pool.
func TestObserverPanics(t *testing.T) {
	t.Parallel()
	for _, kind := range []EventKind{EventLoaded, EventStarted, EventFinished, EventCrashed} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var armed atomic.Bool
			p := insidePool(t, func(c *Config) {
				c.Observer = ObserverFunc(func(e Event) {
					if e.Kind == kind && armed.CompareAndSwap(true, false) {
						panic("as the test wants")
					}
				})
			})
			task := "getpid"
			if kind == EventCrashed {
				task = "segv"
			}
			for range 3 {
				armed.Store(true)
				func() {
					defer func() {
						if r := recover(); r != "as the test wants" {
							t.Errorf("recovered %v", r)
						}
					}()
					_, _ = Call[int](t.Context(), p, "misbehave", task)
				}()
				if _, err := Call[int](t.Context(), p, "misbehave", "getpid"); err != nil {
					t.Error(err)
				}
				if kind == EventLoaded {
					return // its next call finds the package loaded
				}
			}
			if s := p.Stats(); s.Running != 0 || s.Canceled != 3 || s.Calls() != 6 {
				t.Errorf("%+v", s)
			}
		})
	}
}
