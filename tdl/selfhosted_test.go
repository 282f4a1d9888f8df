package tdl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// patience bounds what should take milliseconds, on a machine that is busy.
const patience = 30 * time.Second

func built(t testing.TB) tasktest.Built {
	t.Helper()
	b, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// program is the package as an executor of its own.
func program(t testing.TB, pkg string) string {
	return filepath.Join(built(t).SelfHosted, pkg, pkg)
}

// process is an executor for one package.
type process struct {
	*pool.Process
	t   *testing.T
	pkg string
}

func start(t *testing.T, pkg string, cfg pool.ProcessConfig) process {
	t.Helper()
	p, err := pool.StartProcess(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return process{p, t, pkg}
}

func selfHosted(t *testing.T, pkg string) process {
	return start(t, pkg, pool.ProcessConfig{Executor: program(t, pkg), StderrLines: 1000})
}

func library(t *testing.T, pkg string) process {
	b := built(t)
	return start(t, pkg, pool.ProcessConfig{Executor: b.Executor, PackageDir: b.Packages, StderrLines: 1000})
}

func (p process) call(task string, args ...any) ([]byte, error) {
	result, err := p.Execute(pool.Request{
		Package: p.pkg, Task: task, Context: tasktest.Context(), Inputs: tasktest.Inputs(args...),
	}, patience)
	return result.Outputs, err
}

func (p process) must(ptr any, task string, args ...any) {
	p.t.Helper()
	out, err := p.call(task, args...)
	if err == nil {
		err = tdl.DecodeValues(out, ptr)
	}
	if err != nil {
		p.t.Fatalf("%s: %v\nstderr: %q", task, err, p.StderrTail())
	}
}

// inBothBuilds runs a test on the package as a library and as a program.
func inBothBuilds(t *testing.T, pkg string, test func(*testing.T, process)) {
	t.Run("library", func(t *testing.T) { t.Parallel(); test(t, library(t, pkg)) })
	t.Run("program", func(t *testing.T) { t.Parallel(); test(t, selfHosted(t, pkg)) })
}

// A package that recovers panics answers them, and lives on; the stack is on stderr.
func TestRecoverPanics(t *testing.T) {
	t.Parallel()
	inBothBuilds(t, "gorecover", func(t *testing.T, p process) {
		for _, c := range []struct {
			task string
			args []any
			says string
		}{
			{"panic_text", []any{"as asked"}, "panic: as asked"},
			{"panic_error", nil, "panic: an error, panicked with"},
			{"panic_task_error", nil, "panic: "},
			{"panic_nil", nil, "panic: panic called with nil argument"},
			{"nil_dereference", nil, "nil pointer dereference"},
			{"index", []any{5}, "index out of range [5] with length 3"},
			{"panic_in_encoding", []any{nil}, "panic: while decoding"},
			{"panic_in_error", nil, "nil pointer dereference"},
		} {
			_, err := p.call(c.task, c.args...)
			if !errors.Is(err, tdl.ExecutionError) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", c.task, err, c.says)
			}
			var n int
			if p.must(&n, "fine", 5); n != 5 {
				t.Errorf("after %s: %d", c.task, n)
			}
		}
		p.Shutdown()
		text := strings.Join(p.StderrTail(), "\n")
		for _, says := range []string{`panic in task "index", recovered`, "gorecover/main.go"} {
			if !strings.Contains(text, says) {
				t.Errorf("stderr lacks %q:\n%s", says, text)
			}
		}
	})
}

// The report tells a panic's message, also if it has several lines, or comes after a
// line that was never ended.
func TestPanicMessage(t *testing.T) {
	t.Parallel()
	for task, want := range map[string]string{
		"unfinished_line": "after a line without an end",
		"panic_lines":     "first line; second line",
	} {
		inBothBuilds(t, "gorecover", func(t *testing.T, p process) {
			_, err := p.call(task)
			var crash *pool.CrashError
			if !errors.As(err, &crash) || crash.Panic != want || !strings.Contains(strings.Join(crash.Stderr, "\n"), "gorecover/main.go") {
				t.Errorf("%s: %v, %q\n%s", task, err, want, strings.Join(crash.Stderr, "\n"))
			}
		})
	}
}

// What is no panic of the task's own goroutine ends the process, and says so.
func TestNotRecovered(t *testing.T) {
	t.Parallel()
	for task, says := range map[string]string{
		"goexit":             `task "goexit" called runtime.Goexit`,
		"panic_in_goroutine": "panic: in a goroutine",
	} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			inBothBuilds(t, "gorecover", func(t *testing.T, p process) {
				_, err := p.call(task)
				var crash *pool.CrashError
				if !errors.As(err, &crash) {
					t.Fatalf("%v", err)
				}
				if text := strings.Join(crash.Stderr, "\n"); !strings.Contains(text, says) {
					t.Errorf("the report lacks %q:\n%s", says, text)
				}
			})
		})
	}
}

