package pool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/spin"
)

// answersFrom is the reader of a pipe, and the other end, which something may hold open
// after the process has ended.
func answersFrom(t testing.TB) (a *answers, w int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	a = &answers{fd: fds[0], processors: math.MaxInt32, long: rand.IntN(2) == 0}
	if rand.IntN(2) == 0 {
		a.spin = spin.New(100 * time.Microsecond)
	}
	return a, fds[1]
}

// all reads to the end.
func all(a *answers) ([]byte, error) {
	var got []byte
	buffer := make([]byte, 8<<10)
	for {
		n, err := a.Read(buffer)
		got = append(got, buffer[:n]...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// dawdle passes some of a moment, of random length.
func dawdle() {
	for range rand.IntN(5000) {
		_ = rand.Int()
	}
}

// rounds is how many timings a test tries.
func rounds() int {
	if testing.Short() {
		return 200
	}
	return 3000
}

func TestAnswersDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*answers)
	}{
		{"one that comes", func(a *answers) { a.setDeadline(time.Now().Add(5 * time.Millisecond)) }},
		{"one that is over", func(a *answers) { a.setDeadline(time.Now().Add(-time.Hour)) }},
		{"now", func(a *answers) { a.setDeadline(time.Now()) }},
		{"after a later one", func(a *answers) {
			a.setDeadline(time.Now().Add(time.Hour))
			a.setDeadline(time.Now().Add(5 * time.Millisecond))
		}},
		{"after an earlier one", func(a *answers) {
			a.setDeadline(time.Now().Add(time.Millisecond))
			a.setDeadline(time.Now().Add(10 * time.Millisecond))
		}},
		{"after none", func(a *answers) {
			a.setDeadline(time.Now().Add(time.Millisecond))
			a.setDeadline(time.Time{})
			a.setDeadline(time.Now().Add(10 * time.Millisecond))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, w := answersFrom(t)
			defer unix.Close(w)
			defer a.close()
			for i := range 3 {
				c.set(a)
				if n, err := a.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("read %d: %d, %v", i, n, err)
				}
			}
			// The stream is spoiled, whatever is set.
			a.setDeadline(time.Time{})
			if n, err := a.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
}

// A deadline that is not reached changes nothing, however many there have been.
func TestAnswersDeadlinesThatPass(t *testing.T) {
	t.Parallel()
	a, w := answersFrom(t)
	defer unix.Close(w)
	defer a.close()
	buffer := make([]byte, 10)
	for i := range rounds() {
		a.setDeadline(time.Now().Add(time.Duration(rand.IntN(3)+1) * time.Hour))
		if i%3 == 0 {
			a.setDeadline(time.Time{})
		}
		if _, err := unix.Write(w, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if n, err := a.Read(buffer); n != 1 || err != nil || buffer[0] != 'x' {
			t.Fatalf("%d, %v", n, err)
		}
	}
}

// Data at the same moment as the deadline is read whole, or not at all, and what
// interrupts is never taken for data.
func TestAnswersDeadlineWithData(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 100)
	came, late := 0, 0
	for range rounds() {
		a, w := answersFrom(t)
		a.setDeadline(time.Now().Add(time.Duration(rand.IntN(200)) * time.Microsecond))
		var writing sync.WaitGroup
		writing.Go(func() {
			time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			_, _ = unix.Write(w, data)
		})
		buffer := make([]byte, 200)
		n, err := a.Read(buffer)
		switch {
		case err == nil && bytes.Equal(buffer[:n], data):
			came++
		case n == 0 && errors.Is(err, os.ErrDeadlineExceeded):
			late++
			if n, err := a.Read(buffer); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after it: %q, %v", buffer[:n], err)
			}
		default:
			t.Fatalf("%q, %v", buffer[:n], err)
		}
		writing.Wait() // or the number of w may be another file's
		a.close()
		unix.Close(w)
	}
	t.Logf("%d came, %d were late", came, late)
}

// What a process has written is read when it has ended, whoever holds the pipe open, and
// nothing more.
func TestAnswersEnd(t *testing.T) {
	t.Parallel()
	for range rounds() {
		a, w := answersFrom(t)
		data := bytes.Repeat([]byte("x"), rand.IntN(3)*rand.IntN(30_000))
		go func() {
			dawdle()
			_, _ = unix.Write(w, data)
			dawdle()
			a.end()
		}()
		if got, err := all(a); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes of %d, the last %q, %v", len(got), len(data), got[max(0, len(got)-3):], err)
		}
		if n, err := a.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Fatalf("after it: %d, %v", n, err)
		}
		a.close()
		unix.Close(w)
	}
}

// A process ends inside a frame that lacks one byte: the one that interrupts is not it.
func TestAnswersEndInsideAFrame(t *testing.T) {
	t.Parallel()
	for range rounds() {
		a, w := answersFrom(t)
		frames := protocol.NewReader(a, 0)
		go func() {
			_, _ = unix.Write(w, []byte{0, 0, 0, 2, 'x'})
			dawdle()
			a.end()
		}()
		body, err := frames.ReadFrame()
		var truncated *protocol.TruncatedError
		if !errors.As(err, &truncated) || truncated.Got != 1 {
			t.Fatalf("%q, %v", body, err)
		}
		a.close()
		unix.Close(w)
	}
}

