package pool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// numbered is n lines: 0, 1, ...
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// opened is a tail that reads a pipe, and the pipe's other end.
func opened(t *testing.T, keep int, observe func(string)) (*tail, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	tail := newTail(keep, observe)
	if err := tail.open(r); err != nil {
		t.Fatal(err)
	}
	return tail, w
}

// read is a tail that has read this text from a pipe, to its end.
func read(t *testing.T, keep int, observe func(string), text string) *tail {
	t.Helper()
	tail, w := opened(t, keep, observe)
	go func() {
		defer w.Close()
		_, _ = io.WriteString(w, text)
	}()
	tail.drain()
	return tail
}

// must waits for what should take no time, and fails the test where it does not come.
func must(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not after 30 s", what)
	}
}

func TestTailKeepsTheLast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		keep int
		text string
		want []string
	}{
		{"nothing", 3, "", nil},
		{"fewer than fit", 3, numbered(2), []string{"0", "1"}},
		{"as many as fit", 3, numbered(3), []string{"0", "1", "2"}},
		{"one more", 3, numbered(4), []string{"1", "2", "3"}},
		{"twice around", 3, numbered(6), []string{"3", "4", "5"}},
		{"twice around and one", 3, numbered(7), []string{"4", "5", "6"}},
		{"one", 1, numbered(5), []string{"4"}},
		{"no line end", 3, "a\nb", []string{"a", "b"}},
		{"empty lines", 3, "\n\r\n\n", []string{"", "", ""}},
		{"CRLF", 3, "a\r\nb\rc\r\n", []string{"a", "b\rc"}},
		{"CR at the end", 3, "a\r", []string{"a"}},
		{"not text", 3, "\xff\x00\n", []string{"\xff\x00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tail := read(t, c.keep, nil, c.text)
			if diff := cmp.Diff(c.want, tail.lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTailKeepsADefault(t *testing.T) {
	t.Parallel()
	tail := read(t, 0, nil, numbered(1000))
	if lines := tail.lines(); len(lines) != defaultStderrLines || lines[len(lines)-1] != "999" {
		t.Errorf("kept %q", lines)
	}
}

// What is handed out does not change when more is read.
func TestTailLinesAreACopy(t *testing.T) {
	t.Parallel()
	tail := newTail(2, nil)
	feed(tail, "a\nb\n")
	lines := tail.lines()
	feed(tail, "c\nd\n")
	if diff := cmp.Diff([]string{"a", "b"}, lines); diff != "" {
		t.Error(diff)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		length  int
		dropped int // bytes of the line that OnStderr does not get
	}{
		{maxTailLine, 0},
		{maxTailLine + 1, 0},
		{maxStderrLine, 0},
		{maxStderrLine + 1, 1},
		{3*maxStderrLine + 5, 2*maxStderrLine + 5},
	} {
		var observed []string
		text := strings.Repeat("x", c.length)
		tail := read(t, 4, func(line string) { observed = append(observed, line) }, text+"\nnext\n")

		want := text
		if c.dropped > 0 {
			want = fmt.Sprintf("%s... (%d more bytes)", text[:maxStderrLine], c.dropped)
		}
		if len(observed) != 2 || observed[0] != want || observed[1] != "next" {
			t.Errorf("%d bytes: observed %d lines, the first of %d bytes: ...%s", c.length, len(observed), len(observed[0]),
				observed[0][max(0, len(observed[0])-40):])
		}
		if len(want) > maxTailLine {
			want = want[:maxTailLine] + "..."
		}
		if diff := cmp.Diff([]string{want, "next"}, tail.lines()); diff != "" {
			t.Errorf("%d bytes: %s", c.length, diff)
		}
	}
}

// What a process has written until its end counts, and nothing that comes after it: the
// pipe may be held open, and written to.
func TestTailFinishes(t *testing.T) {
	t.Parallel()
	var observed []string
	var w *os.File
	tail, w := opened(t, 4, func(line string) {
		observed = append(observed, line)
		_, _ = io.WriteString(w, "of another\n")
	})
	_, _ = io.WriteString(w, "first\nsecond\ncut sh")
	go tail.drain()
	tail.finish(30 * time.Second)
	must(t, "drain ends", tail.drained)
	if n := len(observed); n < 3 || observed[0] != "first" || observed[1] != "second" || !strings.HasPrefix(observed[2], "cut sh") || n > 8 {
		t.Errorf("%q", observed)
	}
	if err := tail.file.Close(); err == nil {
		t.Error("the pipe was left open")
	}
}

// Who catches up gets all that has been written, also what has no line end, without
// waiting for the goroutine that drains.
func TestTailCatchesUp(t *testing.T) {
	t.Parallel()
	var observed []string
	tail, w := opened(t, 4, func(line string) { observed = append(observed, line) })
	go tail.drain()
	var want []string
	for i := range 1000 {
		fmt.Fprintf(w, "line %d\nrest", i)
		tail.catchUp(time.Time{})
		want = append(want, fmt.Sprintf("line %d", i), "rest")
	}
	w.Close()
	must(t, "drain ends", tail.drained)
	tail.catchUp(time.Time{})
	if diff := cmp.Diff(want, observed); diff != "" {
		t.Error(diff)
	}
}

// However much the pipe holds: a process can enlarge it.
func TestTailCatchesUpOnALargePipe(t *testing.T) {
	t.Parallel()
	lines := 0
	tail, w := opened(t, 4, func(string) { lines++ })
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) }); e != nil || err != nil {
		t.Skip("NOT TESTED: ", e, err)
	}
	text := numbered(100_000)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	tail.catchUp(time.Time{})
	if lines != 100_000 {
		t.Errorf("%d lines", lines)
	}
}

// One who writes without pause keeps waiting neither who catches up nor, at the end of the
// process, who finishes.
func TestTailOfEndlessWriter(t *testing.T) {
	t.Parallel()
	for name, observe := range map[string]func(string){"quick": func(string) {}, "slow": func(string) { time.Sleep(50 * time.Microsecond) }, "none": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tail, w := opened(t, 4, observe)
			written := make(chan struct{})
			go func() {
				defer close(written)
				// Short lines: writing them is quicker than telling them apart.
				much := bytes.Repeat([]byte("\n"), 1<<16)
				for {
					if _, err := w.Write(much); err != nil {
						return
					}
				}
			}()
			go tail.drain()
			for count := 0; count < 10; {
				tail.mu.Lock()
				count = tail.added
				tail.mu.Unlock()
				runtime.Gosched()
			}
			caught := make(chan struct{})
			go func() {
				defer close(caught)
				for range 3 {
					tail.catchUp(time.Now().Add(time.Second))
					tail.glance()
				}
			}()
			must(t, "who catches up returns", caught)
			finished := make(chan struct{})
			go func() {
				defer close(finished)
				tail.finish(time.Second)
			}()
			must(t, "who finishes returns", finished)
			must(t, "who drains ends", tail.drained)
			must(t, "the pipe is closed", written)
		})
	}
}

