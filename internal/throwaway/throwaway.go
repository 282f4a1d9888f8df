// Package throwaway runs a program that is not trusted to end, to be brief, or to clean
// up: a package that is to describe itself, a library that is loaded to see whether it
// can be. internal/catalog and internal/inspect run all code of packages with it.
//
// It hides the process, its group and its pipes: when [Run] returns they are gone. It never
// reads more than it was allowed to, and knows nothing of packages. It is no sandbox: what
// runs has this user's rights.
package throwaway

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

// Command is what to run.
type Command struct {
	Program string // a path, or a name on PATH
	Args    []string
	Env     []string // nil: this process's own
	Dir     string   // "": this process's own

	// MaxOutput is how many bytes it may write to stdout. One more, and it is killed.
	MaxOutput int
}

// Result is how a program ended.
type Result struct {
	Stdout []byte // at most MaxOutput bytes
	Stderr string // the last of it, valid UTF-8
	Status syscall.WaitStatus

	// Cut says why it was killed: the context's error, or ErrTooMuch. Nil if it was not.
	Cut error
}

// ErrTooMuch says that a program has written more than MaxOutput bytes.
var ErrTooMuch = errors.New("too much output")

const (
	// maxStderr is how much is kept of what it writes to stderr: the last of it.
	maxStderr = 16 << 10

	// pipePatience is how long, after the process and its group are gone, something
	// that left the group may keep a pipe open.
	pipePatience = 200 * time.Millisecond
)

// Run runs a program to its end or to that of ctx, and kills what it leaves in its
// process group. Its stdin is empty. When Run returns, the process is gone. The error says
// that it could not be started.
func Run(ctx context.Context, c Command) (Result, error) {
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer outRead.Close()
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		outWrite.Close()
		return Result{}, err
	}
	defer errRead.Close()

	cmd := exec.Command(c.Program, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
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
		return Result{}, err
	}

	tooMuch := make(chan struct{})
	stdout, stderr := &limited{limit: c.MaxOutput, full: tooMuch}, &last{}
	copied := make(chan struct{}, 2)
	for _, way := range []struct {
		to   io.Writer
		from io.Reader
	}{{stdout, outRead}, {stderr, errRead}} {
		go func() {
			_, _ = io.Copy(way.to, way.from)
			copied <- struct{}{}
		}()
	}

	var r Result
	select {
	case <-exited:
	case <-ctx.Done():
		r.Cut = ctx.Err()
	case <-tooMuch:
		r.Cut = ErrTooMuch
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
	r.Stdout, r.Stderr = stdout.b.Bytes(), stderr.text()
	r.Status, _ = cmd.ProcessState.Sys().(syscall.WaitStatus)
	if r.Cut == nil && stdout.over {
		r.Cut = ErrTooMuch
	}
	return r, nil
}

// limited keeps limit bytes; at more it closes full and takes the rest for nothing.
type limited struct {
	b     bytes.Buffer
	limit int
	over  bool
	full  chan struct{}
}

func (l *limited) Write(b []byte) (int, error) {
	if l.over {
		return len(b), nil
	}
	kept := b[:min(len(b), l.limit-l.b.Len())]
	l.b.Write(kept)
	if len(kept) < len(b) {
		l.over = true
		close(l.full)
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

// Reason is the line of stderr that says most: a panic's message, else the last one.
func (r *Result) Reason() string {
	lines := strings.Split(strings.TrimRight(r.Stderr, "\n"), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// SignalName gives, for example, SIGSEGV (segmentation fault).
func SignalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return fmt.Sprintf("%s (%s)", name, sig)
	}
	return fmt.Sprintf("signal %d", int(sig))
}
