package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
)

// envActAsParent makes the test binary a parent that will be killed: it starts
// the executor that the variable names, has it fork, sends it into a task that
// never ends, and prints the ids of both.
const envActAsParent = "SPIDER_TEST_ACT_AS_PARENT"

func actAsParent() {
	cmd := exec.Command(os.Getenv(envActAsParent))
	stdin, err := cmd.StdinPipe()
	check(err)
	stdout, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	frames := protocol.NewReader(stdout, 0)
	_, err = stdin.Write(execute("misbehave", "fork_sleep", uint64(600_000)))
	check(err)
	body, err := frames.ReadFrame()
	check(err)
	var r protocol.Response
	check(protocol.DecodeResponse(body, &r))
	var child uint64
	check(tasktest.Outputs(r.Outcome.Payload, &child))
	_, err = stdin.Write(execute("misbehave", os.Getenv("SPIDER_TEST_LAST_TASK")))
	check(err)
	fmt.Println(cmd.Process.Pid, child)
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed
	os.Exit(0)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func contextAndInputs(args ...any) (context, inputs []byte) {
	return tasktest.Context(), tasktest.Inputs(args...)
}

// orphan starts such a parent and kills it. It returns how to watch the executor
// and its forked child.
func orphan(t *testing.T, program, task string, env ...string) (executor, child int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(cleanEnv(), envActAsParent+"="+program, "SPIDER_TEST_LAST_TASK="+task,
		"SPIDER_TDL_PACKAGE_DIR="+built.Packages), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid, childPID uint64
	_, scanErr := fmt.Fscan(bufio.NewReader(stdout), &pid, &childPID)
	if scanErr == nil {
		executor, child = pidfd(t, pid), pidfd(t, childPID)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if scanErr != nil {
		t.Fatal("the parent did not come so far: ", scanErr)
	}
	return executor, child
}

func TestEndsWithItsParent(t *testing.T) {
	t.Parallel()
	for _, task := range []string{"endless_loop", "block_forever"} {
		t.Run(task, func(t *testing.T) {
			t.Parallel()
			killed := time.Now()
			executor, child := orphan(t, built.Executor, task)
			if !ended(executor, patience) {
				t.Error("the executor lives on")
			}
			if !ended(child, patience) {
				t.Error("what its task forked lives on")
			}
			t.Logf("both gone within %v of the start of the test", time.Since(killed))
		})
	}
}

// A caller may send a request, close its end, and read the answer.
func TestHangUpIsNotDeath(t *testing.T) {
	t.Parallel()
	stdout, stderr, status := raw(t, execute("misbehave", "sleep_ms", uint64(50)))
	if len(answers(t, stdout)) != 1 || status != 0 || stderr != "" {
		t.Errorf("stdout %x, stderr %q, status %d", stdout, stderr, status)
	}
}

// A parent that is gone before the executor could begin to watch it. What it has told it
// to do about itself it does.
func TestAbandonedBeforeStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, logs string
		sent       []byte
		status     int
	}{
		{"a request", "closed by the parent before", execute("misbehave", "endless_loop"), 1},
		{"a shutdown", "", protocol.AppendShutdown(nil), 0},
		{"nothing", "", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			logged, status := abandon(t, c.sent)
			if status != c.status || !strings.Contains(logged, c.logs) || (logged == "") != (c.logs == "") {
				t.Errorf("status %d, want %d; stderr %q", status, c.status, logged)
			}
		})
	}
}

// abandon sends an executor something and is gone, at both ends, before it has started.
func abandon(t *testing.T, sent []byte) (stderr string, status int) {
	t.Helper()
	cmd := exec.Command(built.Executor)
	cmd.Env = append(cleanEnv(), "SPIDER_TDL_PACKAGE_DIR="+built.Packages)
	var logged strings.Builder
	cmd.Stderr = &logged
	in, request, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = request.Write(sent)
	request.Close()
	answer, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answer.Close()
	cmd.Stdin, cmd.Stdout = in, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	_ = cmd.Wait()
	return logged.String(), cmd.ProcessState.ExitCode()
}

func TestLeadsItsGroup(t *testing.T) {
	t.Parallel()
	// A parent that makes no group, as most do.
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
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = stdin.Write(execute("misbehave", "getpid"))
	if _, err := protocol.NewReader(stdout, 0).ReadFrame(); err != nil {
		t.Error(err)
	}
	if group, err := syscall.Getpgid(cmd.Process.Pid); group != cmd.Process.Pid {
		t.Errorf("group %d, %v; want %d", group, err, cmd.Process.Pid)
	}
	stdin.Close()
	_ = cmd.Wait()
}

// A person gets to know what it is; a parent gets an executor, whatever it passes.
func TestUsage(t *testing.T) {
	t.Parallel()
	const says = "It is started by a parent"
	run := func(stdin *os.File, args ...string) (stdout, stderr string, status int) {
		cmd := exec.Command(built.Executor, args...)
		cmd.Env = append(cleanEnv(), "SPIDER_TDL_PACKAGE_DIR="+built.Packages)
		var out, log strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &log
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), log.String(), cmd.ProcessState.ExitCode()
	}
	for _, flag := range []string{"--help", "-h"} {
		if stdout, stderr, status := run(nil, flag); !strings.Contains(stdout, says) || stderr != "" || status != 0 {
			t.Errorf("%s: %q, %q, status %d", flag, stdout, stderr, status)
		}
	}
	// Stdin is empty: the end of the work.
	if stdout, stderr, status := run(nil, "--unknown", "1", "2"); stdout != "" || stderr != "" || status != 0 {
		t.Errorf("other arguments: %q, %q, status %d", stdout, stderr, status)
	}

	main, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	defer main.Close()
	number, err := unix.IoctlGetInt(int(main.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(main.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals: ", err)
	}
	defer terminal.Close()
	if stdout, stderr, status := run(terminal); stdout != "" || !strings.Contains(stderr, says) || status != 2 {
		t.Errorf("on a terminal: %q, %q, status %d", stdout, stderr, status)
	}
}
