package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/internal/protocol"
)

// Ways of printing to stdout, each of which would corrupt the stream.
var waysToPrint = []string{
	"print_write", "print_stdio", "print_stdio_full", "print_child", "print_system",
	"print_fork", "print_proc_self_fd1", "gobehave/print_stdout",
}

func TestStdoutLandsOnStderr(t *testing.T) {
	t.Parallel()
	e := start(t)
	for i, way := range waysToPrint {
		e.must(way, fmt.Sprintf("printed %d\n", i))
	}
	e.must("print_stdio", "no line end")
	text := e.stderr()
	for i, way := range waysToPrint {
		if !strings.Contains(text, fmt.Sprintf("printed %d", i)) {
			t.Errorf("%s: its text did not reach stderr", way)
		}
	}
	if !strings.Contains(text, "no line end") {
		t.Error("what stdio buffered is lost")
	}
}

func TestStdinIsEmpty(t *testing.T) {
	t.Parallel()
	e := start(t)
	if n := e.number("read_stdin"); n != 0 {
		t.Errorf("a task read %d bytes from stdin", n)
	}
	// A task that writes to the numbers where the stream once was.
	for fd := range uint64(3) {
		e.must("write_fd", fd, "x")
	}
	e.must("echo", "still in order")
}

// Code that closes all descriptors but the first three, as some does that means to become a
// daemon, costs neither the connection nor the runtime.
func TestClosedFiles(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.must("echo", "the package is loaded")
	dir := fmt.Sprintf("/proc/%d/fd", e.PID())
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		number, _ := strconv.Atoi(file.Name())
		target, _ := os.Readlink(filepath.Join(dir, file.Name()))
		if number < 100 && strings.HasPrefix(target, "anon_inode:") {
			t.Errorf("descriptor %d is the runtime's: %s", number, target)
		}
	}
	for range 3 {
		e.must("close_files")
		e.must("echo", "in order")
	}
	if exit := e.Shutdown(); exit.Code != 0 || exit.Signal != 0 {
		t.Errorf("%v", exit)
	}
}

// A pipe that is closed where a task, the log or another thread writes to it is
// an error there, and nothing else.
func TestClosedPipes(t *testing.T) {
	t.Parallel()
	e := start(t)
	if errno := e.number("sigpipe_thread"); errno != uint64(syscall.EPIPE) {
		t.Errorf("errno %d, want EPIPE", errno)
	}
	// Also after a Go runtime has brought its own handler.
	e.must("gobehave/now")
	if errno := e.number("sigpipe_thread"); errno != uint64(syscall.EPIPE) {
		t.Errorf("errno %d, want EPIPE", errno)
	}

	// A closed stderr, with much to log and a Go package that prints.
	cmd := exec.Command(built.Executor)
	cmd.Env = append(cleanEnv(), "SPIDER_TDL_PACKAGE_DIR="+built.Packages, "SPIDER_LOG=debug")
	cmd.Stdin = strings.NewReader(string(concat(
		execute("misbehave", "print_stderr", "lost\n"),
		execute("gobehave", "print_stderr", "lost\n"),
		execute("gobehave", "print_stdout", "lost\n"),
		execute("misbehave", "getpid"),
		protocol.AppendShutdown(nil),
	)))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	out, err := cmd.Output()
	if n := len(answers(t, out)); err != nil || n != 4 {
		t.Errorf("with a closed stderr: %v, %d answers", err, n)
	}
}

func TestBrokenStdout(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(built.Executor)
	cmd.Env = append(cleanEnv(), "SPIDER_TDL_PACKAGE_DIR="+built.Packages)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	if _, err := stdin.Write(execute("misbehave", "getpid")); err != nil {
		t.Fatal(err)
	}
	// stdin stays open: only the broken stdout can end it.
	_ = cmd.Wait()
	stdin.Close()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	if text := stderr.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "stdout is broken") {
		t.Errorf("stderr is not one line that says so: %q", text)
	}
}
