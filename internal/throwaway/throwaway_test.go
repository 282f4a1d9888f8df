package throwaway

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func sh(script string) Command {
	return Command{Program: "sh", Args: []string{"-c", script}, MaxOutput: 1000}
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command Command
		stdout  string
		reason  string
		exit    int
		signal  syscall.Signal
		cut     error
	}{
		"nothing":         {command: sh("")},
		"both":            {command: sh("echo out; echo one >&2; echo two >&2"), stdout: "out\n", reason: "two"},
		"status":          {command: sh("exit 7"), exit: 7},
		"signal":          {command: sh("kill -SEGV $$"), signal: syscall.SIGSEGV},
		"panic":           {command: sh("echo x >&2; echo 'panic: no' >&2; echo y >&2"), reason: "panic: no"},
		"no line end":     {command: sh("printf text >&2"), reason: "text"},
		"not UTF-8":       {command: sh(`printf '\377' >&2`), reason: "\uFFFD"},
		"stdin is empty":  {command: sh("cat")},
		"as much as may":  {command: sh("printf '%01000d' 0"), stdout: strings.Repeat("0", 1000)},
		"one byte more":   {command: sh("printf '%01001d' 0; exec sleep 1000"), stdout: strings.Repeat("0", 1000), cut: ErrTooMuch, signal: syscall.SIGKILL},
		"much on stderr":  {command: sh("yes xxxxxxx | head -100000 >&2; echo end >&2"), reason: "end"},
		"a leftover":      {command: sh("sleep 1000 & echo here"), stdout: "here\n"},
		"out of reach":    {command: sh("setsid sleep 0.7 & echo here"), stdout: "here\n"},
		"its environment": {command: Command{Program: "sh", Args: []string{"-c", "echo $A"}, Env: []string{"A=b"}, MaxOutput: 10}, stdout: "b\n"},
		"its folder":      {command: Command{Program: "pwd", Dir: "/", MaxOutput: 10}, stdout: "/\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Run(t.Context(), c.command)
			if err != nil {
				t.Fatal(err)
			}
			exit := 0
			if r.Status.Exited() {
				exit = r.Status.ExitStatus()
			}
			signal := syscall.Signal(0)
			if r.Status.Signaled() {
				signal = r.Status.Signal()
			}
			if string(r.Stdout) != c.stdout || r.Reason() != c.reason || exit != c.exit || signal != c.signal || !errors.Is(r.Cut, c.cut) {
				t.Errorf("stdout %.50q, reason %.50q, exit %d, %v, cut %v", r.Stdout, r.Reason(), exit, signal, r.Cut)
			}
			if len(r.Stderr) > maxStderr {
				t.Errorf("%d bytes of stderr", len(r.Stderr))
			}
		})
	}
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Command{Program: "spider-there-is-no-such-program"}); !errors.Is(err, exec.ErrNotFound) {
		t.Error(err)
	}
	if _, err := Run(t.Context(), Command{Program: t.TempDir()}); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// The end of the context kills the process and what it has started.
func TestContext(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	child := make(chan int, 1)
	go func() {
		defer cancel()
		text, _ := os.ReadFile(fifo)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Error(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Error(err)
		}
		child <- fd
	}()
	// The child holds the pipes, and so does not keep Run waiting.
	r, err := Run(ctx, sh("sleep 1000 & echo $! >"+fifo+"; wait"))
	if err != nil || !errors.Is(r.Cut, context.Canceled) || r.Status.Signal() != syscall.SIGKILL {
		t.Errorf("%+v, %v", r, err)
	}
	fd := <-child
	defer unix.Close(fd)
	const patience = 30_000 // ms
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if ready == 0 || err != nil {
			t.Errorf("its child lives: %v", err)
		}
		return
	}
}
