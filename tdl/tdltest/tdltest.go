// Package tdltest is for the tests of authors: it runs the tasks of the package that
// the test's own program registers, on encoded arguments, as an executor does.
//
//	func TestAdd(t *testing.T) {
//		var sum int64
//		if err := tdltest.InProcess(t).Call("add", 2, 3).Into(&sum); err != nil || sum != 5 {
//			t.Errorf("%d, %v", sum, err)
//		}
//	}
//
// The test stands beside the package's source, in package main. [InProcess] needs no
// build and has the debugger, coverage and the race detector; a panic is the test's.
// [InExecutor] builds the library and runs it in the real executor, [SelfHosted] the
// program that the package is too: there a crash is an error to test for.
//
// The package hides building, starting and ending; it never leaves a process or a
// file behind.
package tdltest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
	"github.com/spider-go/spider/tdl/internal/registered"
)

// executorSource is the import path of the executor's program.
const executorSource = "github.com/spider-go/spider/cmd/spider-task-executor"

// callTimeout ends a call in a subprocess that does not answer.
const callTimeout = time.Minute

// Runner runs tasks of one package for one test, one at a time.
type Runner struct {
	name    string
	context tdl.TaskContext
	execute func(pool.Request) ([]byte, error)
}

// Outcome is how a call ended.
type Outcome struct {
	// Outputs is the payload sequence that the task answered, if Err is nil.
	Outputs []byte

	// Err is what a parent gets: a *[pool.ExecutorError], in which errors.As
	// finds the task's *[tdl.Error]; out of process also a *[pool.CrashError] or
	// *[pool.TimeoutError], after a minute.
	Err error
}

// Into decodes the results into what ptrs point to, one for each. It returns Err if
// there is one.
func (o Outcome) Into(ptrs ...any) error {
	if o.Err != nil {
		return o.Err
	}
	return tdl.DecodeValues(o.Outputs, ptrs...)
}

// With returns a Runner whose tasks get ctx instead of the context of task 0 of
// job 1, in instance 1, of resource group 1.
func (r *Runner) With(ctx tdl.TaskContext) *Runner {
	return &Runner{name: r.name, context: ctx, execute: r.execute}
}

// Call runs a task on these arguments, which travel in their encoded form.
func (r *Runner) Call(task string, args ...any) Outcome {
	inputs, err := tdl.EncodeValues(args...)
	if err != nil {
		return Outcome{Err: fmt.Errorf("arguments of task %q: %w", task, err)}
	}
	encoded, err := r.context.Encode()
	if err != nil {
		return Outcome{Err: fmt.Errorf("task %q: %w", task, err)}
	}
	outputs, err := r.execute(pool.Request{Package: r.name, Task: task, Context: encoded, Inputs: inputs})
	return Outcome{Outputs: outputs, Err: err}
}

var (
	// oneAtATime is what an executor guarantees to tasks, also in parallel tests.
	oneAtATime sync.Mutex
	loaded     bool // the init hook has succeeded
)

// InProcess runs tasks in the test's own process. The package's init hook runs
// before the first of all tests' calls; if it fails, or the registration is wrong, the
// test ends.
func InProcess(t testing.TB) *Runner {
	t.Helper()
	p := thePackage(t)
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	if !loaded {
		if failure := p.Init(); failure != nil {
			t.Fatalf("package %q cannot be loaded: %v", p.Name(), taskError(failure))
		}
		loaded = true
	}
	return newRunner(p, func(r pool.Request) ([]byte, error) {
		oneAtATime.Lock()
		defer oneAtATime.Unlock()
		result, failed := p.Execute(nil, []byte(r.Task), r.Context, r.Inputs)
		var err *tdl.Error
		if failed {
			err = taskError(result)
		} else if large := protocol.CheckFrame(protocol.ResponseSize(len(result)), protocol.DefaultMaxFrame); large != nil {
			err = tdl.Errorf(tdl.SerializationError, "the task's result cannot be sent: %w", large)
		}
		if err != nil {
			return nil, &pool.ExecutorError{Package: r.Package, Task: r.Task, Kind: pool.TaskError, Err: err}
		}
		return result, nil
	})
}

// InExecutor builds the package as a library and the executor, both with the go
// command, and runs tasks there, in a subprocess. It needs cgo. After a crash the
// next call starts another one. What it prints is logged.
func InExecutor(t testing.TB) *Runner {
	t.Helper()
	p, dir := thePackage(t), t.TempDir()
	executor := filepath.Join(dir, "bin", "spider-task-executor")
	goBuild(t, executor, executorSource)
	goBuild(t, filepath.Join(dir, p.Name(), "lib"+p.Name()+".so"), ".", "-buildmode=c-shared")
	return subprocess(t, p, pool.ProcessConfig{Executor: executor, PackageDir: dir})
}

// SelfHosted builds the package as a program, whose main must call [tdl.Main], and
// runs tasks there, in a subprocess. After a crash the next call starts another one.
// What it prints is logged.
func SelfHosted(t testing.TB) *Runner {
	t.Helper()
	p, dir := thePackage(t), t.TempDir()
	program := filepath.Join(dir, p.Name(), p.Name())
	goBuild(t, program, ".")
	return subprocess(t, p, pool.ProcessConfig{Executor: program})
}

func thePackage(t testing.TB) registered.Package {
	t.Helper()
	p := registered.Get()
	if p == nil {
		t.Fatal("this program registers no package: the test must stand beside the source that calls tdl.Register")
	}
	return p
}

func newRunner(p registered.Package, execute func(pool.Request) ([]byte, error)) *Runner {
	context, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		panic(err) // it contradicts nothing
	}
	return &Runner{name: p.Name(), context: context, execute: execute}
}

// taskError is what travelled as b.
func taskError(b []byte) *tdl.Error {
	w, err := protocol.DecodeTdlError(b)
	if err != nil {
		return tdl.Errorf(tdl.SerializationError, "the error cannot be read: %w", err)
	}
	return &tdl.Error{Kind: tdl.ErrorKind(w.Variant), Message: w.Message}
}

// goBuild builds a main package in the folder of the test.
func goBuild(t testing.TB, target, source string, flags ...string) {
	t.Helper()
	args := append(append([]string{"build", "-o", target}, flags...), source)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", source, err, out)
	}
}

// subprocess runs tasks in an executor of this kind, and in another one after that
// has ended.
func subprocess(t testing.TB, p registered.Package, cfg pool.ProcessConfig) *Runner {
	t.Helper()
	var (
		logging sync.Mutex // a line may come when the test is over
		over    bool

		calls   sync.Mutex // one at a time, also in parallel subtests
		process *pool.Process
	)
	cfg.OnStderr = func(line string) {
		logging.Lock()
		defer logging.Unlock()
		if !over {
			t.Log(line)
		}
	}
	t.Cleanup(func() {
		if process != nil {
			process.Close()
		}
		logging.Lock()
		defer logging.Unlock()
		over = true
	})
	return newRunner(p, func(r pool.Request) ([]byte, error) {
		calls.Lock()
		defer calls.Unlock()
		if process == nil {
			started, err := pool.StartProcess(cfg)
			if err != nil {
				return nil, err
			}
			process = started
		}
		result, err := process.Execute(r, callTimeout)
		var answered *pool.ExecutorError
		if err != nil && !errors.As(err, &answered) {
			process.Close()
			process = nil
		}
		return result.Outputs, err
	})
}
