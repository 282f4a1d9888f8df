package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// pidOf is the process that runs the next call of this package.
func pidOf(t *testing.T, p *pool.Pool, pkg string) int {
	t.Helper()
	pid, err := pool.Call[int](t.Context(), p, pkg, "getpid")
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// awaitIdle waits until n processes stand idle, and returns them.
func awaitIdle(t *testing.T, p *pool.Pool, n int) (idle []pool.ExecutorStats) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		idle = idle[:0]
		s := p.Stats()
		for _, e := range s.Executors {
			if e.State == "idle" {
				idle = append(idle, e)
			}
		}
		if len(idle) >= n && s.Starting == 0 {
			return idle
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d processes are not idle: %+v", n, s)
		}
	}
}

// The call after a crash runs in a process that was there before.
func TestWarmSpare(t *testing.T) {
	t.Parallel()
	for end, kind := range map[string]pool.EventKind{"segv": pool.EventCrashed, "endless_loop": pool.EventTimedOut} {
		t.Run(end, func(t *testing.T) {
			t.Parallel()
			var r recorder
			p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
			for range 5 {
				pidOf(t, p, "misbehave")
				ready := map[int]bool{}
				for _, e := range awaitIdle(t, p, 2) {
					ready[e.PID] = true
				}
				_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: end, Inputs: tasktest.Inputs(), Timeout: limited})
				if !pool.Retryable(err) {
					t.Fatalf("%v", err)
				}
				if pid := pidOf(t, p, "misbehave"); !ready[pid] {
					t.Errorf("process %d was not among %v", pid, ready)
				}
			}
			if n := len(r.kind(kind)); n != 5 {
				t.Errorf("%d processes were lost", n)
			}
		})
	}
}

// Without spares a pool has as many processes as tasks, and works all the same.
func TestNoSpares(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Spares = 2, -1 })
	for i := range 12 {
		if i%3 == 0 {
			if _, err := do(t.Context(), p, "exit: 0", ""); !pool.Retryable(err) {
				t.Errorf("%v", err)
			}
		}
		mustDo(t, p)
		if n := len(p.Stats().Executors); n > 2 {
			t.Errorf("%d processes", n)
		}
	}
}

// Calls of a package go where it is loaded.
func TestAffinity(t *testing.T) {
	t.Parallel()
	var r recorder
	// Spares would load both packages.
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Spares, c.Observer = 2, -1, &r })
	var calls sync.WaitGroup
	for range 2 { // at once, for two executors
		calls.Go(func() {
			if err := pool.CallInto(t.Context(), p, "misbehave", "sleep_ms", []any{50}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	awaitIdle(t, p, 2)
	for i := range 60 {
		if _, err := pool.Call[int](t.Context(), p, "gorecover", "fine", i); err != nil {
			t.Fatal(err)
		}
		if err := pool.CallInto(t.Context(), p, "no_init", "ok", nil); err != nil {
			t.Fatal(err)
		}
	}
	where := map[string]map[int]bool{}
	for _, kind := range []pool.EventKind{pool.EventFinished, pool.EventLoaded} {
		for _, e := range r.kind(kind) {
			if where[e.Package] == nil {
				where[e.Package] = map[int]bool{}
			}
			where[e.Package][e.PID] = true
		}
	}
	for _, pkg := range []string{"gorecover", "no_init"} {
		if len(where[pkg]) != 1 {
			t.Errorf("package %s was in %v", pkg, where[pkg])
		}
	}
}

// Who waits longest comes first.
func TestFairness(t *testing.T) {
	t.Parallel()
	var r recorder
	gate := filepath.Join(t.TempDir(), "go")
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = do(context.Background(), p, "answer after: "+gate, "") })
	r.awaitKind(t, 1, pool.EventStarted)
	const n = 50
	var left int
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls.Go(func() { _, _ = do(ctx, p, "echo "+strconv.Itoa(i), "") })
		for p.Stats().Waiting != i+1-left {
			time.Sleep(50 * time.Microsecond)
		}
		if i%10 == 9 { // who gives up keeps nobody waiting
			cancel()
			left++
			for p.Stats().Waiting != i+1-left {
				time.Sleep(50 * time.Microsecond)
			}
		}
	}
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	calls.Wait()
	var got, want []string
	for _, e := range r.kind(pool.EventStarted)[1:] {
		got = append(got, e.Task)
	}
	for i := range n {
		if i%10 != 9 {
			want = append(want, "echo "+strconv.Itoa(i))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A pool that retires its processes loses no call by it, and never has none.
func TestRecycling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why    string
		change func(*pool.Config)
		task   string
		arg    int
	}{
		{pool.RecycledTasks, func(c *pool.Config) { c.MaxTasks = 7 }, "sleep_ms", 0},
		{pool.RecycledAge, func(c *pool.Config) { c.MaxAge = 30 * time.Millisecond }, "sleep_ms", 1},
		{pool.RecycledGrowth, func(c *pool.Config) { c.MaxGrowth = 8 << 20 }, "alloc_mb", 1},
	} {
		for _, spares := range []int{1, -1} {
			t.Run(fmt.Sprint(c.why, " ", spares), func(t *testing.T) {
				t.Parallel()
				var r recorder
				p := newPool(t, func(cfg *pool.Config) {
					cfg.Executors, cfg.Spares, cfg.Observer = 2, spares, &r
					cfg.Preload = []string{"misbehave"}
					c.change(cfg)
				})
				pidOf(t, p, "misbehave")
				stop := make(chan struct{})
				var calls sync.WaitGroup
				end := sync.OnceFunc(func() { close(stop); calls.Wait() })
				defer end()
				for range 3 { // more than there are processes
					calls.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
							}
							_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: c.task, Inputs: tasktest.Inputs(c.arg)})
							if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				calls.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(500 * time.Microsecond):
						}
						s := p.Stats()
						live := 0
						for _, e := range s.Executors {
							if e.State != "ending" {
								live++
							}
						}
						if live == 0 || live > 2+max(spares, 0)+1 {
							t.Errorf("%d processes: %+v", live, s.Executors)
						}
					}
				})
				r.awaitKind(t, 6, pool.EventRecycled)
				end()
				s := p.Stats()
				if s.Recycled[c.why] < 6 || s.Succeeded != s.Calls() {
					t.Errorf("%+v", s.Counts)
				}
				for _, e := range r.kind(pool.EventRecycled) {
					if e.Reason == "" || e.PID == 0 || e.Executor == 0 {
						t.Errorf("%+v", e)
					}
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
				r.checkFates(t)
			})
		}
	}
}

