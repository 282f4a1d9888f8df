package pool

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goStack = `
goroutine 17 [running, locked to thread]:
main.f()
	/src/main.go:25 +0x7
`

var (
	exit2   = Exit{Code: 2}
	aborted = Exit{Code: -1, Signal: syscall.SIGABRT}
)

func TestPanicText(t *testing.T) {
	t.Parallel()
	const (
		rustPanic = "\nthread 'main' (4711) panicked at src/lib.rs:7:9:\nindex out of bounds\n" +
			"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
		rustEnd = "\nthread 'main' (4711) panicked at library/core/src/panicking.rs:225:5:\n" +
			"panic in a function that cannot unwind\nstack backtrace:\n   0: 0x5f\nthread caused non-unwinding panic. aborting.\n"
	)
	exit101 := Exit{Code: 101}
	for _, c := range []struct {
		name, text string
		exit       Exit
		want       string
	}{
		{"none", "a\nb\n", exit2, ""},
		{"nothing", "", exit2, ""},
		{"panic", "panic: boom\n" + goStack, exit2, "boom"},
		{"panic in a library", "panic: boom\n" + goStack, aborted, "boom"},
		{"all goroutines", "panic: boom\n\ngoroutine 1 gp=0x1 m=0 mp=0x2 [running]:\n", aborted, "boom"},
		{"status of a shell", "panic: boom\n" + goStack, Exit{Code: 134}, "boom"},
		{"of a fault", "panic: runtime error: nil\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x5]\n" + goStack, exit2, "runtime error: nil"},
		{"several lines", "panic: one\n\ttwo\n" + goStack, exit2, "one; two"},
		{"repeated", "panic: one [recovered]\n\tpanic: two\n\tmore\n\tpanic: three\n" + goStack, exit2, "one [recovered]; then panic: two; more; then panic: three"},
		{"fatal", "fatal error: all goroutines are asleep - deadlock!\n" + goStack, exit2, "fatal error: all goroutines are asleep - deadlock!"},
		{"stack overflow", "runtime: goroutine stack exceeds 67108864-byte limit\nruntime: sp=0x1 stack=[0x1, 0x2]\nfatal error: stack overflow\n\nruntime stack:\nruntime.throw()\n" + goStack,
			aborted, "fatal error: stack overflow: goroutine stack exceeds 67108864-byte limit"},
		{"memory", "unexpected fault address 0x7f\nfatal error: fault\n[signal SIGBUS: bus error]\n" + goStack, exit2, "fatal error: fault: unexpected fault address 0x7f"},
		{"signal", "SIGSEGV: segmentation violation\nPC=0x0 m=0 sigcode=1\nsignal arrived during cgo execution\n" + goStack, exit2, "SIGSEGV: segmentation violation"},
		{"without stacks", "panic: boom\n", exit2, "boom"},
		{"without stacks, of a fault", "a\npanic: boom\n[signal SIGSEGV: x]\n", exit2, "boom"},

		{"said and gone on", "panic: I feel like it\nwell, no\n", exit2, ""},
		{"said, then it happened", "panic: just said\nwell, no\npanic: boom\n" + goStack, exit2, "boom"},
		{"said, then at once it happened", "panic: just said\npanic: boom\n" + goStack, exit2, "boom"},
		{"the second trace ends it", "panic: of a child\n" + goStack + "panic: the child died\n" + goStack, exit2, "the child died"},
		{"after a line without an end", "working... panic: boom\n" + goStack, exit2, "boom"},
		{"in a line", "there was a panic: boom\n", exit2, ""},
		{"no signal's name", "SIGnal: boom\n" + goStack, exit2, ""},
		{"another signal", "panic: boom\n" + goStack, Exit{Code: -1, Signal: syscall.SIGSEGV}, ""},
		{"another status", "panic: boom\n" + goStack, exit101, ""},
		{"killed", "panic: boom\n" + goStack, Exit{Code: -1, Signal: syscall.SIGKILL, Killed: "closed"}, ""},
		{"unknown", "panic: boom\n" + goStack, Exit{Code: -1, Unknown: true}, ""},
		{"a trace's middle", goStack, exit2, ""},

		{"Rust", rustPanic, exit101, "index out of bounds, at src/lib.rs:7:9"},
		{"Rust in a library", rustPanic + rustEnd, aborted, "index out of bounds, at src/lib.rs:7:9"},
		{"Rust, only the end", rustEnd, aborted, "panic in a function that cannot unwind, at library/core/src/panicking.rs:225:5"},
		{"older Rust", "thread '<unnamed>' panicked at 'boom', src/lib.rs:7:9\n", exit101, "'boom', src/lib.rs:7:9"},
		{"Rust, the message is lost", "thread 'a' panicked at src/lib.rs:7:9:\n", exit101, "src/lib.rs:7:9"},
		{"Rust, the last counts", rustPanic + strings.ReplaceAll(rustPanic, "index", "other"), exit101, "other out of bounds, at src/lib.rs:7:9"},
		{"Rust's stack overflow", "\nthread 'main' (4711) has overflowed its stack\nfatal runtime error: stack overflow, aborting\n",
			aborted, "fatal error: thread 'main' (4711) has overflowed its stack"},
		{"Rust, another status", rustPanic, exit2, ""},
		{"no Rust", "thread 'main' is well\n", exit101, ""},
		{"a fault in C of a program", "SIGSEGV: segmentation violation\nPC=0x4a m=0 sigcode=1 addr=0x10\n\n" + goStack +
			"-----\n\nSIGQUIT: quit\nPC=0x47 m=1 sigcode=0\n\n" + goStack, aborted, "SIGSEGV: segmentation violation"},
		{"Go after Rust", rustPanic + "panic: boom\n" + goStack, exit2, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tail := newTail(0, nil)
			feed(tail, c.text)
			if got, _ := tail.report(c.exit, false); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// The report has the first lines of the trace and the last ones of all, each once.
func TestReportLines(t *testing.T) {
	t.Parallel()
	const keep = 4
	lines := func(from, to int) (lines []string) {
		for i := from; i < to; i++ {
			lines = append(lines, fmt.Sprint(i))
		}
		return lines
	}
	concat := func(parts ...[]string) (all []string) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}
	head := []string{"panic: boom", "", "goroutine 1 [running]:"}
	for _, c := range []struct {
		name   string
		before int // lines before the trace
		after  int // lines of the trace, after its head
		want   []string
	}{
		{"all fits", 1, 0, concat(lines(0, 1), head)},
		{"what came before is lost", 2, 1, concat(head, lines(0, 1))},
		{"one line is not among the last", 0, 2, concat(head, lines(0, 2))},
		{"just joined", 9, keep, concat(head, lines(0, keep))},
		{"overlapping", 9, 20, concat(head, lines(0, 20))},
		{"the most that is kept", 9, maxTraceLines - len(head) + keep, concat(head, lines(0, maxTraceLines-len(head)+keep))},
		{"one is left out", 9, maxTraceLines - len(head) + keep + 1,
			concat(head, lines(0, maxTraceLines-len(head)), []string{"... (1 lines)"}, lines(maxTraceLines-len(head)+1, maxTraceLines-len(head)+1+keep))},
		{"many are left out", 9, 1000,
			concat(head, lines(0, maxTraceLines-len(head)), []string{fmt.Sprintf("... (%d lines)", 1000-keep-(maxTraceLines-len(head)))}, lines(1000-keep, 1000))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tail := newTail(keep, nil)
			text := strings.Join(concat(lines(0, c.before), head, lines(0, c.after)), "\n") + "\n"
			feed(tail, text)
			panicked, got := tail.report(exit2, false)
			if panicked != "boom" {
				t.Errorf("panic %q", panicked)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			// If it was not the panic, nothing is added to the last lines.
			panicked, got = tail.report(Exit{Code: -1, Signal: syscall.SIGSEGV}, false)
			if diff := cmp.Diff(tail.lines(), got); diff != "" || panicked != "" {
				t.Error(panicked, diff)
			}
		})
	}
}

func TestTraceIsBounded(t *testing.T) {
	t.Parallel()
	tail := newTail(1, nil)
	feed(tail, "panic: boom\n"+goStack+strings.Repeat(strings.Repeat("x", maxStderrLine-1)+"\nshort\n", maxTraceLines))
	panicked, lines := tail.report(exit2, false)
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if panicked != "boom" || len(lines) > maxTraceLines+2 || size > maxTraceBytes+maxTailLine+100 {
		t.Errorf("%q, %d lines, %d bytes", panicked, len(lines), size)
	}
	// What is kept is the beginning, without holes.
	if n := len(lines); lines[n-2][:3] != "..." || lines[n-3] != "short" {
		t.Errorf("it ends %.20q", lines[n-3:])
	}
}

// feed has the tail read this text, to its end.
func feed(t *tail, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = []byte(text)
	for found := aLine; found == aLine; {
		_, _, found = t.nextLine(0)
	}
	t.flush()
}

// A trace is forgotten once the process has answered, and if it was read before a
// request, it can only be why that request was not even read.
func TestSurvivedTrace(t *testing.T) {
	t.Parallel()
	const text = "panic: boom\n" + goStack
	for _, c := range []struct {
		name   string
		do     func(*tail)
		unread bool
		want   string
	}{
		{"during the request", func(t *tail) { t.began(); feed(t, text) }, false, "boom"},
		{"answered", func(t *tail) { t.began(); feed(t, text); t.answered() }, false, ""},
		{"before the request", func(t *tail) { feed(t, text); t.began() }, false, ""},
		{"before an unread request", func(t *tail) { feed(t, text); t.began() }, true, "boom"},
		{"before two unread requests", func(t *tail) { feed(t, text); t.began(); t.began() }, true, "boom"},
		{"before an answer to another", func(t *tail) { feed(t, text); t.began(); t.answered() }, true, ""},
		{"before and during", func(t *tail) {
			feed(t, "panic: before\n"+goStack)
			t.began()
			feed(t, text)
		}, true, "boom"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tail := newTail(0, nil)
			c.do(tail)
			if got, _ := tail.report(exit2, c.unread); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCause(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		crash CrashError
		want  string
	}{
		{CrashError{Report{Exit: exit2}}, "exit status 2"},
		{CrashError{Report{Exit: exit2, Panic: "boom"}}, "panic: boom (exit status 2)"},
		{CrashError{Report{Exit: aborted, Panic: "boom"}}, "panic: boom (SIGABRT)"},
		{CrashError{Report{Exit: aborted, Panic: "fatal error: fault"}}, "fatal error: fault (SIGABRT)"},
	} {
		if got := c.crash.Cause(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
		c.crash.Stderr = []string{"the last line"}
		if text := c.crash.Error(); !strings.Contains(text, "without an answer: "+c.want+", after ") ||
			strings.Contains(text, "the last line") != (c.crash.Panic == "") {
			t.Error(text)
		}
	}
}
