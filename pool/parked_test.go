package pool

import (
	"math"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/spin"
)

// At most half of the processors are kept by goroutines that block.
func TestAnswersPark(t *testing.T) {
	t.Parallel()
	a, w := answersFrom(t)
	defer unix.Close(w)
	defer a.close()
	a.spin = spin.Spinner{}
	buffer := make([]byte, 10)
	read := func() {
		t.Helper()
		if _, err := unix.Write(w, []byte("abc")); err != nil {
			t.Fatal(err)
		}
		if n, err := a.Read(buffer); err != nil || string(buffer[:n]) != "abc" {
			t.Fatalf("%q, %v", buffer[:n], err)
		}
	}
	for _, c := range []struct {
		what       string
		processors int32
		long       bool
		parks      bool
	}{
		{"the only processor", 1, false, true},
		{"a long task", math.MaxInt32, true, true},
		{"one of many processors", math.MaxInt32, false, false},
		{"a long task again", math.MaxInt32, true, true},
	} {
		a.processors, a.long = c.processors, c.long
		for range 100 {
			read()
		}
		if parks := a.parked.file != nil; parks != c.parks {
			t.Errorf("%s: is in the poller: %v, want %v", c.what, parks, c.parks)
		}
	}
}

// What cannot be watched, or not be read without blocking, is read all the same.
func TestAnswersCannotPark(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(file.Fd())), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &answers{fd: fd, long: true}
	defer a.close()
	if got, err := all(a); err != nil || string(got) != "abc" {
		t.Errorf("%q, %v", got, err)
	}
}
