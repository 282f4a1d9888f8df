package executor

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pipe returns a pipe's ends, which the test closes.
func pipe(t *testing.T, flags int) (r, w *end) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|flags); err != nil {
		t.Fatal(err)
	}
	r, w = &end{fd: p[0]}, &end{fd: p[1]}
	t.Cleanup(r.close)
	t.Cleanup(w.close)
	return r, w
}

// end is one end of a pipe, closed at most once.
type end struct {
	fd     int
	closed atomic.Bool
}

func (e *end) close() {
	if !e.closed.Swap(true) {
		unix.Close(e.fd)
	}
}

// asleep waits until blocked says so.
func asleep(t *testing.T, blocked func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !blocked(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not wait")
		}
	}
}

func TestConnRead(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]int{"blocking": 0, "non-blocking": unix.O_NONBLOCK} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := pipe(t, flags)
			_, out := pipe(t, 0)
			c := &conn{in: r.fd, out: out.fd}
			type result struct {
				text string
				err  error
			}
			results := make(chan result)
			go func() {
				b := make([]byte, 100)
				for {
					n, err := c.Read(b)
					results <- result{string(b[:n]), err}
					if err != nil {
						return
					}
				}
			}()
			for _, text := range []string{"first", "second"} {
				if _, err := unix.Write(w.fd, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if got := <-results; got.err != nil || got.text != text {
					t.Errorf("got %+v, want %q", got, text)
				}
			}
			w.close()
			if got := <-results; got.err != io.EOF {
				t.Errorf("at the end: %+v", got)
			}
		})
	}
}

// An answer larger than the pipe arrives whole, also where a write takes only a
// part of it, or nothing at first.
func TestConnWrite(t *testing.T) {
	t.Parallel()
	answer := make([]byte, 3<<20)
	for i := range answer {
		answer[i] = byte(i * 7 >> 3)
	}
	for name, flags := range map[string]int{"blocking": 0, "non-blocking": unix.O_NONBLOCK} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w := pipe(t, flags)
			c := &conn{out: w.fd}
			written := make(chan error, 1)
			go func() {
				n, err := c.Write(answer)
				if err == nil && n != len(answer) {
					err = io.ErrShortWrite
				}
				written <- err
				w.close()
			}()
			// Only once the pipe is full: the rest must then be written in parts.
			asleep(t, func() bool {
				n, err := unix.IoctlGetInt(r.fd, unix.TIOCINQ)
				return err == nil && n >= 64<<10
			})
			reader := &conn{in: r.fd}
			got, err := io.ReadAll(reader)
			if err != nil || !bytes.Equal(got, answer) {
				t.Errorf("%d bytes arrived: %v", len(got), err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	}
}

// A test binary ignores no signal, but the Go runtime turns SIGPIPE on such a
// descriptor into an error.
func TestConnWriteToNobody(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]int{"blocking": 0, "non-blocking": unix.O_NONBLOCK} {
		r, w := pipe(t, flags)
		r.close()
		c := &conn{out: w.fd}
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

func TestConnReadError(t *testing.T) {
	t.Parallel()
	c := &conn{in: -1}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("%d, %v", n, err)
	}
	c = &conn{out: -1}
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("%d, %v", n, err)
	}
}

// A sender that has only closed its own end is there.
func TestConnAbandoned(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                    string
		closeStdin, closeStdout bool
		abandoned               bool
	}{
		{"both open", false, false, false},
		{"stdin closed", true, false, false},
		{"stdout closed", false, true, false},
		{"both closed", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in, requests := pipe(t, 0)
			answers, out := pipe(t, 0)
			if _, err := unix.Write(requests.fd, []byte("request")); err != nil {
				t.Fatal(err)
			}
			if c.closeStdin {
				requests.close()
			}
			if c.closeStdout {
				answers.close()
			}
			stdio := &conn{in: in.fd, out: out.fd}
			if got := stdio.abandoned(); got != c.abandoned {
				t.Errorf("abandoned: %v", got)
			}
			// What it has sent is there all the same.
			if n, err := stdio.Read(make([]byte, 100)); n != len("request") || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}