// A program's panics end it by SIGABRT, whichever goroutine they are in; its own
// exit stays an exit.
func TestProgramCrashes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		task string
		args []any
		says string
	}{
		{"nil_dereference", nil, "nil pointer dereference"},
		{"panic_in_goroutine", nil, "panic: panic in a goroutine"},
		{"stack_overflow", nil, "stack exceeds 67108864-byte limit"},
	} {
		t.Run(c.task, func(t *testing.T) {
			t.Parallel()
			_, err := selfHosted(t, "gobehave").call(c.task, c.args...)
			var crash *pool.CrashError
			if !errors.As(err, &crash) || crash.Exit.Signal != syscall.SIGABRT {
				t.Fatalf("%v, want SIGABRT", err)
			}
			if text := strings.Join(crash.Stderr, "\n"); !strings.Contains(text, c.says) {
				t.Errorf("the report lacks %q:\n%.3000s", c.says, text)
			}
		})
	}
	_, err := selfHosted(t, "gobehave").call("exit", 3)
	var crash *pool.CrashError
	if !errors.As(err, &crash) || crash.Exit.Code != 3 {
		t.Errorf("exit(3): %v", err)
	}
}

func TestProgramServesOnePackage(t *testing.T) {
	t.Parallel()
	p := selfHosted(t, "gorecover")
	for _, name := range []string{"gobehave", "", "../gorecover", "Gorecover"} {
		other := p
		other.pkg = name
		_, err := other.call("fine", 1)
		var answered *pool.ExecutorError
		if !errors.As(err, &answered) || answered.Kind != pool.InvalidLibrary || !strings.Contains(err.Error(), `"gorecover"`) {
			t.Errorf("%q: %v", name, err)
		}
	}
	var n int
	if p.must(&n, "fine", 1); n != 1 {
		t.Error("it does not live on")
	}
}

// stdin and stdout of a program belong to the protocol.
func TestProgramStdio(t *testing.T) {
	t.Parallel()
	p := selfHosted(t, "gorecover")
	if out, err := p.call("print", "printed\n"); err != nil || !bytes.Equal(out, make([]byte, 4)) {
		t.Fatalf("%x, %v", out, err)
	}
	n := -1
	if p.must(&n, "read_stdin"); n != 0 {
		t.Errorf("a task read %d bytes from stdin", n)
	}
	if exit := p.Shutdown(); exit.Code != 0 {
		t.Error(exit)
	}
	if lines := p.StderrTail(); !slices.Equal(lines, []string{"printed"}) {
		t.Errorf("stderr: %q", lines)
	}
}

// The init hook runs at the first request; if it fails, at the next one again.
func TestProgramInit(t *testing.T) {
	t.Parallel()
	cfg := pool.ProcessConfig{Executor: program(t, "integration_test_tasks")}
	p := start(t, "integration_test_tasks", cfg)
	if _, err := p.call("assert_initialized"); err != nil {
		t.Error(err)
	}
	cfg.Env = append(os.Environ(), "SPIDER_TEST_TDL_INIT_SHOULD_FAIL=1")
	p = start(t, "integration_test_tasks", cfg)
	for range 2 {
		_, err := p.call("fibonacci", 1)
		var answered *pool.ExecutorError
		if !errors.As(err, &answered) || answered.Kind != pool.PackageInitError || !errors.Is(err, tdl.ExecutionError) {
			t.Errorf("%v", err)
		}
	}
}