// library is the file of a test package.
func library(t *testing.T, name string) []byte {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(built.Packages, name, "lib"+name+".so"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// A package's file that is replaced is what the very next call runs, also while the
// pool is busy with the old one.
func TestReplacedPackage(t *testing.T) {
	t.Parallel()
	// The same package in two versions, of equal length: one prints another name in
	// its errors.
	old := library(t, "misbehave")
	fresh := bytes.ReplaceAll(old, []byte("stdin blocks after"), []byte("STDIN blocks after"))
	fresh = bytes.ReplaceAll(fresh, []byte("fail_huge: n is at most"), []byte("FAIL_HUGE: n is at most"))
	if bytes.Equal(old, fresh) {
		t.Fatal("the versions are the same")
	}
	dir := t.TempDir()
	stage(dir, "misbehave", old)
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.PackageDir, c.Observer, c.Executors = dir, &r, 2 })
	version := func() string {
		_, err := pool.Call[int](t.Context(), p, "misbehave", "fail_huge", uint64(1)<<33)
		var answered *pool.ExecutorError
		if !errors.As(err, &answered) || answered.Err == nil {
			t.Errorf("%v", err)
			return ""
		}
		name, _, _ := strings.Cut(answered.Err.Message, ":")
		return name
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 30 {
		content, want := old, "fail_huge"
		if i%2 == 1 {
			content, want = fresh, "FAIL_HUGE"
		}
		stage(dir, "misbehave", content)
		if got := version(); got != want {
			t.Errorf("round %d ran %q, want %q", i, got, want)
		}
	}
	close(stop)
	others.Wait()
	if s := p.Stats(); s.Recycled[pool.RecycledChanged] == 0 || s.Crashed != 0 {
		t.Errorf("%+v", s.Counts)
	}
}

// installProgram puts a copy of a program at path. Another process writes it: what a
// test beside this one forks would hold a descriptor of ours for a moment, and a program
// that is open for writing cannot be started.
func installProgram(t *testing.T, program, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", program, path+".new").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// The same for a package that is a program.
func TestReplacedProgram(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	place := func(program string) {
		installProgram(t, filepath.Join(built.SelfHosted, program, program), filepath.Join(dir, "gobehave", "gobehave"))
	}
	p := newPool(t, func(c *pool.Config) { c.PackageDir, c.Executor, c.Executors = dir, "", 2 })
	for range 3 {
		place("gobehave")
		for range 3 {
			if _, err := pool.Call[int64](t.Context(), p, "gobehave", "now"); err != nil {
				t.Error(err)
			}
		}
		// A program that calls itself otherwise says so.
		place("gobehave2")
		_, err := pool.Call[int64](t.Context(), p, "gobehave", "now")
		var answered *pool.ExecutorError
		if !errors.As(err, &answered) || answered.Kind != pool.InvalidLibrary {
			t.Errorf("%v", err)
		}
	}
}

func TestPreload(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Observer = &r
		c.Preload = []string{"misbehave", "nowhere", "init_fails", "no_init"}
	})
	loaded := r.awaitKind(t, 2, pool.EventLoaded)
	idle := awaitIdle(t, p, 1)
	if !slices.Equal(idle[0].Loaded, []string{"misbehave", "no_init"}) || loaded[0].PID != idle[0].PID {
		t.Errorf("%+v", idle)
	}
	pidOf(t, p, "misbehave")
	if _, err := pool.Call[int](t.Context(), p, "init_fails", "ok"); !errors.As(err, new(*pool.ExecutorError)) {
		t.Errorf("%v", err)
	}
}

