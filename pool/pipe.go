package pool

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is the parent's end of an executor's stdin or stdout. The calling goroutine
// itself writes, waits in ppoll and reads: nothing else has to be woken on the
// way. A wait ends with data, at the deadline, or when the process ends, whoever
// else may still hold the other end open.
type pipe struct {
	mu       sync.Mutex // held while the descriptors are in use
	fd       int        // non-blocking; -1 when closed
	process  int        // a pidfd, not owned
	deadline time.Time  // zero: none
	polled   [2]unix.PollFd
}

// makePipe returns a pipe of which one end, ours, does not block.
func makePipe(ours int) (fds [2]int, err error) {
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fds, os.NewSyscallError("pipe2", err)
	}
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return fds, os.NewSyscallError("fcntl", err)
	}
	return fds, nil
}

// setDeadline is for the Read or Write after it.
func (p *pipe) setDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	p.deadline = t
	return nil
}

// Read returns what is there, io.EOF at the end of the pipe or of the process,
// or an error that is os.ErrDeadlineExceeded.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return 0, os.ErrClosed
	}
	for {
		ended, err := p.wait(unix.POLLIN)
		if err != nil {
			return 0, err
		}
		n, err := unix.Read(p.fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN && ended:
			// It said no more than this, though something else holds the pipe.
			return 0, io.EOF
		case err == unix.EAGAIN:
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of b, or says why not: EPIPE when the process has ended,
// os.ErrDeadlineExceeded.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(b)
}

// tryWrite is Write, but does nothing if another goroutine is in one.
func (p *pipe) tryWrite(b []byte, deadline time.Time) {
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		p.deadline = deadline
		_, _ = p.write(b)
	}
}

func (p *pipe) write(b []byte) (int, error) {
	if p.fd < 0 {
		return 0, os.ErrClosed
	}
	written := 0
	for written < len(b) {
		n, err := unix.Write(p.fd, b[written:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			ended, err := p.wait(unix.POLLOUT)
			if err == nil && ended {
				err = os.NewSyscallError("write", unix.EPIPE)
			}
			if err != nil {
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

// wait blocks until the pipe is ready or the process has ended.
func (p *pipe) wait(events int16) (ended bool, err error) {
	p.polled[0] = unix.PollFd{Fd: int32(p.fd), Events: events}
	p.polled[1] = unix.PollFd{Fd: int32(p.process), Events: unix.POLLIN}
	for {
		var timeout *unix.Timespec
		if !p.deadline.IsZero() {
			left := time.Until(p.deadline)
			if left <= 0 {
				// Also if there is more to read: it might never end.
				return false, os.ErrDeadlineExceeded
			}
			ts := unix.NsecToTimespec(int64(left))
			timeout = &ts
		}
		n, err := unix.Ppoll(p.polled[:], timeout, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return false, os.NewSyscallError("ppoll", err)
		case n == 0:
			return false, os.ErrDeadlineExceeded
		default:
			return p.polled[1].Revents != 0, nil
		}
	}
}

// close waits for a Read or Write that is under way. Closed twice, it is
// os.ErrClosed.
func (p *pipe) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(p.fd)
	p.fd = -1
	return os.NewSyscallError("close", err)
}
