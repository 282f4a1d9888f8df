package executor

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/spin"
)

// conn is the parent's end of the protocol: the descriptors that were 0 and 1
// when the process started. Reads and writes are plain system calls on the
// calling thread: no poller, no hand-over to another goroutine.
type conn struct {
	in, out int
	spin    spin.Spinner // looks for the next request before blocking
}

// privateFD is where the private descriptors start: above what code that loops
// over "the first few" descriptors closes.
const privateFD = 100

// takeStdio moves descriptors 0 and 1 out of the reach of tasks: they get
// private, close-on-exec numbers, stdin becomes empty, and stdout becomes
// stderr. Whatever a task, a C library or a child process prints, by whichever
// means, then lands on stderr and not between two frames.
func takeStdio() (*conn, error) {
	in, err := private(0)
	if err != nil {
		return nil, fmt.Errorf("move stdin: %w", err)
	}
	out, err := private(1)
	if err != nil {
		return nil, fmt.Errorf("move stdout: %w", err)
	}
	empty, err := emptyInput()
	if err != nil {
		return nil, fmt.Errorf("empty stdin: %w", err)
	}
	// Dup3, since not every architecture has Dup2.
	if err := unix.Dup3(empty, 0, 0); err != nil {
		return nil, fmt.Errorf("empty stdin: %w", err)
	}
	unix.Close(empty)
	if err := unix.Dup3(2, 1, 0); err != nil {
		return nil, fmt.Errorf("stdout to stderr: %w", err)
	}
	return &conn{in: in, out: out}, nil
}

// TakeStdio does that for a program that is no executor at the moment but has
// code of packages in it.
func TakeStdio() (io.ReadWriter, error) {
	// Not the pointer as it is: nil would be no nil.
	c, err := takeStdio()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func private(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, privateFD)
	if err != nil {
		// A limit on open files below privateFD.
		n, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	}
	return n, err
}

// emptyInput opens something that is always at its end: /dev/null, or in a root
// directory without one, a pipe nobody can write to.
func emptyInput() (int, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		return fd, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0, err
	}
	unix.Close(p[1])
	return p[0], nil
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		var err error
		n, ok := c.spin.Read(c.in, p)
		if !ok {
			n, err = unix.Read(c.in, p)
		}
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := await(c.in, unix.POLLIN); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// abandoned reports whether both ends have been closed on the other side: the
// parent sent a request and was gone before this process could watch it. An
// answer could reach nobody, and an endless task would never be stopped.
func (c *conn) abandoned() bool {
	fds := []unix.PollFd{{Fd: int32(c.in)}, {Fd: int32(c.out)}}
	if n, err := unix.Poll(fds, 0); err != nil || n < 2 {
		return false
	}
	// A pipe without readers is in error, a socket without a peer hung up.
	return fds[0].Revents&unix.POLLHUP != 0 && fds[1].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}

// Write writes all of p, or says why not.
func (c *conn) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n, err := unix.Write(c.out, p[written:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if err := await(c.out, unix.POLLOUT); err != nil {
				return written, err
			}
		case err != nil:
			return written, os.NewSyscallError("write", err)
		default:
			written += n
		}
	}
	return written, nil
}

// await blocks until fd is ready: for a parent that hands over descriptors in
// non-blocking mode.
func await(fd int, events int16) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		_, err := unix.Poll(fds, -1)
		if err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}
