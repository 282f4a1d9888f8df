package main_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// All tests here run the real executor with real packages, built by TestMain.
var built tasktest.Built

func TestMain(m *testing.M) {
	if os.Getenv(envActAsParent) != "" {
		actAsParent()
	}
	var err error
	if built, err = tasktest.Build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	if left := children(); len(left) > 0 && status == 0 {
		fmt.Fprintln(os.Stderr, "processes left behind:", left)
		status = 1
	}
	os.Exit(status)
}

// children lists this process's children, zombies too.
func children() (pids []string) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

// patience bounds what should take milliseconds, on a machine that is busy.
const patience = 30 * time.Second

// executor is a running executor under test.
type executor struct {
	*pool.Process
	t *testing.T
}

type option func(*pool.ProcessConfig)

func withEnv(assignments ...string) option {
	return func(cfg *pool.ProcessConfig) { cfg.Env = append(cfg.Env, assignments...) }
}

// without starts the executor with a protection left out.
func without(protection string) option {
	return func(cfg *pool.ProcessConfig) {
		cfg.Executor = built.Unprotected
		cfg.Env = append(cfg.Env, "SPIDER_TEST_WITHOUT="+protection)
	}
}

func withDir(dir string) option {
	return func(cfg *pool.ProcessConfig) { cfg.PackageDir = dir }
}

func start(t *testing.T, options ...option) executor {
	t.Helper()
	cfg := pool.ProcessConfig{
		Executor:    built.Executor,
		PackageDir:  built.Packages,
		Env:         cleanEnv(),
		StderrLines: 1000,
	}
	for _, o := range options {
		o(&cfg)
	}
	p, err := pool.StartProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return executor{p, t}
}

// cleanEnv is the environment without what would steer the executor.
func cleanEnv() (env []string) {
	for _, assignment := range os.Environ() {
		if !strings.HasPrefix(assignment, "SPIDER_") && !strings.HasPrefix(assignment, "RUST_LOG=") {
			env = append(env, assignment)
		}
	}
	return env
}

// run runs a task of package misbehave, or of another as "package/task".
func (e executor) run(task string, args ...any) ([]byte, error) {
	pkg, name, ok := strings.Cut(task, "/")
	if !ok {
		pkg, name = "misbehave", task
	}
	result, err := e.Execute(pool.Request{
		Package: pkg, Task: name, Context: tasktest.Context(), Inputs: tasktest.Inputs(args...),
	}, patience)
	return result.Outputs, err
}

// must runs a task that has to succeed.
func (e executor) must(task string, args ...any) []byte {
	e.t.Helper()
	out, err := e.run(task, args...)
	if err != nil {
		e.t.Fatalf("%s%v: %v\nstderr: %q", task, args, err, e.StderrTail())
	}
	return out
}

// number runs a task that has to answer one integer.
func (e executor) number(task string, args ...any) uint64 {
	e.t.Helper()
	return one[uint64](e, task, args...)
}

func one[T any](e executor, task string, args ...any) (value T) {
	e.t.Helper()
	if err := tasktest.Outputs(e.must(task, args...), &value); err != nil {
		e.t.Fatalf("%s: %v", task, err)
	}
	return value
}

// crash runs a task that has to end the process without an answer.
func (e executor) crash(task string, args ...any) pool.Exit {
	e.t.Helper()
	out, err := e.run(task, args...)
	var crash *pool.CrashError
	if !errors.As(err, &crash) {
		e.t.Fatalf("%s: got %x, %v; want a crash\nstderr: %q", task, out, err, e.StderrTail())
	}
	return crash.Exit
}

// refused runs a task that has to be answered with a failure of that kind, whose
// text contains each of the given ones.
func (e executor) refused(kind pool.ErrorKind, task string, texts ...string) *pool.ExecutorError {
	e.t.Helper()
	_, err := e.run(task)
	return e.wantFailure(err, kind, texts...)
}

func (e executor) wantFailure(err error, kind pool.ErrorKind, texts ...string) *pool.ExecutorError {
	e.t.Helper()
	var failure *pool.ExecutorError
	if !errors.As(err, &failure) || failure.Kind != kind {
		e.t.Fatalf("got %v, want a failure of kind %s\nstderr: %q", err, kind, e.StderrTail())
	}
	for _, text := range texts {
		if !strings.Contains(failure.Error(), text) {
			e.t.Errorf("%s\nwant a text that contains %q", failure, text)
		}
	}
	return failure
}

// stderr ends the process in good order and returns all it wrote to stderr.
func (e executor) stderr() string {
	e.t.Helper()
	if exit := e.Shutdown(); exit.Code != 0 {
		e.t.Errorf("after Shutdown: %v", exit)
	}
	return strings.Join(e.StderrTail(), "\n")
}

// pidfd refers to a process that may be anybody's child.
func pidfd(t *testing.T, pid uint64) int {
	t.Helper()
	fd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		t.Fatalf("pid %d: %v", pid, err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0)
		unix.Close(fd)
	})
	return fd
}

// ended waits until the process is dead, or the time is over.
func ended(fd int, within time.Duration) bool {
	deadline := time.Now().Add(within)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline).Milliseconds())))
		if err != unix.EINTR {
			return n > 0
		}
	}
}