// A package that kills whoever preloads it keeps nobody from running others.
func TestPreloadThatKills(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Observer, c.LoadTimeout, c.Executors = &r, limited, 1
		c.Preload = []string{"init_crashes", "misbehave", "constructor_crashes", "init_hangs"}
	})
	for range 5 {
		pidOf(t, p, "misbehave")
		if _, err := pool.Call[int](t.Context(), p, "misbehave", "segv"); !errors.As(err, new(*pool.CrashError)) {
			t.Errorf("%v", err)
		}
	}
	for _, e := range r.kind(pool.EventCrashed) {
		var report *pool.CrashError
		if errors.As(e.Err, &report) && (report.Executor != e.Executor || report.Package == "") {
			t.Errorf("%+v", e)
		}
		if e.Package == "init_hangs" {
			t.Errorf("a load that took too long is told as %+v", e)
		}
	}
	hung := r.kind(pool.EventTimedOut)
	if len(hung) == 0 {
		t.Error("nobody was told of a load that took too long")
	}
	for _, e := range hung {
		var timeout *pool.TimeoutError
		if e.Package != "init_hangs" || e.Task != "" || !errors.As(e.Err, &timeout) || timeout.Phase != pool.PhaseLoad || timeout.Executor != e.Executor {
			t.Errorf("%+v", e)
		}
	}
	if s := p.Stats(); s.Succeeded != 5 || s.Crashed != 5 || s.TimedOut != 0 || s.SpawnFailures != 0 {
		t.Errorf("%+v", s.Counts)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

// Packages that are programs, more of them than there may be processes.
func TestSelfHosted(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, func(c *pool.Config) { c.Executor, c.PackageDir, c.Executors, c.Spares = "", built.SelfHosted, 2, -1 })
	packages := []string{"gobehave", "gobehave2", "gorecover", "integration_test_tasks"}
	var calls sync.WaitGroup
	for worker := range 4 {
		calls.Go(func() {
			for i := range 20 {
				pkg := packages[(i/2+worker)%len(packages)]
				var err error
				switch pkg {
				case "gorecover":
					_, err = pool.Call[int](t.Context(), p, pkg, "fine", i)
				case "integration_test_tasks":
					_, err = pool.Call[int](t.Context(), p, pkg, "fibonacci", i)
				default:
					_, err = pool.Call[int64](t.Context(), p, pkg, "now")
				}
				if err != nil {
					t.Errorf("%s: %v", pkg, err)
				}
			}
		})
	}
	calls.Wait()
	s := p.Stats()
	live := 0
	for _, e := range s.Executors {
		if e.State != "ending" {
			live++
			if !strings.HasPrefix(e.Program, built.SelfHosted) {
				t.Errorf("%+v", e)
			}
		}
	}
	if live > 2 || s.Recycled[pool.RecycledRoom] == 0 || s.Succeeded != 80 {
		t.Errorf("%d live; %+v", live, s.Counts)
	}
	_, err = pool.Call[int](t.Context(), p, "gorecover", "exit", 7)
	var crash *pool.CrashError
	if !errors.As(err, &crash) || crash.Exit.Code != 7 || !strings.HasSuffix(crash.Program, "gorecover/gorecover") {
		t.Errorf("%v", err)
	}
}

// Libraries and programs side by side. A program goes before a library.
func TestMixedPackages(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	installProgram(t, filepath.Join(built.SelfHosted, "gorecover", "gorecover"), filepath.Join(dir, "gorecover", "gorecover"))
	stage(dir, "gorecover", []byte("never opened"))
	stage(dir, "misbehave", library(t, "misbehave"))
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.PackageDir, c.Executors, c.Spares, c.Observer = dir, 1, 1, &r
		c.Preload = []string{"gorecover", "misbehave"}
	})
	for i := range 20 {
		if n, err := pool.Call[int](t.Context(), p, "gorecover", "fine", i); err != nil || n != i {
			t.Errorf("%d, %v", n, err)
		}
		pidOf(t, p, "misbehave")
	}
	for _, e := range r.kind(pool.EventFinished) {
		if self := strings.HasPrefix(e.Program, dir); self != (e.Package == "gorecover") {
			t.Errorf("package %s ran in %s", e.Package, e.Program)
		}
	}
	if s := p.Stats(); s.Succeeded != 40 {
		t.Errorf("%+v", s.Counts)
	}
}

