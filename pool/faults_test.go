package pool_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// oddPool is a pool of executors that do what their tasks' names say. It has one
// package, p.
func oddPool(t *testing.T, change func(*pool.Config)) *pool.Pool {
	t.Helper()
	return newPool(t, func(c *pool.Config) {
		oddConfig(c, t.TempDir())
		if change != nil {
			change(c)
		}
	})
}

func oddConfig(c *pool.Config, dir string) {
	used.Store(asTold, true)
	stage(dir, "p", nil)
	c.Executor, c.PackageDir = "/proc/self/exe", dir
	c.Env = append(os.Environ(), envBehaviour+"="+asTold, "GORACE=atexit_sleep_ms=0")
}

// stage puts a library of this content into a package directory, by rename.
func stage(dir, name string, content []byte) {
	path := filepath.Join(dir, name, "lib"+name+".so")
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path+".new", content, 0o755), os.Rename(path+".new", path))
	if err != nil {
		panic(err)
	}
}

// do runs a task of an odd pool.
func do(ctx context.Context, p *pool.Pool, task, input string) (string, error) {
	result, err := p.Execute(ctx, pool.Request{Package: "p", Task: task, Inputs: []byte(input)})
	return string(result.Outputs), err
}

// mustDo checks that a pool works.
func mustDo(t *testing.T, p *pool.Pool) {
	t.Helper()
	if got, err := do(t.Context(), p, "echo", "still here"); err != nil || got != "still here" {
		t.Errorf("%q, %v", got, err)
	}
}

// recorder keeps a pool's events.
type recorder struct {
	mu     sync.Mutex
	events []pool.Event
	came   chan struct{} // closed and replaced at each event
}

func (r *recorder) Observe(e pool.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Context = nil // it is lent
	r.events = append(r.events, e)
	if r.came != nil {
		close(r.came)
		r.came = nil
	}
}

func (r *recorder) all(want func(pool.Event) bool) (found []pool.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if want(e) {
			found = append(found, e)
		}
	}
	return found
}

func (r *recorder) kind(k pool.EventKind) []pool.Event {
	return r.all(func(e pool.Event) bool { return e.Kind == k })
}

// await waits until there are n such events, and returns them.
func (r *recorder) await(t *testing.T, n int, want func(pool.Event) bool) []pool.Event {
	t.Helper()
	over := time.After(patience)
	for {
		r.mu.Lock()
		if r.came == nil {
			r.came = make(chan struct{})
		}
		came := r.came
		r.mu.Unlock()
		if found := r.all(want); len(found) >= n {
			return found
		}
		select {
		case <-came:
		case <-over:
			t.Fatalf("%d such events have not come: %+v", n, r.all(func(pool.Event) bool { return true }))
		}
	}
}

func (r *recorder) awaitKind(t *testing.T, n int, k pool.EventKind) []pool.Event {
	t.Helper()
	return r.await(t, n, func(e pool.Event) bool { return e.Kind == k })
}

// checkFates checks that each executor that came up has one end, and an explanation
// of it, after its pool has been closed.
func (r *recorder) checkFates(t *testing.T) {
	t.Helper()
	fates := map[int][]pool.EventKind{}
	for _, e := range r.kind(pool.EventSpawned) {
		fates[e.Executor] = nil
	}
	for _, e := range r.all(func(e pool.Event) bool {
		switch e.Kind {
		case pool.EventRecycled, pool.EventCanceled, pool.EventCrashed, pool.EventTimedOut:
			return true
		}
		return false
	}) {
		if e.Reason == "" && e.Err == nil {
			t.Errorf("no explanation: %+v", e)
		}
		fates[e.Executor] = append(fates[e.Executor], e.Kind)
	}
	for number, ends := range fates {
		if len(ends) != 1 {
			t.Errorf("executor %d has come up and ended with %v", number, ends)
		}
	}
}

