package pool

import (
	"slices"
	"strings"
	"syscall"
)

const (
	// maxTraceLines and maxTraceBytes bound what is kept of a trace: message and
	// the stack of the one that panicked come first.
	maxTraceLines = 64
	maxTraceBytes = 64 << 10
)

// trace is the beginning of what a language's runtime prints when a program has
// panicked.
type trace struct {
	language language
	first    int // the number of its first line, of all lines
	lines    []string
	bytes    int
	full     bool

	// Of Go:
	message bool // nothing but the message so far
	stack   bool // a stack has followed
}

type language int

const (
	none language = iota
	goRuntime
	rust
)

// traceOf says whether a trace begins with this line.
func traceOf(line string) language {
	switch {
	case hasAnyPrefix(line, "panic: ", "fatal error: ", "unexpected fault address ",
		"runtime: goroutine stack exceeds ", "runtime: out of memory", "runtime: program exceeds "):
		return goRuntime
	case strings.HasPrefix(line, "SIG"):
		// SIGSEGV: segmentation violation
		if name, _, ok := strings.Cut(line, ": "); ok && !strings.ContainsFunc(name, notOfAName) {
			return goRuntime
		}
	case strings.HasPrefix(line, "thread '"):
		// thread 'name' panicked at, or, newer, thread 'name' (id) panicked at
		if strings.Contains(line, " panicked at ") || strings.HasSuffix(line, rustOverflow) {
			return rust
		}
	}
	return none
}

const rustOverflow = " has overflowed its stack"

func notOfAName(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') }

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}

// cutTrace cuts off what a line that was never ended has before the message that begins
// a trace; it is line itself if there is no such thing.
func cutTrace(line string) string {
	for _, begin := range []string{"panic: ", "fatal error: "} {
		if i := strings.Index(line, begin); i > 0 && line[i-1] != '\t' {
			return line[i:]
		}
	}
	return line
}

// continuedBy says whether a trace that begins is a part of this one. If not, it is
// the later one that ended the process.
func (t *trace) continuedBy(l language, line string) bool {
	if l == goRuntime {
		// A runtime that aborts has its other threads print theirs by SIGQUIT.
		return t.language == goRuntime && (t.message || t.stack && strings.HasPrefix(line, "SIGQUIT: "))
	}
	// Rust panics once more if the first panic cannot be passed on.
	return t.language == l
}

func (t *trace) add(line string) {
	if t.full || len(t.lines) == maxTraceLines || t.bytes+len(line) > maxTraceBytes {
		t.full = true
	} else {
		t.lines = append(t.lines, line)
		t.bytes += len(line)
	}
	if t.message && traceOf(line) != goRuntime && line != "" && !hasAnyPrefix(line, "\t", "runtime: ", "[signal ", "PC=") {
		t.message = false
	}
	if isStack(line) {
		t.stack = true
	}
}

// isStack recognises goroutine 17 [running], goroutine 1 gp=0x3de7ac2e61e0 and so on.
func isStack(line string) bool {
	if line == "runtime stack:" {
		return true
	}
	rest, ok := strings.CutPrefix(line, "goroutine ")
	if !ok {
		return false
	}
	state := strings.TrimLeft(rest, "0123456789")
	return len(state) < len(rest) && hasAnyPrefix(state, " [", " gp=")
}

// explains says whether it can be why a process ended like this. A task may have
// printed what looks like a trace, and the process have ended of something else.
func (t *trace) explains(e Exit) bool {
	// With tracebacks turned off, Go prints no stack.
	if t.language == goRuntime && !t.stack && !t.message {
		return false
	}
	if e.Unknown || e.Killed != "" {
		return false
	}
	own := 2
	if t.language == rust {
		own = 101
	}
	// The last one is a shell's word for SIGABRT, if it started the program.
	return e.Signal == syscall.SIGABRT || e.Signal == 0 && (e.Code == own || e.Code == 128+int(syscall.SIGABRT))
}

// text is the message, in a line.
func (t *trace) text() string {
	if t.language == rust {
		return t.rustText()
	}
	return t.goText()
}

func (t *trace) goText() string {
	var fatal, other string
	panicked := -1
	for i, line := range t.lines {
		switch {
		case strings.HasPrefix(line, "panic: "):
			panicked = i
		case strings.HasPrefix(line, "fatal error: "):
			fatal = line
		case other == "" && traceOf(line) == goRuntime:
			other = strings.TrimPrefix(line, "runtime: ")
		}
		if isStack(line) {
			break
		}
	}
	switch {
	case panicked >= 0:
		return chain(t.lines[panicked:])
	case fatal != "" && other != "":
		return fatal + ": " + other
	case fatal != "":
		return fatal
	}
	return other
}

// chain puts a panic, and those of the deferred functions that it made run, in a
// line.
func chain(lines []string) string {
	text := strings.TrimPrefix(lines[0], "panic: ")
	for _, line := range lines[1:] {
		if !strings.HasPrefix(line, "\t") {
			break
		}
		line = strings.TrimPrefix(line, "\t")
		if hasAnyPrefix(line, "panic: ", "fatal error: ") {
			text += "; then " + line
		} else {
			text += "; " + line // of the message before it
		}
	}
	return text
}

func (t *trace) rustText() (text string) {
	for i, line := range t.lines {
		if traceOf(line) != rust {
			continue
		}
		if strings.HasSuffix(line, rustOverflow) {
			return "fatal error: " + line
		}
		_, place, _ := strings.Cut(line, " panicked at ")
		next := place // before Rust 1.73: 'the message', src/lib.rs:7:9
		if !strings.HasPrefix(place, "'") {
			next = strings.TrimSuffix(place, ":")
			if i+1 < len(t.lines) {
				next = t.lines[i+1] + ", at " + next
			}
		}
		// The cause is the panic before the one that only says that it ends here.
		if text != "" && strings.Contains(next, "panic in a ") {
			continue
		}
		text = next
	}
	return text
}