// To renew a package's process costs no other package its own.
func TestRenewalNeedsNoRoom(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Executor, c.PackageDir, c.Executors, c.Spares, c.MaxTasks, c.Observer = "", built.SelfHosted, 2, -1, 2, &r
	})
	for _, pkg := range []string{"gobehave", "gobehave2", "gobehave"} {
		if _, err := pool.Call[int64](t.Context(), p, pkg, "now"); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range r.awaitKind(t, 1, pool.EventRecycled) {
		if e.Reason != pool.RecycledTasks || !strings.HasSuffix(e.Program, "gobehave") {
			t.Errorf("%+v", e)
		}
	}
	if s := p.Stats(); s.Recycled[pool.RecycledRoom] != 0 {
		t.Errorf("%+v", s.Counts)
	}
}

// What is left of a package that is there no more ends, and is not started again.
func TestRemovedProgram(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	installProgram(t, filepath.Join(built.SelfHosted, "gobehave", "gobehave"), filepath.Join(dir, "gobehave", "gobehave"))
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Executor, c.PackageDir, c.Executors, c.Spares, c.MaxAge, c.Observer = "", dir, 1, -1, time.Minute, &r
	})
	if _, err := pool.Call[int64](t.Context(), p, "gobehave", "now"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "gobehave")); err != nil {
		t.Fatal(err)
	}
	p.Inspect(time.Now().Add(time.Hour)) // it is too old by then
	if e := r.awaitKind(t, 1, pool.EventRecycled)[0]; !strings.Contains(e.Reason, "gobehave") {
		t.Errorf("%+v", e)
	}
	if s := p.Stats(); s.Starting != 0 || s.SpawnFailures != 1 || s.Recycled[pool.RecycledChanged] != 1 {
		t.Errorf("%+v", s)
	}
	_, err = pool.Call[int64](t.Context(), p, "gobehave", "now")
	if !errors.As(err, new(*pool.ExecutorError)) {
		t.Errorf("%v", err)
	}
}

// Without a program for its packages a pool says which package lacks one.
func TestNoExecutor(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.Executor = "" })
	_, err := pool.Call[int](t.Context(), p, "misbehave", "getpid")
	var spawn *pool.SpawnError
	if !errors.As(err, &spawn) || spawn.Executor != "" || !strings.Contains(err.Error(), "package misbehave") {
		t.Errorf("%v", err)
	}
}

// Callers that give up leave no more processes than there should be.
func TestNoProcessTooMany(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, func(c *pool.Config) { c.Executor, c.PackageDir, c.Executors, c.Spares = "", built.SelfHosted, 1, -1 })
	packages := []string{"gobehave", "gobehave2", "gorecover", "integration_test_tasks", "logsearch"}
	for range 10 {
		for _, pkg := range packages {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Microsecond)
			_, _ = pool.Call[int](ctx, p, pkg, "nothing")
			cancel()
		}
	}
	awaitIdle(t, p, 1)
	if n := len(awaitIdle(t, p, 1)); n > 1 {
		t.Errorf("%d processes stand idle", n)
	}
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) {
		used.Store("reads and never answers", true)
		c.Env[len(c.Env)-2] = envBehaviour + "=reads and never answers"
		c.StartTimeout, c.Executors = limited, 1
	})
	_, err := do(t.Context(), p, "echo", "x")
	var spawn *pool.SpawnError
	var timeout *pool.TimeoutError
	if !errors.As(err, &spawn) || errors.As(err, &timeout) || !errors.As(spawn.Err, &timeout) || timeout.Phase != pool.PhaseStart || timeout.Limit != limited || timeout.Executor == 0 {
		t.Errorf("%v", err)
	}
	if s := p.Stats(); s.NotStarted != 1 || s.TimedOut != 0 || s.Spawned != 0 || s.SpawnFailures == 0 {
		t.Errorf("%+v", s.Counts)
	}
}