// Each fault gives its own call the right error, and the next call none.
func TestPoolFaults(t *testing.T) {
	t.Parallel()
	crash := func(code int, signal syscall.Signal) func(error) bool {
		return func(err error) bool {
			var c *pool.CrashError
			return errors.As(err, &c) && c.Exit.Code == code && c.Exit.Signal == signal && c.Exit.Killed == "" &&
				c.Executor > 0 && c.Phase == pool.PhaseRun && c.Package == "p" && c.Context != nil
		}
	}
	timeout := func(err error) bool {
		var e *pool.TimeoutError
		return errors.As(err, &e) && e.Limit == limited && e.Exit.Signal == syscall.SIGKILL && e.Executor > 0 && e.Phase == pool.PhaseRun
	}
	damage := func(err error) bool {
		var e *pool.ProtocolError
		return errors.As(err, &e) && e.Executor > 0 && e.Phase == pool.PhaseRun
	}
	fine := func(err error) bool { return err == nil }
	closed := func(err error) bool {
		var c *pool.CrashError
		return errors.As(err, &c) && strings.Contains(c.Exit.Killed, "closed")
	}
	for _, c := range []struct {
		task    string
		size    int
		limited bool
		right   func(error) bool
	}{
		{task: "exit: 0", right: crash(0, 0)},
		{task: "exit: 3", right: crash(3, 0)},
		{task: "exit: 0 with much to read", size: large, right: crash(0, 0)},
		{task: "kill", right: crash(-1, syscall.SIGKILL)},
		{task: "half an answer and exit", right: crash(0, 0)},
		{task: "text", right: damage},
		{task: "close stdout", limited: true, right: closed},
		{task: "hang", limited: true, right: timeout},
		{task: "hang", limited: true, size: large, right: timeout},
		{task: "stop", limited: true, right: timeout},
		{task: "half an answer", limited: true, right: timeout},
		{task: "flood", right: fine},
		{task: "fork", right: fine},
		{task: "answer and exit", right: fine},
		{task: "answer and stop reading", right: fine},
		{task: "two answers", right: fine},
	} {
		t.Run(fmt.Sprint(c.task, " ", c.size), func(t *testing.T) {
			t.Parallel()
			var r recorder
			p := oddPool(t, func(cfg *pool.Config) { cfg.Executors, cfg.Observer = 1, &r })
			mustDo(t, p)
			request := pool.Request{Package: "p", Task: c.task, Inputs: pattern(c.size)}
			if c.limited {
				request.Timeout = limited
			}
			within(t, "Execute", func() {
				_, err := p.Execute(t.Context(), request)
				if !c.right(err) {
					t.Errorf("%T: %v", err, err)
				}
			})
			calls := int64(5)
			if c.task == "answer and stop reading" {
				calls++
				// The next one does not go into the pipe.
				within(t, "Execute", func() {
					request := pool.Request{Package: "p", Task: "echo", Inputs: pattern(large), Timeout: limited}
					if _, err := p.Execute(t.Context(), request); !timeout(err) {
						t.Errorf("%T: %v", err, err)
					}
				})
			}
			if c.task == "answer and exit" {
				r.await(t, 1, func(e pool.Event) bool { return e.Kind == pool.EventCrashed })
			}
			for range 3 {
				mustDo(t, p)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			r.checkFates(t)
			if s := p.Stats(); s.Calls() != calls {
				t.Errorf("%+v", s)
			}
		})
	}
}

// limited is the time of calls that end by it. It is far more than an answer needs.
const limited = 500 * time.Millisecond

// What a process writes after its answer must not become the answer to another call.
func TestPoolSecondAnswer(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) {
		c.Executors, c.Observer = 1, &r
		c.Spares = -1
	})
	for i := range 20 {
		if got, err := do(t.Context(), p, "two answers", fmt.Sprint(i)); err != nil || got != fmt.Sprint(i) {
			t.Fatalf("%q, %v", got, err)
		}
		if got, err := do(t.Context(), p, "echo", "x"); err != nil || got != "x" {
			t.Fatalf("after it: %q, %v", got, err)
		}
	}
	for _, e := range r.awaitKind(t, 20, pool.EventCrashed) {
		var damage *pool.ProtocolError
		if !errors.As(e.Err, &damage) || damage.Phase != pool.PhaseIdle || damage.Executor != e.Executor {
			t.Errorf("%+v", e)
		}
	}
}

// The same with an answer that comes when the first has long been read.
func TestPoolSecondAnswerLater(t *testing.T) {
	t.Parallel()
	written := make(chan struct{}, 1)
	p := oddPool(t, func(c *pool.Config) {
		c.Executors = 1
		c.Stderr = func(l pool.StderrLine) {
			if l.Text == "both are written" {
				written <- struct{}{}
			}
		}
	})
	for range 10 {
		if got, err := do(t.Context(), p, "two answers apart", "x"); err != nil || got != "x" {
			t.Fatalf("%q, %v", got, err)
		}
		<-written
		mustDo(t, p)
	}
}

