package pool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// numbered is n lines: 0, 1, ...
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

// read has the tail read this text from a pipe, to its end.
func read(t *testing.T, tail *tail, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := tail.open(r); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.Close()
		_, _ = io.WriteString(w, text)
	}()
	tail.drain()
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
			tail := newTail(c.keep, nil)
			read(t, tail, c.text)
			if diff := cmp.Diff(c.want, tail.lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTailKeepsADefault(t *testing.T) {
	t.Parallel()
	tail := newTail(0, nil)
	read(t, tail, numbered(1000))
	if lines := tail.lines(); len(lines) != defaultStderrLines || lines[len(lines)-1] != "999" {
		t.Errorf("kept %q", lines)
	}
}

// What is handed out does not change when more is read.
func TestTailLinesAreACopy(t *testing.T) {
	t.Parallel()
	tail := newTail(2, nil)
	read(t, tail, "a\nb\n")
	lines := tail.lines()
	read(t, tail, "c\nd\n")
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
		tail := newTail(4, func(line string) { observed = append(observed, line) })
		text := strings.Repeat("x", c.length)
		read(t, tail, text+"\nnext\n")

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

// What came before the deadline of a pipe that is held open counts.
func TestTailEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	tail := newTail(4, func(line string) {
		if line == "whole" {
			_ = r.SetReadDeadline(time.Now())
		}
	})
	if err := tail.open(r); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "whole\ncut sh")
	tail.drain()
	if diff := cmp.Diff([]string{"whole", "cut sh"}, tail.lines()); diff != "" {
		t.Error(diff)
	}
}

// Who catches up gets all that has been written, also what has no line end, without
// waiting for the goroutine that drains.
func TestTailCatchesUp(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var observed []string
	tail := newTail(4, func(line string) { observed = append(observed, line) })
	if err := tail.open(r); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() {
		tail.drain()
		close(drained)
	}()
	var want []string
	for i := range 1000 {
		fmt.Fprintf(w, "line %d\nrest", i)
		tail.catchUp()
		want = append(want, fmt.Sprintf("line %d", i), "rest")
	}
	w.Close()
	<-drained
	tail.catchUp()
	if diff := cmp.Diff(want, observed); diff != "" {
		t.Error(diff)
	}
}

// One who writes without pause keeps waiting neither who catches up nor, once the
// deadline is there, who drains.
func TestTailOfEndlessWriter(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var lines atomic.Int64
	tail := newTail(4, func(string) { lines.Add(1) })
	if err := tail.open(r); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		// Short lines: writing them is quicker than telling them apart.
		much := bytes.Repeat([]byte("\n"), pipeCapacity)
		for err == nil {
			_, err = w.Write(much)
		}
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		tail.drain()
	}()
	caught := make(chan struct{})
	go func() {
		defer close(caught)
		for lines.Load() < 2*pipeCapacity {
			runtime.Gosched()
		}
		for range 3 {
			tail.catchUp()
		}
	}()
	await := func(what string, done <-chan struct{}) {
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Errorf("%s waits for the writer to pause", what)
		}
	}
	await("who catches up", caught)
	if err := r.SetReadDeadline(time.Now()); err != nil {
		t.Error(err)
	}
	await("who drains", drained)
	r.Close()
	<-written
	w.Close()
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
		{&TooLargeError{Package: "p", Task: "t", Size: 11, Limit: 10}, []string{"task t of package p", "11", "10"}},
		{&TimeoutError{Report: Report{Package: "p", Task: "t"}, Limit: 1e9}, []string{"task t of package p", "1s"}},
		{&SpawnError{Err: syscall.ENOENT}, []string{"an executor: no such file"}},
		{&ProtocolError{Report: Report{Package: "p", Task: "t", Program: "/x"}, Err: io.ErrNoProgress}, []string{"task t of package p", "executor /x", io.ErrNoProgress.Error()}},
		{&CrashError{Report{Package: "p", Task: "t", Exit: killed, Served: 5, Stderr: []string{"a", "b"}}},
			[]string{"task t of package p", "pid 7", "SIGKILL", "closed", "5 requests", "last line on stderr: b"}},
		{&ProtocolError{Report: Report{Program: "/x"}, Err: io.ErrNoProgress}, []string{"the executor /x does not"}},
		{&TimeoutError{Limit: 1e9}, []string{"no answer within 1s"}},
		{&TimeoutError{Limit: 1e9, Soft: true}, []string{"no answer within 1s"}},
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
