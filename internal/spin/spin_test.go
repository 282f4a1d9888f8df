package spin

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// many is a spinner as on a machine with cores enough.
func many(limit time.Duration) Spinner { return Spinner{limit: limit} }

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func TestRead(t *testing.T) {
	r, w := pipe(t)
	s := many(time.Millisecond)
	b := make([]byte, 10)
	if n, ok := s.Read(r, b); ok {
		t.Fatalf("%d bytes of an empty pipe", n)
	}
	s.pause = 0
	if _, err := unix.Write(w, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if n, ok := s.Read(r, b); !ok || string(b[:n]) != "abc" {
		t.Errorf("%q, %v", b[:n], ok)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = unix.Write(w, []byte("later"))
	}()
	s.limit = time.Hour
	if n, ok := s.Read(r, b); !ok || string(b[:n]) != "later" {
		t.Errorf("%q, %v", b[:n], ok)
	}
	<-done
}

func TestEnd(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	unix.Close(p[1])
	s := many(time.Hour)
	if n, ok := s.Read(p[0], make([]byte, 1)); !ok || n != 0 {
		t.Errorf("%d, %v", n, ok)
	}
}

// Looks in vain become rare, and a success makes up for all of them.
func TestGivesUpForAWhile(t *testing.T) {
	r, w := pipe(t)
	s := many(1)
	b := make([]byte, 1)
	looks := 0
	const reads = 1000
	for range reads {
		if s.pause == 0 {
			looks++
		}
		if _, ok := s.Read(r, b); ok {
			t.Fatal("bytes of an empty pipe")
		}
	}
	// 1, 2, 4 ... 64, and then one in 65.
	if most := 7 + reads/maxPause; looks > most || looks < most/2 {
		t.Errorf("%d looks in %d reads", looks, reads)
	}
	s.pause = 0
	if _, err := unix.Write(w, b); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Read(r, b); !ok || s.last != 0 {
		t.Errorf("%v, %+v", ok, s)
	}
}

func TestWhatCannotBe(t *testing.T) {
	var never Spinner
	r, _ := pipe(t)
	if _, ok := never.Read(r, make([]byte, 1)); ok {
		t.Error("the zero Spinner reads")
	}
	s := many(time.Hour)
	if _, ok := s.Read(-1, make([]byte, 1)); ok || s.limit != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFromEnv(t *testing.T) {
	t.Setenv(Env, "2h")
	s := FromEnv()
	if want := Max; cores() > 1 && s.limit != want || cores() < 2 && s.limit != 0 {
		t.Errorf("%+v", s)
	}
	if _, set := os.LookupEnv(Env); set {
		t.Error("it is still set")
	}
	t.Setenv(Env, "soon")
	if s := FromEnv(); s.limit != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	r, w := pipe(t)
	s := many(time.Hour)
	b := make([]byte, 1)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := unix.Write(w, b); err != nil {
			t.Fatal(err)
		}
		s.Read(r, b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