// A program that answers twice from the start never comes up.
func TestPoolSecondAnswerAtStart(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) {
		c.Env[len(c.Env)-2] = envBehaviour + "=two answers at once"
		c.Executors = 1
	})
	for range 3 {
		_, err := do(t.Context(), p, "echo", "x")
		var damage *pool.ProtocolError
		if errors.As(err, &damage) || !errors.As(lost(err), &damage) || !pool.Retryable(err) {
			t.Errorf("%v", err)
		}
	}
}

// killAndSee kills a child of this process and returns when it has ended.
func killAndSee(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n == 1 {
			return
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// A process that dies while nobody uses it costs no call, and is explained.
func TestPoolDeathWhileIdle(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	for i := range 30 {
		mustDo(t, p)
		for _, e := range p.Stats().Executors {
			if e.State == "idle" {
				killAndSee(t, e.PID)
			}
		}
		// Half of the time the pool has no time to notice by itself.
		if i%2 == 0 {
			mustDo(t, p)
		}
	}
	for _, e := range r.awaitKind(t, 30, pool.EventCrashed) {
		var crash *pool.CrashError
		if !errors.As(e.Err, &crash) || crash.Phase != pool.PhaseIdle || crash.Exit.Signal != syscall.SIGKILL || crash.Exit.Killed != "" || crash.Executor != e.Executor {
			t.Errorf("%+v", e)
		}
	}
	if s := p.Stats(); s.Succeeded != s.Calls() {
		t.Errorf("%+v", s.Counts)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

// Nor does one whose pipes are held by what it has forked, so that they tell nothing.
func TestPoolDeathWhileIdleAndHeld(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors = 1 })
	for range 20 {
		result, err := p.Execute(t.Context(), pool.Request{Package: "p", Task: "fork"})
		if err != nil {
			t.Fatal(err)
		}
		killAndSee(t, result.PID)
		mustDo(t, p)
	}
}

// A spare that has stood for a while and dies is replaced without a call.
func TestPoolReplacesSpares(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	idle := awaitIdle(t, p, 1)
	p.Age(time.Minute)
	killAndSee(t, idle[0].PID)
	r.awaitKind(t, 2, pool.EventSpawned)
	mustDo(t, p)
}

// An executor that answers once and ends would, as a spare, be started again and again.
func TestPoolSparesThatDie(t *testing.T) {
	t.Parallel()
	var r recorder
	p := oddPool(t, func(c *pool.Config) {
		c.Env[len(c.Env)-2] = envBehaviour + "=answers and ends"
		c.Executors, c.Observer = 1, &r
	})
	for range 5 {
		if _, err := do(t.Context(), p, "echo", "x"); !pool.Retryable(err) {
			t.Fatalf("%v", err)
		}
	}
	for s := p.Stats(); s.Starting > 0 || len(s.Executors) > 0; s = p.Stats() {
		// It comes to rest.
		if n := len(r.kind(pool.EventSpawned)) + len(r.kind(pool.EventSpawnFailed)); n > 30 {
			t.Fatalf("%d starts for 5 calls", n)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// A call is canceled at any moment: while it waits, starts a process, loads, runs, or
// has just ended. What it leaves is right for the next.
func TestPoolCancelAtAnyMoment(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Observer = &r })
	var calls sync.WaitGroup
	for worker := range 4 {
		calls.Go(func() {
			for i := range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(i*worker)*20*time.Microsecond, cancel)
				text := fmt.Sprint(worker, " ", i)
				got, err := pool.Call[string](ctx, p, "misbehave", "echo", text)
				var canceled *pool.CanceledError
				if (err != nil || got != text) && !errors.As(err, &canceled) {
					t.Errorf("%q, %v", got, err)
				}
				cancel()
			}
		})
	}
	calls.Wait()
	if s := p.Stats(); s.Succeeded+s.Canceled != 400 || s.Calls() != 400 {
		t.Errorf("%+v", s.Counts)
	}
	// Canceled loads say nothing about the package.
	if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

// What dies while loading gives its own call an error, others none.
func TestPoolDeathInLoad(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.Executors = 1; c.LoadTimeout = time.Second })
	for name, right := range map[string]func(error) bool{
		"init_crashes": func(err error) bool {
			var c *pool.CrashError
			return errors.As(err, &c) && c.Exit.Signal == syscall.SIGSEGV && c.Phase == pool.PhaseLoad && c.Package == "init_crashes" && c.Task == "ok" && c.Context != nil
		},
		"constructor_crashes": func(err error) bool {
			var c *pool.CrashError
			return errors.As(err, &c) && c.Exit.Signal == syscall.SIGSEGV && c.Phase == pool.PhaseLoad
		},
		"init_hangs": func(err error) bool {
			var e *pool.TimeoutError
			return errors.As(err, &e) && e.Limit == time.Second && e.Phase == pool.PhaseLoad
		},
		"init_fails": func(err error) bool {
			var e *pool.ExecutorError
			return errors.As(err, &e) && e.Kind == pool.PackageInitError && e.Task == "ok"
		},
		"text_file": func(err error) bool {
			var e *pool.ExecutorError
			return errors.As(err, &e) && e.Kind == pool.InvalidLibrary && e.Task == "ok"
		},
		"nowhere": func(err error) bool {
			var e *pool.ExecutorError
			return errors.As(err, &e) && e.Kind == pool.InvalidLibrary && e.Task == "ok"
		},
	} {
		_, err := pool.Call[int](t.Context(), p, name, "ok")
		if !right(err) {
			t.Errorf("%s: %T: %v", name, err, err)
		}
		if got, err := pool.Call[string](t.Context(), p, "misbehave", "echo", "x"); err != nil || got != "x" {
			t.Errorf("after %s: %q, %v", name, got, err)
		}
	}
}