// All that is wrong with a registration is told at once, to whoever asks.
func TestFaults(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, text string) {
		t.Helper()
		for _, says := range []string{`"gofaulty"`, "task 1 of 7 has no name", `"twice" is registered twice`, "Deep[].Field", "chan int",
			"the last result must be error", "Params names 2 parameters", "one line", "Register was called again", `"another"`} {
			if !strings.Contains(text, says) {
				t.Errorf("lacks %q:\n%s", says, text)
			}
		}
	}
	inBothBuilds(t, "gofaulty", func(t *testing.T, p process) {
		_, err := p.call("twice")
		var answered *pool.ExecutorError
		if !errors.As(err, &answered) || answered.Kind != pool.PackageInitError {
			t.Fatalf("%v", err)
		}
		check(t, err.Error())
	})
	t.Run("by hand", func(t *testing.T) {
		t.Parallel()
		for _, flag := range []string{"--describe", "--help", "--other"} {
			out, _ := exec.Command(program(t, "gofaulty"), flag).CombinedOutput()
			check(t, string(out))
		}
	})
}

func describe(t *testing.T, name string, args ...string) (d tdl.Description) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SPIDER_TDL_PACKAGE_DIR="+built(t).Packages)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v %s", err, &stderr)
	}
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return d
}

// A package tells the same about itself as a program and as a library.
func TestDescribe(t *testing.T) {
	t.Parallel()
	b := built(t)
	for _, pkg := range []string{"gorecover", "integration_test_tasks", "logsearch"} {
		asProgram := describe(t, program(t, pkg), "--describe")
		asLibrary := describe(t, b.Executor, "--describe", pkg)
		if diff := cmp.Diff(asProgram, asLibrary); diff != "" {
			t.Errorf("%s: program and library differ: %s", pkg, diff)
		}
		if asProgram.Name != pkg || asProgram.Format != 1 || asProgram.ABI != tdl.ABIVersion || asProgram.Build.Language != "Go" ||
			asProgram.Build.Compiler == "" || asProgram.SDK == "" {
			t.Errorf("%+v", asProgram)
		}
	}
	d := describe(t, b.Executor, "--describe", "gorecover")
	i := slices.IndexFunc(d.Tasks, func(task tdl.TaskDescription) bool { return task.Name == "panic_text" })
	if i < 0 {
		t.Fatalf("%+v", d)
	}
	want := tdl.TaskDescription{Name: "panic_text", Doc: "Panics with this text.",
		Params: []tdl.TypeMember{{Name: "text", Type: "string"}}, Results: []tdl.TypeMember{}}
	if diff := cmp.Diff(want, d.Tasks[i]); diff != "" {
		t.Error(diff)
	}
	d = describe(t, b.Executor, "--describe", "logsearch")
	if len(d.Types) == 0 || d.Types["Match"].Kind != "struct" || d.Types["Match"].Fields[0] != (tdl.TypeMember{Name: "number", Type: "uint64"}) {
		t.Errorf("types of logsearch: %+v", d.Types)
	}
}

// What cannot be described is said, with nothing on stdout.
func TestNotDescribed(t *testing.T) {
	t.Parallel()
	b := built(t)
	for pkg, says := range map[string]string{
		"misbehave":     "does not describe itself",
		"no_such":       "there is no file",
		"../gorecover":  "contains a '/'",
		"other_name":    "declared_name",
		"wrong_major":   "9.8.7",
		"no_execute":    "does not describe itself",
		"bad_utf8_name": "not UTF-8",
	} {
		cmd := exec.Command(b.Executor, "--describe", pkg)
		cmd.Env = append(os.Environ(), "SPIDER_TDL_PACKAGE_DIR="+b.Packages)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		status := 1
		if says == "does not describe itself" {
			status = 3
		}
		if cmd.ProcessState.ExitCode() != status || stdout.Len() > 0 || !strings.Contains(stderr.String(), says) {
			t.Errorf("%s: %v, stdout %q, stderr %q, want %q", pkg, cmd.ProcessState, &stdout, &stderr, says)
		}
	}
}

