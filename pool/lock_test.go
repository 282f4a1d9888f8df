package pool_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/pool"
)

// Executors that keep a pipe's lock: the kernel holds it while it waits for the memory
// that it reads from or writes to.
func init() {
	transfer := func(number, fd uintptr, waits func()) {
		page := unfilled(waits)
		_, _, _ = unix.Syscall(number, fd, uintptr(unsafe.Pointer(&page[0])), uintptr(len(page)))
		hang()
	}
	behaviours["answers from memory that never comes"] = func() { receive(); transfer(unix.SYS_WRITE, 1, func() {}) }
	behaviours["reads to memory that never comes"] = func() { transfer(unix.SYS_READ, 0, func() { say("waits") }) }
	behaviours["writes to stderr from memory that never comes"] = func() {
		e := receive()
		transfer(unix.SYS_WRITE, 2, func() { write(answer(echo(e))) })
	}
}

// unfilled is a page that never comes. It says when somebody waits for it.
func unfilled(waits func()) []byte {
	const (
		size  = 4096
		api   = 0xc018aa3f // UFFDIO_API
		watch = 0xc020aa00 // UFFDIO_REGISTER
	)
	must := func(what string, err error) {
		if err != nil {
			say(what + ": " + err.Error())
			os.Exit(97)
		}
	}
	fd, err := userfaultfd()
	must("userfaultfd", err)
	ioctl := func(request uintptr, argument unsafe.Pointer) {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
			must("ioctl", errno)
		}
	}
	ioctl(api, unsafe.Pointer(&[3]uint64{0xaa}))
	page, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must("mmap", err)
	const missing = 1
	ioctl(watch, unsafe.Pointer(&[4]uint64{uint64(uintptr(unsafe.Pointer(&page[0]))), size, missing}))
	go func() {
		for {
			if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); n > 0 {
				waits()
				return
			}
		}
	}()
	return page
}

func userfaultfd() (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|unix.O_NONBLOCK, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// A process that keeps the lock of a pipe keeps nobody beyond the deadline.
func TestTimeoutAtALockedPipe(t *testing.T) {
	t.Parallel()
	fd, err := userfaultfd()
	for name := range behaviours {
		if strings.HasSuffix(name, " memory that never comes") {
			used.Store(name, true)
		}
	}
	if err != nil {
		t.Skip("userfaultfd: ", err)
	}
	unix.Close(fd)
	check := func(t *testing.T, p *pool.Process) {
		t.Helper()
		var err error
		within(t, "Execute", func() { _, err = p.Execute(request(small), 50*time.Millisecond) })
		var timeout *pool.TimeoutError
		if !errors.As(err, &timeout) || timeout.Exit.Killed != "no answer within 50ms" {
			t.Errorf("%v", err)
		}
		mustBeGone(t, p)
	}
	t.Run("of answers", func(t *testing.T) {
		t.Parallel()
		check(t, start(t, "answers from memory that never comes"))
	})
	t.Run("of requests", func(t *testing.T) {
		t.Parallel()
		came := make(chan string, 1)
		p := start(t, "reads to memory that never comes", func(c *pool.ProcessConfig) {
			c.OnStderr = func(line string) { came <- line }
		})
		r := request(small)
		if err := p.Send(&r); err != nil {
			t.Fatal(err)
		}
		within(t, "it waits", func() {
			if line := <-came; line != "waits" {
				t.Error(line)
			}
		})
		check(t, p)
	})
	t.Run("of stderr", func(t *testing.T) {
		t.Parallel()
		p := start(t, "writes to stderr from memory that never comes", func(c *pool.ProcessConfig) {
			c.OnStderr = func(string) {}
		})
		var err error
		within(t, "Execute", func() { _, err = p.Execute(request(small), time.Second) })
		// It has answered, unless the machine is very busy.
		var timeout *pool.TimeoutError
		if err != nil && !errors.As(err, &timeout) {
			t.Errorf("%v", err)
		}
		within(t, "its end", func() { p.Wait() })
		mustBeGone(t, p)
	})
}