// A process that left its group and holds all pipes keeps nothing
// waiting.
func TestPoolGrandchildHoldsThePipes(t *testing.T) {
	t.Parallel()
	p := oddPool(t, func(c *pool.Config) { c.Executors = 1 })
	for _, end := range []string{"kill", "exit: 0", "hang"} {
		text, err := do(t.Context(), p, "fork setsid", "")
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(text)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		within(t, end, func() {
			_, err := p.Execute(t.Context(), pool.Request{Package: "p", Task: end, Timeout: limited})
			if !pool.Retryable(err) {
				t.Errorf("%v", err)
			}
		})
		mustDo(t, p)
	}
}

// A process that a task has started and that writes to stderr without pause keeps no
// answer back, and no end.
func TestPoolGrandchildFloods(t *testing.T) {
	t.Parallel()
	for _, fork := range []string{"fork flood", "fork setsid flood"} {
		t.Run(fork, func(t *testing.T) {
			t.Parallel()
			p := oddPool(t, func(c *pool.Config) {
				c.Executors = 1
				c.Stderr = func(pool.StderrLine) {} // so that each line costs something
			})
			var pid int
			within(t, "Execute", func() {
				text, err := do(t.Context(), p, fork, "")
				if err != nil {
					t.Error(err)
				}
				if pid, err = strconv.Atoi(text); err != nil {
					t.Error(text)
				}
			})
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
			for range 3 {
				within(t, "Execute", func() { mustDo(t, p) })
			}
			within(t, "Execute", func() {
				if _, err := do(t.Context(), p, "kill", ""); !pool.Retryable(err) {
					t.Errorf("%v", err)
				}
			})
			within(t, "Close", func() { p.Close(context.Background()) })
		})
	}
}

// What a task forked ends with its process, also where the call was a success.
func TestPoolEndsGrandchildren(t *testing.T) {
	t.Parallel()
	p := newPool(t, func(c *pool.Config) { c.Executors = 1 })
	var pids []int
	for _, end := range []string{"segv", "endless_loop", "exit"} {
		for _, fork := range []string{"fork_sleep", "fork_exec_sleep"} {
			pid, err := pool.Call[int](t.Context(), p, "misbehave", fork, 600_000)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		inputs := tasktest.Inputs()
		if end == "exit" {
			inputs = tasktest.Inputs(0)
		}
		_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: end, Inputs: inputs, Timeout: limited})
		if !pool.Retryable(err) {
			t.Errorf("%v", err)
		}
	}
	pid, err := pool.Call[int](t.Context(), p, "gorecover", "start_child")
	if err != nil {
		t.Fatal(err)
	}
	pids = append(pids, pid)
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	mustEnd(t, pids)
}