// The end comes while the pipe is full, so that nothing can be written into it.
func TestAnswersEndOfAFullPipe(t *testing.T) {
	t.Parallel()
	for range rounds() / 10 {
		a, w := answersFrom(t)
		if err := unix.SetNonblock(w, true); err != nil {
			t.Fatal(err)
		}
		chunk := bytes.Repeat([]byte("x"), 4096)
		written := 0
		var writing sync.WaitGroup
		writing.Go(func() {
			for tries := 0; tries < 100; {
				n, err := unix.Write(w, chunk)
				written += max(0, n)
				if err != nil {
					tries++
				}
			}
			a.end()
		})
		got, err := all(a)
		writing.Wait()
		if err != nil || len(got) != written || bytes.IndexByte(got, 0) >= 0 {
			t.Fatalf("%d bytes of %d, a zero at %d, %v", len(got), written, bytes.IndexByte(got, 0), err)
		}
		a.close()
		unix.Close(w)
	}
}

// Somebody else reads what an ended process has left: there is no waiting for more.
func TestAnswersEndIsRobbed(t *testing.T) {
	t.Parallel()
	a, w := answersFrom(t)
	defer unix.Close(w)
	defer a.close()
	if _, err := unix.Write(w, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	a.end()
	if n, err := a.Read(make([]byte, 10)); n != 10 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := unix.Read(a.fd, make([]byte, 1000)); n != 990 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := a.Read(make([]byte, 10)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

// A process's end and a deadline at the same moment: one of the two is told.
func TestAnswersEndAndDeadline(t *testing.T) {
	t.Parallel()
	ends, deadlines := 0, 0
	for range rounds() {
		a, w := answersFrom(t)
		a.setDeadline(time.Now().Add(time.Duration(rand.IntN(100)) * time.Microsecond))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
			a.end()
		}()
		switch n, err := a.Read(make([]byte, 10)); {
		case n == 0 && err == io.EOF:
			ends++
		case n == 0 && errors.Is(err, os.ErrDeadlineExceeded):
			deadlines++
		default:
			t.Fatalf("%d, %v", n, err)
		}
		<-ended
		a.close()
		unix.Close(w)
	}
	t.Logf("%d ends, %d deadlines", ends, deadlines)
}

// Where the byte cannot be written, a late read has the process ended, once, and is
// interrupted as soon as it can be.
func TestAnswersStuck(t *testing.T) {
	t.Parallel()
	a, w := answersFrom(t)
	defer unix.Close(w)
	defer a.close()
	fd := a.fd
	stuck := make(chan struct{})
	a.stuck = func() { close(stuck) }
	// As where there is no descriptor: of this number there is none.
	a.interrupting.Lock()
	a.state.Store(1<<stateBits | reading)
	a.deadline.Store(1)
	a.now.Store(1)
	a.fd = 1 << 29
	a.interrupting.Unlock()
	a.interrupt()
	must(t, "it is told", stuck)
	a.interrupting.Lock()
	a.fd = fd
	a.interrupting.Unlock()
	buffer := make([]byte, 10)
	if n, err := unix.Read(fd, buffer); n != 1 || err != nil {
		t.Errorf("it was not interrupted: %d, %v", n, err)
	}
	if !a.stopped(1<<stateBits | reading) {
		t.Error("it says that it was not interrupted")
	}
}

func BenchmarkAnswers(b *testing.B) {
	for _, limit := range []time.Duration{0, time.Hour} {
		b.Run(fmt.Sprint(limit), func(b *testing.B) {
			a, w := answersFrom(b)
			defer unix.Close(w)
			defer a.close()
			buffer := make([]byte, 100)
			for b.Loop() {
				if limit > 0 {
					a.setDeadline(time.Now().Add(limit))
				}
				_, _ = unix.Write(w, buffer[:50])
				if _, err := a.Read(buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Looks at the clock may overtake each other.
func TestAnswersKnowTheLatest(t *testing.T) {
	t.Parallel()
	var a answers
	a.deadline.Store(100)
	a.know(101)
	a.know(99)
	if !a.late() {
		t.Error("it is not late any more")
	}
}

// Without /proc a read ends too, whoever holds the pipe.
func TestAnswersBlind(t *testing.T) {
	t.Parallel()
	a, w := answersFrom(t)
	defer unix.Close(w)
	defer a.close()
	a.blind = true
	if _, err := unix.Write(w, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := a.Read(b); err != nil || string(b[:n]) != "abc" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	ended := make(chan error)
	go func() {
		got, err := all(a)
		if string(got) != "def" {
			err = errors.Join(err, fmt.Errorf("%q", got))
		}
		ended <- err
	}()
	if _, err := unix.Write(w, []byte("def")); err != nil {
		t.Fatal(err)
	}
	a.end()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	late, held := answersFrom(t)
	defer unix.Close(held)
	defer late.close()
	late.blind = true
	late.setDeadline(time.Now().Add(5 * time.Millisecond))
	if n, err := late.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}