// A program that is started by hand says what it is.
func TestByHand(t *testing.T) {
	t.Parallel()
	for flag, status := range map[string]int{"--help": 0, "-h": 0, "--other": 2} {
		cmd := exec.Command(program(t, "gorecover"), flag)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != status || !strings.Contains(string(out), "spider run gorecover TASK") {
			t.Errorf("%s: %v, %s", flag, cmd.ProcessState, out)
		}
	}
}

// A program ends with its parent, and with it what its tasks have started; also
// while a task runs that calls nothing.
func TestProgramEndsWithItsParent(t *testing.T) {
	t.Parallel()
	request, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	defer read.Close()
	// The parent is a shell; both pipes stay open when it is killed.
	shell := exec.Command("sh", "-c", `"$0" <&3 >&4 & echo $!; wait`, program(t, "gorecover"))
	shell.ExtraFiles = []*os.File{request, answer}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	request.Close()
	answer.Close()
	kill := func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
	}
	defer kill()
	var executor, child int
	if _, err := fmt.Fscan(out, &executor); err != nil {
		t.Fatal(err)
	}
	execute := func(task string) {
		if _, err := write.Write(protocol.AppendExecute(nil, "gorecover", task, tasktest.Context(), tasktest.Inputs())); err != nil {
			t.Fatal(err)
		}
	}
	execute("start_child")
	body, err := protocol.NewReader(read, 0).ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	var r protocol.Response
	if err := protocol.DecodeResponse(body, &r); err != nil {
		t.Fatal(err)
	}
	if err := tdl.DecodeValues(r.Outcome.Payload, &child); err != nil {
		t.Fatal(err)
	}
	watch := []int{pidfd(t, executor), pidfd(t, child)}
	execute("spin")
	kill()
	for i, fd := range watch {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		var n int
		for n, err = unix.Poll(fds, int(patience.Milliseconds())); err == unix.EINTR; {
			n, err = unix.Poll(fds, int(patience.Milliseconds()))
		}
		if n == 0 {
			t.Errorf("%s lives on", []string{"the program", "what its task started"}[i])
		}
	}
}

// pidfd refers to a process that may be anybody's child, and ends it at last.
func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("pid %d: %v", pid, err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(fd, syscall.SIGKILL, nil, 0)
		unix.Close(fd)
	})
	return fd
}

// SIGTERM ends a program at once, visibly, also while a task runs.
func TestProgramTerminates(t *testing.T) {
	t.Parallel()
	spinning := make(chan struct{})
	p := start(t, "gorecover", pool.ProcessConfig{
		Executor: program(t, "gorecover"), OnStderr: func(string) { close(spinning) },
	})
	done := make(chan error)
	go func() {
		_, err := p.call("spin")
		done <- err
	}()
	<-spinning
	if err := syscall.Kill(p.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var crash *pool.CrashError
	if err := <-done; !errors.As(err, &crash) || crash.Exit.Signal != syscall.SIGTERM {
		t.Errorf("%v, want SIGTERM", err)
	}
}

func TestCommitContext(t *testing.T) {
	t.Parallel()
	inBothBuilds(t, "gorecover", func(t *testing.T, p process) {
		outputs := make([][]byte, 1000) // large enough to travel compressed
		want := int64(0)
		for i := range outputs {
			b, err := tdl.AppendValue(nil, int64(i)-7)
			if err != nil {
				t.Fatal(err)
			}
			outputs[i], want = b, want+int64(i)-7
		}
		ctx, err := tdl.NewCommitContext(1, 2, 3, outputs)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := ctx.Encode()
		if err != nil {
			t.Fatal(err)
		}
		result, err := p.Execute(pool.Request{Package: p.pkg, Task: "sum_outputs", Context: encoded, Inputs: tasktest.Inputs()}, patience)
		if err != nil {
			t.Fatal(err)
		}
		var got int64
		if err := tdl.DecodeValues(result.Outputs, &got); err != nil || got != want {
			t.Errorf("%d, %v, want %d", got, err, want)
		}
	})
}