// An observer that does not return takes nothing away from the report, and delays the end
// no longer than it may.
func TestTailOfBlockedObserver(t *testing.T) {
	t.Parallel()
	blocked, release := make(chan struct{}), make(chan struct{})
	calls := 0
	tail, w := opened(t, 4, func(string) {
		calls++
		close(blocked) // the second call would panic
		<-release
	})
	go tail.drain()
	_, _ = io.WriteString(w, "one\n")
	must(t, "the first line", blocked)
	_, _ = io.WriteString(w, "two\nthree")
	begin := time.Now()
	tail.catchUp(begin.Add(10 * time.Millisecond)) // returns
	tail.hurry()
	tail.catchUp(time.Time{}) // returns at once
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		tail.finish(time.Hour)
	}()
	must(t, "who finishes returns", finished)
	if diff := cmp.Diff([]string{"one", "two", "three"}, tail.lines()); diff != "" {
		t.Error(diff)
	}
	close(release)
	must(t, "who drains ends", tail.drained)
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

// Of what a slow observer has no time for it gets the number.
func TestTailOfSlowObserver(t *testing.T) {
	t.Parallel()
	var observed []string
	tail, w := opened(t, 4, func(line string) {
		observed = append(observed, line)
		time.Sleep(time.Millisecond)
	})
	if _, err := io.WriteString(w, numbered(2000)); err != nil {
		t.Fatal(err)
	}
	tail.hurry() // as if it had been killed
	go tail.drain()
	tail.finish(time.Hour)
	must(t, "drain ends", tail.drained)
	n := len(observed)
	if want := fmt.Sprintf("... (%d more lines)", 2000-(n-1)); n < 2 || observed[n-1] != want {
		t.Errorf("%d lines, the last is %q, want %q", n, observed[n-1], want)
	}
	if last := tail.lines(); last[len(last)-1] != "1999" {
		t.Errorf("%q", last)
	}
}