// What ends as soon as it is started is tried less and less, and then not at all.
func TestStartBreaker(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executor, c.Observer, c.Executors = "false", &r, 1 })
	var broken *pool.BreakerError
	var spawn *pool.SpawnError
	for i := 0; ; i++ {
		_, err := do(t.Context(), p, "echo", "x")
		if errors.As(err, &broken) {
			break
		}
		var crash *pool.CrashError
		if i > 10 || !errors.As(err, &spawn) || errors.As(err, &crash) || !errors.As(spawn.Err, &crash) || crash.Exit.Code != 1 || crash.Phase != pool.PhaseStart {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	var crash *pool.CrashError
	if broken.Deaths < 5 || !broken.Until.After(time.Now()) || broken.Package != "" || errors.As(broken, &crash) || !errors.As(broken.Err, &spawn) || !errors.As(spawn.Err, &crash) {
		t.Errorf("%+v", broken)
	}
	// Only a call that comes when the time is over may start one more, which doubles it.
	refused := 0
	for range 1000 {
		if _, err := do(t.Context(), p, "echo", "x"); errors.As(err, new(*pool.BreakerError)) {
			refused++
		}
	}
	if n := len(r.kind(pool.EventSpawnFailed)); n > 20 || refused < 980 {
		t.Errorf("%d starts, %d calls refused", n, refused)
	}
}

// A program that cannot be started at all, and one that then can.
func TestStartRecovers(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "executor")
	p := oddPool(t, func(c *pool.Config) { c.Executor, c.Executors = link, 1 })
	_, err := do(t.Context(), p, "echo", "x")
	if !errors.Is(err, os.ErrNotExist) || !errors.As(err, new(*pool.SpawnError)) {
		t.Errorf("%v", err)
	}
	installProgram(t, fmt.Sprintf("/proc/%d/exe", os.Getpid()), link)
	for deadline := time.Now().Add(patience); ; {
		_, err := do(t.Context(), p, "echo", "x")
		if err == nil {
			break
		}
		if !pool.Retryable(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	mustDo(t, p)
}

// A package whose loading kills is refused after a while, alone, until it is replaced.
func TestLoadBreaker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stage(dir, "init_crashes", library(t, "init_crashes"))
	stage(dir, "misbehave", library(t, "misbehave"))
	p := newPool(t, func(c *pool.Config) { c.PackageDir, c.Executors = dir, 1 })
	var broken *pool.BreakerError
	for i := 0; ; i++ {
		_, err := pool.Call[int](t.Context(), p, "init_crashes", "ok")
		if errors.As(err, &broken) {
			if i < 5 {
				t.Errorf("refused after %d deaths", i)
			}
			break
		}
		var crash *pool.CrashError
		if i > 10 || !errors.As(err, &crash) || crash.Phase != pool.PhaseLoad {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if broken.Package != "init_crashes" || broken.Deaths < 5 || !strings.Contains(broken.Error(), "init_crashes") {
		t.Errorf("%+v", broken)
	}
	lost := p.Stats().Crashed
	for range 100 {
		if _, err := pool.Call[int](t.Context(), p, "init_crashes", "ok"); !errors.As(err, &broken) {
			break // its time was over
		}
	}
	pidOf(t, p, "misbehave") // others are not refused
	if n := p.Stats().Crashed; n > lost+1 {
		t.Errorf("%d more crashes", n-lost)
	}
	// Any other file is worth a try at once.
	stage(dir, "init_crashes", bytes.ReplaceAll(library(t, "init_counts"), []byte("init_counts\x00"), []byte("init_crashes")))
	_, err := pool.Call[int](t.Context(), p, "init_crashes", "init_calls")
	var answered *pool.ExecutorError
	if err != nil && !errors.As(err, &answered) {
		t.Errorf("replaced: %v", err)
	}
}

// Callers with little time, or that change their mind, bring no package into disrepute.
func TestLoadBreakerBlamesNobody(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	for range 10 {
		_, err := p.Execute(t.Context(), pool.Request{Package: "init_hangs", Task: "ok", Timeout: 5 * time.Millisecond})
		if !errors.As(err, new(*pool.TimeoutError)) {
			t.Fatalf("%v", err)
		}
	}
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(5*time.Millisecond, cancel)
		if _, err := pool.Call[int](ctx, p, "init_hangs", "ok"); !errors.As(err, new(*pool.CanceledError)) {
			t.Fatalf("%v", err)
		}
	}
}

func TestLoadTimeout(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.LoadTimeout = limited })
	_, err := pool.Call[int](t.Context(), p, "init_hangs", "ok")
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) || timeout.Phase != pool.PhaseLoad || timeout.Limit != limited || timeout.Package != "init_hangs" || timeout.Task != "ok" {
		t.Errorf("%v", err)
	}
}

// A slow call is told of, and lives on.
func TestSoftTimeout(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.SoftTimeout, c.Observer, c.Executors = 20*time.Millisecond, &r, 1 })
	for range 3 {
		if _, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "sleep_ms", Inputs: tasktest.Inputs(200)}); err != nil {
			t.Error(err)
		}
	}
	slow := r.kind(pool.EventSlow)
	if len(slow) != 3 || slow[0].Duration < 20*time.Millisecond || slow[0].Task != "sleep_ms" || len(r.kind(pool.EventRecycled)) != 0 {
		t.Errorf("%+v", slow)
	}
}

