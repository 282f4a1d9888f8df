package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxOutput is how much a package may say, in bytes.
	maxOutput = 4 << 20

	// maxStderr is how much is kept of what it writes to stderr: the last of it.
	maxStderr = 16 << 10

	// pipePatience is how long, after the process and its group are gone, something
	// that left the group may keep a pipe open.
	pipePatience = 200 * time.Millisecond
)

// errTooMuch says that a process has written more than maxOutput bytes.
var errTooMuch = errors.New("too much output")

// probed is how a throwaway process ended.
type probed struct {
	stdout []byte
	stderr string // the last of it
	status syscall.WaitStatus

	// cut says why the process was killed, if it was: the context's error, or
	// errTooMuch.
	cut error
}

// probe runs a program to its end or to that of ctx, and kills what it leaves in its
// group. When it returns, the process is gone. The error says that it could not be
// started.
func probe(ctx context.Context, env []string, program string, args ...string) (probed, error) {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return probed{}, err
	}
	defer outRead.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		outWrite.Close()
		return probed{}, err
	}
	defer errRead.Close()

	cmd := exec.Command(program, args...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = outWrite, errWrite
	// The death signal is for the case that this process is killed meanwhile. It comes
	// when the starting thread ends, hence the lock in the goroutine below.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started, exited, reap := make(chan error), make(chan struct{}), make(chan struct{})
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		outWrite.Close()
		errWrite.Close()
		started <- err
		if err != nil {
			return
		}
		// Not reaped yet, so that its number stays its own until the group is killed.
		var info unix.Siginfo
		for unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		close(exited)
		<-reap
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		<-reaped
		return probed{}, err
	}

	tooMuch := make(chan struct{})
	stdout, stderr := &limited{full: tooMuch}, &last{}
	copied := make(chan struct{}, 2)
	for _, c := range []struct {
		to   io.Writer
		from io.Reader
	}{{stdout, outRead}, {stderr, errRead}} {
		go func() {
			_, _ = io.Copy(c.to, c.from)
			copied <- struct{}{}
		}()
	}

	var p probed
	select {
	case <-exited:
	case <-ctx.Done():
		p.cut = ctx.Err()
	case <-tooMuch:
		p.cut = errTooMuch
	}
	// The leader is a zombie or alive, so the number is its group's.
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	<-exited
	close(reap)
	<-reaped

	late := time.Now().Add(pipePatience)
	_ = outRead.SetReadDeadline(late)
	_ = errRead.SetReadDeadline(late)
	<-copied
	<-copied
	p.stdout, p.stderr = stdout.b.Bytes(), stderr.text()
	p.status, _ = cmd.ProcessState.Sys().(syscall.WaitStatus)
	if p.cut == nil && stdout.over {
		p.cut = errTooMuch
	}
	return p, nil
}

// limited keeps maxOutput bytes; at more it closes full and takes the rest for nothing.
type limited struct {
	b    bytes.Buffer
	over bool
	full chan struct{}
}

func (l *limited) Write(b []byte) (int, error) {
	if !l.over && l.b.Len()+len(b) > maxOutput {
		l.over = true
		close(l.full)
	}
	if !l.over {
		l.b.Write(b)
	}
	return len(b), nil
}

// last keeps the last maxStderr bytes.
type last struct{ b []byte }

func (l *last) Write(b []byte) (int, error) {
	l.b = append(l.b, b...)
	if over := len(l.b) - maxStderr; over > 0 {
		l.b = append(l.b[:0], l.b[over:]...)
	}
	return len(b), nil
}

func (l *last) text() string { return strings.ToValidUTF8(string(l.b), "\uFFFD") }

// reason is the line of stderr that says most: a panic's message, else the last one.
func reason(stderr string) string {
	lines := strings.Split(strings.TrimRight(stderr, "\n"), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// signalName gives, for example, SIGSEGV (segmentation fault).
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return fmt.Sprintf("%s (%s)", name, sig)
	}
	return fmt.Sprintf("signal %d", int(sig))
}
