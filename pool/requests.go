package pool

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// requests is the parent's end of an executor's stdin. The calling goroutine itself
// writes. If the pipe is full it waits until there is room, at most to the deadline, or
// for the end of the process, whoever else may still hold the other end open.
type requests struct {
	mu       sync.Mutex // held while the descriptors are in use
	fd       int        // non-blocking; -1 when closed
	process  int        // a pidfd, not owned
	deadline time.Time  // zero: none
	polled   [2]unix.PollFd
}

// number is the descriptor, for poll; -1 when closed.
func (p *requests) number() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int32(p.fd)
}

// setDeadline is for the Write after it.
func (p *requests) setDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	p.deadline = t
	return nil
}

// Write writes all of b, or says why not: EPIPE when the process has ended,
// os.ErrDeadlineExceeded.
func (p *requests) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write(b)
}

// tryWrite is Write, but does nothing if another goroutine is in one.
func (p *requests) tryWrite(b []byte, deadline time.Time) {
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		p.deadline = deadline
		_, _ = p.write(b)
	}
}

func (p *requests) write(b []byte) (int, error) {
	if p.fd < 0 {
		return 0, os.ErrClosed
	}
	written := 0
	for written < len(b) {
		n, err := unix.Write(p.fd, b[written:])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			ended, err := p.wait()
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

// wait blocks until there is room in the pipe or the process has ended.
func (p *requests) wait() (ended bool, err error) {
	p.polled[0] = unix.PollFd{Fd: int32(p.fd), Events: unix.POLLOUT}
	p.polled[1] = unix.PollFd{Fd: int32(p.process), Events: unix.POLLIN}
	for {
		var timeout *unix.Timespec
		if !p.deadline.IsZero() {
			left := time.Until(p.deadline)
			if left <= 0 {
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

// close waits for a Write that is under way. Closed twice, it is
// os.ErrClosed.
func (p *requests) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fd < 0 {
		return os.ErrClosed
	}
	err := unix.Close(p.fd)
	p.fd = -1
	return os.NewSyscallError("close", err)
}