// A Go package prints its stacks at the soft signal.
func TestSoftSignal(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.PackageDir = built.SelfHosted
		c.SoftTimeout, c.SoftSignal, c.Observer, c.Executors, c.StderrLines = limited, syscall.SIGQUIT, &r, 1, 200
	})
	_, err = pool.Call[int](t.Context(), p, "gorecover", "panic_text", "x") // it works
	if !errors.As(err, new(*pool.ExecutorError)) {
		t.Fatal(err)
	}
	_, err = pool.Call[int](t.Context(), p, "gorecover", "spin")
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) || !timeout.Soft || timeout.Limit != limited || !strings.Contains(strings.Join(timeout.Stderr, "\n"), "SIGQUIT") {
		t.Errorf("%T: %v", err, err)
	}
	if slow, ended := r.kind(pool.EventSlow), r.kind(pool.EventTimedOut); len(slow) == 0 || len(ended) != 1 {
		t.Errorf("%+v, %+v", slow, ended)
	}
	if s := p.Stats(); s.TimedOut != 1 {
		t.Errorf("%+v", s.Counts)
	}
}

// A call that answers because of the signal is a success; its process is given up, as
// the signal may yet end it.
func TestSoftSignalAnswered(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) {
		c.SoftTimeout, c.SoftSignal, c.Observer, c.Executors = limited, syscall.SIGUSR1, &r, 1
	})
	if got, err := do(t.Context(), p, "slow", "x"); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	mustDo(t, p)
	if s := p.Stats(); s.Recycled[pool.RecycledUnsure] != 1 || s.Succeeded != 2 {
		t.Errorf("%+v", s.Counts)
	}
}

// However near the answer the soft limit comes, the signal hits no other call.
func TestSoftSignalHitsNoOther(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) {
		c.SoftTimeout, c.SoftSignal, c.Executors = 10*time.Millisecond, syscall.SIGQUIT, 1
	})
	for range 150 {
		_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "sleep_ms", Inputs: tasktest.Inputs(9)})
		var timeout *pool.TimeoutError
		if err != nil && (!errors.As(err, &timeout) || !timeout.Soft) {
			t.Fatalf("%T: %v", err, err)
		}
	}
}

// Close waits for what runs, and tells who waits.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	var r recorder
	dir := t.TempDir()
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	running, waiting, closed := make(chan error, 1), make(chan error, 1), make(chan error, 2)
	go func() {
		_, err := do(context.Background(), p, "answer after: "+filepath.Join(dir, "go"), "x")
		running <- err
	}()
	r.awaitKind(t, 1, pool.EventStarted)
	go func() {
		_, err := do(context.Background(), p, "echo", "x")
		waiting <- err
	}()
	for p.Stats().Waiting == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	for range 2 { // twice at once
		go func() { closed <- p.Close(context.Background()) }()
	}
	if err := <-waiting; err != pool.ErrClosed {
		t.Errorf("who waited got %v", err)
	}
	if _, err := do(t.Context(), p, "echo", "x"); err != pool.ErrClosed {
		t.Errorf("who came later got %v", err)
	}
	select {
	case err := <-closed:
		t.Errorf("Close has not waited: %v", err)
	default:
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-running; err != nil {
		t.Errorf("what ran got %v", err)
	}
	for range 2 {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	if s := p.Stats(); s.Succeeded != 1 || s.NotStarted != 2 || len(s.Executors) != 0 {
		t.Errorf("%+v", s)
	}
	r.checkFates(t)
}

// With a context that is done, Close kills.
func TestCloseKills(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Timeout, c.Observer = 2, 0, &r })
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := do(context.Background(), p, "hang", "")
			errs <- err
		}()
	}
	r.awaitKind(t, 2, pool.EventStarted)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	within(t, "Close", func() {
		if err := p.Close(ctx); err != cause {
			t.Errorf("Close: %v", err)
		}
	})
	for range 2 {
		err := <-errs
		var crash *pool.CrashError
		if !errors.As(err, &crash) || !strings.Contains(crash.Exit.Killed, "closed") {
			t.Errorf("%v", err)
		}
	}
	r.checkFates(t)
}

// Who waits for a process to start, when Close kills, learns that the pool is closed.
func TestCloseKillsWhatStarts(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) {
		c.Env[len(c.Env)-2] = envBehaviour + "=never reads"
		c.StartTimeout, c.Executors, c.Observer = time.Hour, 1, &r
	})
	failed := make(chan error, 1)
	go func() {
		_, err := do(context.Background(), p, "echo", "")
		failed <- err
	}()
	for s := p.Stats(); s.Running == 0 || len(s.Executors) == 0; s = p.Stats() {
		time.Sleep(100 * time.Microsecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Close", func() {
		if err := p.Close(ctx); err != context.Canceled {
			t.Errorf("%v", err)
		}
	})
	if err := <-failed; err != pool.ErrClosed {
		t.Errorf("who waited got %v", err)
	}
	if s := p.Stats(); s.SpawnFailures != 0 || len(r.kind(pool.EventSpawnFailed)) != 0 {
		t.Errorf("%+v", s.Counts)
	}
}

