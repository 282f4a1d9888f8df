package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// A package that is a program has its spare, though another program's executors were
// there before.
func TestSpareOfProgram(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, func(c *pool.Config) { c.PackageDir, c.Executors = built.SelfHosted, 1 })
	awaitIdle(t, p, 1) // of Config.Executor
	for i := range 5 {
		if n, err := pool.Call[int](t.Context(), p, "gorecover", "fine", i); err != nil || n != i {
			t.Fatalf("%d, %v", n, err)
		}
		ready := map[int]bool{}
		for _, e := range awaitIdle(t, p, 2) {
			ready[e.PID] = strings.HasSuffix(e.Program, "gorecover")
		}
		if _, err := pool.Call[int](t.Context(), p, "gorecover", "exit", 7); !errors.As(err, new(*pool.CrashError)) {
			t.Fatalf("%v", err)
		}
		result, err := p.Execute(t.Context(), pool.Request{Package: "gorecover", Task: "fine", Inputs: tasktest.Inputs(1)})
		if err != nil || !ready[result.PID] {
			t.Errorf("process %d was not among %v: %v", result.PID, ready, err)
		}
	}
	if s := p.Stats(); s.Recycled[pool.RecycledRoom] != 1 {
		t.Errorf("%+v", s.Counts)
	}
}

// Programs that are called in turns keep their executors: none makes room for another's
// spare.
func TestSparesDriveNobodyOut(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, executors := range []int{1, 2} {
		p := newPool(t, func(c *pool.Config) { c.PackageDir, c.Executors = built.SelfHosted, executors })
		for range 50 {
			for _, pkg := range []string{"gobehave", "gobehave2"} {
				if _, err := pool.Call[int64](t.Context(), p, pkg, "now"); err != nil {
					t.Fatal(err)
				}
			}
		}
		// The one of Config.Executor, one of each program, and spares on the way.
		if s := p.Stats(); s.Spawned > 6 {
			t.Errorf("%d executors: %d have been started", executors, s.Spawned)
		}
	}
}

// Under Landlock an executor may open what was the package directory when it started. One
// that is made later, or takes its place, is seen by the next call.
func TestOtherPackageDirectory(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "packages")
			p := newPool(t, func(c *pool.Config) {
				c.PackageDir, c.Executors = dir, 1
				if kept {
					c.Limits.Landlock = &pool.Landlock{}
				}
			})
			awaitIdle(t, p, 1)
			if _, err := pool.Call[int](t.Context(), p, "misbehave", "getpid"); !errors.As(err, new(*pool.ExecutorError)) {
				t.Errorf("there is no directory: %v", err)
			}
			stage(dir, "misbehave", library(t, "misbehave"))
			pidOf(t, p, "misbehave")
			awaitIdle(t, p, 2)

			stage(dir+".new", "no_init", library(t, "no_init"))
			if err := errors.Join(os.Rename(dir, dir+".old"), os.Rename(dir+".new", dir)); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Execute(t.Context(), pool.Request{Package: "no_init", Task: "ok"}); err != nil {
				t.Errorf("the directory is another: %v", err)
			}
			changed := p.Stats().Recycled[pool.RecycledChanged]
			if (changed > 0) != kept {
				t.Errorf("%d executors were given up", changed)
			}
		})
	}
}

// Executors that do not shut down are not more than the others.
func TestRetiringIsBounded(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.MaxTasks = 1, 1 })
	seen := map[int]*pool.Process{}
	for range 40 {
		if _, err := do(t.Context(), p, "answer and stop reading", ""); err != nil {
			t.Fatal(err)
		}
		for _, process := range p.Processes() {
			seen[process.PID()] = process
		}
		awaitIdle(t, p, 1)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	crowded := 0
	for _, process := range seen {
		if process.Wait().Killed == pool.CrowdedReason {
			crowded++
		}
	}
	if crowded == 0 {
		t.Errorf("of %d processes none was one too many", len(seen))
	}
}

// What cannot be preloaded is told.
func TestPreloadFailures(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, executor, dir string
		preload             []string
		want                map[string]string // what the error says, by package
	}{
		{"libraries", built.Executor, built.Packages, []string{"nowhere", "init_fails", "misbehave"},
			map[string]string{"nowhere": "there is no file", "init_fails": "init_fails"}},
		{"programs", "", built.SelfHosted, []string{"nowhere", "gobehave"}, map[string]string{"nowhere": "there is no file"}},
		{"no executor", "", built.Packages, []string{"misbehave"}, map[string]string{"misbehave": "Config.Executor is not set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r recorder
			var log lockedBuffer
			newPool(t, func(cfg *pool.Config) {
				cfg.Executor, cfg.PackageDir, cfg.Preload, cfg.Observer = c.executor, c.dir, c.preload, &r
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			for _, e := range r.awaitKind(t, len(c.want), pool.EventLoadFailed) {
				says, ok := c.want[e.Package]
				if !ok || e.Err == nil || !strings.Contains(e.Err.Error(), says) || e.Task != "" || (e.Executor == 0) != (c.executor == "") {
					t.Errorf("%+v", e)
				}
			}
			for pkg := range c.want {
				within(t, "the log", func() {
					for !strings.Contains(log.String(), "package="+pkg) {
					}
				})
			}
			if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "load failed") {
				t.Errorf("%s", text)
			}
		})
	}
}

// lockedBuffer is a buffer for many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// A call whose package answers that it cannot be loaded has its event, and one only.
func TestEventOfFailedLoad(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	for i := range 3 {
		if _, err := pool.Call[int](t.Context(), p, "init_fails", "ok"); !errors.As(err, new(*pool.ExecutorError)) {
			t.Errorf("%v", err)
		}
		failed := r.kind(pool.EventLoadFailed)
		if len(failed) != i+1 {
			t.Fatalf("%+v", failed)
		}
		e := failed[i]
		if e.Package != "init_fails" || e.Task != "ok" || e.Executor == 0 || e.PID == 0 || e.Duration == 0 || !errors.As(e.Err, new(*pool.ExecutorError)) {
			t.Errorf("%+v", e)
		}
	}
	if started, finished := r.kind(pool.EventStarted), r.kind(pool.EventFinished); len(started)+len(finished) != 0 {
		t.Errorf("%+v, %+v", started, finished)
	}
}

// A request may leave out its inputs.
func TestNoInputs(t *testing.T) {
	t.Parallel()
	p := newPool(t, nil)
	if _, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "getpid"}); err != nil {
		t.Error(err)
	}
}

// A process that neither reads nor ends costs its patience once, not for each.
func TestShutdownHasOneDeadline(t *testing.T) {
	t.Parallel()
	p := start(t, "never reads")
	if err := p.SetDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	full := pool.Request{Package: "p", Task: "echo", Context: tasktest.Context(), Inputs: pattern(large)}
	if err := p.Send(&full); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v", err)
	}
	began := time.Now()
	exit := p.Shutdown()
	if took := time.Since(began); took >= 2*pool.ShutdownPatience || exit.Killed == "" {
		t.Errorf("%v after %v", exit, took)
	}
}

// A call allocates its result, and nothing else. Not in parallel: others' allocations
// would count.
func TestCallAllocatesItsResult(t *testing.T) {
	p := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	echo := pool.Request{Package: "misbehave", Task: "echo", Inputs: tasktest.Inputs("x")}
	call := func() {
		if _, err := p.Execute(context.Background(), echo); err != nil {
			t.Fatal(err)
		}
	}
	call()
	awaitLoaded(t, p, 2, "misbehave")
	if n := testing.AllocsPerRun(1000, call); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