// Where nobody listens, a glance keeps what has been written so far.
func TestTailGlances(t *testing.T) {
	t.Parallel()
	tail, w := opened(t, 4, nil)
	_, _ = io.WriteString(w, "a\nb")
	tail.glance()
	if diff := cmp.Diff([]string{"a", "b"}, tail.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestExitString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		exit Exit
		want string
	}{
		{Exit{}, "exit status 0"},
		{Exit{Code: 3}, "exit status 3"},
		{Exit{Code: -1, Signal: syscall.SIGSEGV}, "signal SIGSEGV (segmentation fault)"},
		{Exit{Code: -1, Signal: syscall.SIGKILL, Killed: "closed"}, "signal SIGKILL (killed), killed by its parent: closed"},
		{Exit{Code: -1, Signal: 63}, "signal 63"},
	} {
		if got := c.exit.String(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.exit, got, c.want)
		}
	}
}

// Each error says which task it is about and what happened to it.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	killed := Exit{PID: 7, Code: -1, Signal: syscall.SIGKILL, Killed: "closed"}
	for _, c := range []struct {
		err  error
		says []string
	}{
		{&SpawnError{Executor: "/x", Err: syscall.ENOENT}, []string{"/x", "no such file"}},
		{&TooLargeError{Package: "p", Task: "t", Size: 11, Limit: 10}, []string{"task t of package p", "11", "10", "pass less"}},
		{&TooLargeError{Package: "p", Task: "t", Size: 11, Limit: 10, Answer: true}, []string{"task t of package p", "answer", "11", "10", "return less", "MaxFrame"}},
		{&TimeoutError{Report: Report{Package: "p", Task: "t"}, Limit: 1e9}, []string{"task t of package p", "1s"}},
		{&SpawnError{Err: syscall.ENOENT}, []string{"an executor: no such file"}},
		{&ProtocolError{Report: Report{Package: "p", Task: "t", Program: "/x"}, Err: io.ErrNoProgress}, []string{"task t of package p", "executor /x", io.ErrNoProgress.Error()}},
		{&CrashError{Report{Package: "p", Task: "t", Exit: killed, Served: 5, Stderr: []string{"a", "b"}}},
			[]string{"task t of package p", "pid 7", "SIGKILL", "closed", "5 requests", "last line on stderr: b"}},
		{&ProtocolError{Report: Report{Program: "/x"}, Err: io.ErrNoProgress}, []string{"the executor /x does not", "check that it is an executor"}},
		{&TimeoutError{Limit: 1e9}, []string{"no answer within 1s", "allow more time"}},
		{&TimeoutError{Limit: 1e9, Soft: true}, []string{"no answer within 1s"}},
		{&CrashError{Report{Phase: PhaseRun, Exit: killed}}, []string{"call again only if running the task twice does no harm"}},
		{&CrashError{Report{Exit: killed}}, []string{"the executor (pid 7) ended"}},
		{&CrashError{Report{Exit: killed, Program: "/x"}}, []string{"the executor /x (pid 7) ended"}},
		{&ExecutorError{Package: "p", Task: "t", Kind: InvalidLibrary, Message: "m"}, []string{"package p", "m"}},
	} {
		for _, part := range c.says {
			if !strings.Contains(c.err.Error(), part) {
				t.Errorf("%q lacks %q", c.err, part)
			}
		}
		if strings.HasPrefix(c.err.Error(), ":") {
			t.Errorf("%q begins with nothing", c.err)
		}
	}
}