// Close waits neither for a process that does not come up nor for one that does not
// shut down.
func TestCloseWhileStarting(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) {
		used.Store("never reads", true)
		c.Env[len(c.Env)-2] = envBehaviour + "=never reads"
		c.StartTimeout = time.Hour
	})
	for len(p.Stats().Executors) == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	within(t, "Close", func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})

	for range 20 { // whenever it comes
		p := newPool(t, func(c *pool.Config) { c.Executors = 4; c.Spares = 4 })
		within(t, "Close", func() { p.Close(context.Background()) })
		if s := p.Stats(); s.SpawnFailures != 0 {
			t.Errorf("%+v", s.Counts)
		}
	}
}

func TestCloseWhilePreloading(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Preload, c.LoadTimeout, c.Observer = []string{"init_hangs"}, time.Hour, &r
	})
	r.awaitKind(t, 1, pool.EventSpawned)
	within(t, "Close", func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r.checkFates(t)
}

// The same with a context that is done. What the pool has killed has not crashed.
func TestCloseKillsWhatPreloads(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) {
		c.Preload, c.LoadTimeout, c.Observer, c.Executors = []string{"init_hangs"}, time.Hour, &r, 1
	})
	waits := make(chan error, 1)
	go func() {
		_, err := pool.Call[int](context.Background(), p, "misbehave", "getpid")
		waits <- err
	}()
	r.awaitKind(t, 1, pool.EventSpawned)
	for p.Stats().Running == 0 {
		time.Sleep(100 * time.Microsecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Close", func() {
		if err := p.Close(ctx); err != context.Canceled {
			t.Error(err)
		}
	})
	if err := <-waits; err != pool.ErrClosed {
		t.Errorf("who waited got %v", err)
	}
	if crashed := r.kind(pool.EventCrashed); len(crashed) != 0 {
		t.Errorf("%+v", crashed)
	}
	r.checkFates(t)
}

func TestCloseWhatIgnoresIt(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors = 1; c.Spares = -1 })
	if _, err := do(t.Context(), p, "answer and stop reading", ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	processes := p.Processes()
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	for _, process := range processes {
		if exit := process.Wait(); exit.Killed != pool.KilledReason {
			t.Errorf("%v", exit)
		}
	}
	if len(processes) != 1 {
		t.Errorf("%d processes", len(processes))
	}
}