// mustEnd waits until none of these processes lives. A zombie is init's matter.
func mustEnd(t *testing.T, pids []int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		var alive []int
		for _, pid := range pids {
			if stateOf(pid) != "" {
				alive = append(alive, pid)
			}
		}
		if len(alive) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v live on", alive)
		}
	}
}

// stateOf is a process's state, "" if it has ended.
func stateOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	state, _, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+2:]), " ")
	if state == "Z" || state == "X" {
		return ""
	}
	return state
}

// usePool is a program that uses a pool, and prints the processes that come of it.
// It expects to be killed.
func usePool() {
	var built tasktest.Built
	if err := json.Unmarshal([]byte(os.Getenv(envBuilt)), &built); err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, dir := range []string{built.Packages, built.SelfHosted} {
		started := make(chan int, 100)
		p, err := pool.New(pool.Config{Executor: built.Executor, PackageDir: dir, Executors: 3, Spares: 2,
			Observer: pool.ObserverFunc(func(e pool.Event) {
				switch {
				case e.Kind == pool.EventSpawned:
					fmt.Println(e.PID)
				case e.Kind == pool.EventStarted && e.Task != "start_child":
					started <- e.PID
				}
			}),
		})
		if err != nil {
			panic(err)
		}
		pid, err := pool.Call[int](ctx, p, "gorecover", "start_child")
		if err != nil {
			panic(err)
		}
		fmt.Println(pid)
		busy := []string{"gorecover spin"}
		if dir == built.Packages {
			busy = append(busy, "misbehave endless_loop", "misbehave fork_hold_endless")
		}
		for _, call := range busy {
			pkg, task, _ := strings.Cut(call, " ")
			go func() { _, _ = pool.Call[int](ctx, p, pkg, task) }()
			<-started
		}
	}
	// One that does not look after its parent, and does not read its stdin.
	dir, err := os.MkdirTemp("", "spider-pool-test")
	if err != nil {
		panic(err)
	}
	var c pool.Config
	oddConfig(&c, dir)
	c.Executors, c.Spares = 1, -1
	started := make(chan int, 1)
	c.Observer = pool.ObserverFunc(func(e pool.Event) {
		if e.Kind == pool.EventStarted {
			started <- e.PID
		}
	})
	p, err := pool.New(c)
	if err != nil {
		panic(err)
	}
	go func() { _, _ = do(ctx, p, "hang", "") }()
	fmt.Println(<-started)
	_ = os.RemoveAll(dir)
	fmt.Println("all run")
	hang()
}

// envBuilt tells a program where things are.
const envBuilt = "SPIDER_POOL_TEST_BUILT"

func builtEnv(t *testing.T) string {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(built)
	if err != nil {
		t.Fatal(err)
	}
	return envBuilt + "=" + string(text)
}

// A parent that is killed leaves no executor behind, and nothing they forked.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	used.Store("uses a pool", true)
	token := tokenFor(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envBehaviour+"=uses a pool", builtEnv(t), token)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var pids []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "all run"; {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatal(lines.Text())
		}
		pids = append(pids, pid)
	}
	if len(pids) < 6 {
		t.Fatalf("only %v have started", pids)
	}
	for _, pid := range pids {
		if stateOf(pid) == "" {
			t.Errorf("process %d has ended too early", pid)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, pids)
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		left := marked(token)
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v live on", left)
		}
	}
}

// tokenFor is an assignment that marks all processes that come of something.
func tokenFor(t *testing.T) string {
	return fmt.Sprintf("SPIDER_POOL_TEST_TOKEN=%s-%d-%d", strings.ReplaceAll(t.Name(), "/", "-"), os.Getpid(), time.Now().UnixNano())
}

// marked lists the live processes that have this assignment in their environment.
func marked(assignment string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		f, err := os.Open("/proc/" + entry.Name() + "/environ")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(f)
		f.Close()
		if bytes.Contains(append([]byte{0}, text...), []byte("\x00"+assignment+"\x00")) && stateOf(pid) != "" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Thousands of calls under all faults at once, see chaos: each gets one right
// outcome, and nothing is left.
func TestChaos(t *testing.T) {
	t.Parallel()
	length := 4 * time.Second
	if testing.Short() {
		length = time.Second
	}
	t.Logf("%s", runChaos(t, length))
}