// Every line of stderr belongs to the call that wrote it, also right before the answer
// and without an end. None comes after its call.
func TestStderrOfCalls(t *testing.T) {
	t.Parallel()
	type key struct{ task, text string }
	var mu sync.Mutex
	lines := map[key]int{}
	p := oddPool(t, func(c *pool.Config) {
		c.Executors = 3
		c.Stderr = func(l pool.StderrLine) {
			mu.Lock()
			defer mu.Unlock()
			if l.Package != "p" || l.Executor == 0 || l.Context == nil {
				t.Errorf("%+v", l)
			}
			lines[key{l.Task, l.Text}]++
		}
	})
	n := 1000
	if testing.Short() {
		n = 100
	}
	var calls sync.WaitGroup
	for worker := range 4 {
		calls.Go(func() {
			for i := range n {
				task := []string{"line", "line without end"}[i%2]
				// Each call is known by its task's name.
				text := fmt.Sprintf("%d of %d", i, worker)
				task += ": " + text
				if _, err := do(t.Context(), p, task, text); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if lines[key{task, text}] != 1 {
					t.Errorf("%s: %d lines by its end", task, lines[key{task, text}])
				}
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(lines) != 4*n {
		t.Errorf("%d lines of %d calls", len(lines), 4*n)
	}
}

// Lines of a crash, and of a package's loading.
func TestStderrOfDeaths(t *testing.T) {
	t.Parallel()
	var last atomic.Pointer[pool.StderrLine]
	p := newPool(t, func(c *pool.Config) {
		c.Executors = 1
		c.Stderr = func(l pool.StderrLine) { last.Store(&l) }
	})
	for range 10 {
		_, err := pool.Call[int](t.Context(), p, "misbehave", "double_free")
		var crash *pool.CrashError
		if !errors.As(err, &crash) || len(crash.Stderr) == 0 {
			t.Fatalf("%v", err)
		}
		l := last.Load()
		if l == nil || l.Task != "double_free" || l.Executor != crash.Executor || l.Text != crash.Stderr[len(crash.Stderr)-1] {
			t.Errorf("%+v; %q", l, crash.Stderr)
		}
	}
}

// Events, Stats and errors tell the same.
func TestStatsAndEvents(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Observer = &r })
	for i := range 20 {
		_, _ = pool.Call[string](t.Context(), p, "misbehave", "echo", "x")
		_, _ = pool.Call[int](t.Context(), p, "misbehave", "fail", "Custom", "x")
		if i%5 == 0 {
			_, _ = pool.Call[int](t.Context(), p, "misbehave", "segv")
			_, _ = p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "block_forever", Inputs: tasktest.Inputs(), Timeout: 50 * time.Millisecond})
		}
	}
	for _, e := range p.Stats().Executors {
		if e.PID == 0 || e.Program == "" || e.Started.IsZero() || e.Executor == 0 || e.State == "idle" && e.Since.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	s := p.Stats()
	count := map[pool.EventKind]int64{}
	for _, e := range r.all(func(pool.Event) bool { return true }) {
		count[e.Kind]++
	}
	for kind, want := range map[pool.EventKind]int64{
		pool.EventSpawned: s.Spawned, pool.EventSpawnFailed: 0, pool.EventStarted: 48, pool.EventFinished: 40,
		pool.EventCrashed: 4, pool.EventTimedOut: 4, pool.EventCanceled: 0,
	} {
		if count[kind] != want {
			t.Errorf("%d events %q, want %d", count[kind], kind, want)
		}
	}
	recycled := int64(0)
	for n := range maps.Values(s.Recycled) {
		recycled += n
	}
	if s.Succeeded != 20 || s.Failed != 20 || s.Crashed != 4 || s.TimedOut != 4 || s.Calls() != 48 || count[pool.EventRecycled] != recycled {
		t.Errorf("%+v, %v", s.Counts, count)
	}
	r.checkFates(t)
}

func TestStatsWhileRunning(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range 3 {
		calls.Go(func() { _, _ = do(ctx, p, "hang", "") })
	}
	r.awaitKind(t, 1, pool.EventStarted)
	for p.Stats().Waiting != 2 {
		time.Sleep(100 * time.Microsecond)
	}
	s := p.Stats()
	running := 0
	for _, e := range s.Executors {
		if e.State == "running" && e.Task == "hang" && e.Package == "p" && !e.Since.IsZero() && slices.Equal(e.Loaded, []string{"p"}) {
			running++
		}
	}
	if s.Running != 1 || running != 1 {
		t.Errorf("%+v", s)
	}
	cancel()
	calls.Wait()
	if s := p.Stats(); s.Canceled != 3 || s.Running != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{"SPIDER_TEST_A": "1", "SPIDER_TEST_AB": "2", "SPIDER_TEST_C": "3"} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		change func(*pool.Config)
		want   string // of A, AB, C
	}{
		{"all", func(c *pool.Config) {}, "1 2 3"},
		{"none", func(c *pool.Config) { c.EnvAllow = []string{} }, "  "},
		{"some", func(c *pool.Config) { c.EnvAllow = []string{"SPIDER_TEST_A", "PATH"} }, "1  "},
		{"prefix", func(c *pool.Config) { c.EnvAllow = []string{"SPIDER_TEST_A*"} }, "1 2 "},
		{"own", func(c *pool.Config) { c.Env = []string{"SPIDER_TEST_C=own"} }, "  own"},
		{"empty", func(c *pool.Config) { c.Env = []string{} }, "  "},
	} {
		p := newPool(t, func(cfg *pool.Config) { cfg.Dir, cfg.Executors = dir, 1; c.change(cfg) })
		var got []string
		for _, name := range []string{"A", "AB", "C"} {
			value, err := pool.Call[string](t.Context(), p, "misbehave", "getenv", "SPIDER_TEST_"+name)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, value)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if cwd, err := pool.Call[string](t.Context(), p, "misbehave", "cwd"); err != nil || cwd != dir {
			t.Errorf("%s: %q, %v", c.name, cwd, err)
		}
	}
}

// Relative paths are this process's, not those of Dir.
func TestRelativePaths(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative := func(path string) string {
		path, err := filepath.Rel(wd, path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	p := newPool(t, func(c *pool.Config) {
		c.Executor, c.PackageDir, c.Dir = relative(built.Executor), relative(built.Packages), t.TempDir()
	})
	pidOf(t, p, "misbehave")
}

// The longest limit there is.
func TestHugeLimits(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) {
		c.Timeout, c.StartTimeout, c.LoadTimeout, c.MaxAge, c.SoftTimeout = 1<<63-1, 1<<63-1, 1<<63-1, 1<<63-1, 1<<62
	})
	pidOf(t, p, "misbehave")
	if _, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "getpid", Inputs: tasktest.Inputs(), Timeout: -1}); err != nil {
		t.Error(err)
	}
}
