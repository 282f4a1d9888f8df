package pool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	// defaultStderrLines is how many lines are kept for crash reports.
	defaultStderrLines = 32

	// maxStderrLine is where a line is cut, in bytes.
	maxStderrLine = 64 << 10

	// maxTailLine is where a line that is kept is cut, in bytes.
	maxTailLine = 4 << 10
)

// tail reads a process's stderr to its end, so that the process never blocks on
// it, and keeps the last lines, and the first ones of a panic's trace.
type tail struct {
	observe func(line string)

	mu   sync.Mutex
	kept []string // a ring
	next int
	full bool

	added int // lines in all

	// trace is what has been read since the last request; before, what was read
	// between the last answer and that request. A trace in neither was survived.
	// What is read late counts as if it had been written late: to know better
	// would cost a system call per request.
	trace, before *trace
}

func newTail(lines int, observe func(string)) *tail {
	if lines <= 0 {
		lines = defaultStderrLines
	}
	return &tail{observe: observe, kept: make([]string, lines)}
}

// read returns at the end of r, or on an error, which a deadline gives.
func (t *tail) read(r io.Reader) {
	b := bufio.NewReaderSize(r, maxStderrLine)
	for {
		line, err := b.ReadSlice('\n')
		dropped := 0
		text := string(trimEnd(line))
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = b.ReadSlice('\n')
			dropped += len(line)
		}
		if dropped > 0 {
			text += fmt.Sprintf("... (%d more bytes)", dropped)
		}
		if len(text) > 0 || err == nil {
			t.add(text)
		}
		if err != nil {
			return
		}
	}
}

func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

func (t *tail) add(line string) {
	// Kept first: a report must not depend on how long the observer takes.
	t.keep(line)
	if t.observe != nil {
		t.observe(line)
	}
}

func (t *tail) keep(line string) {
	if len(line) > maxTailLine {
		line = line[:maxTailLine] + "..."
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.added++
	t.kept[t.next] = line
	t.next++
	if t.next == len(t.kept) {
		t.next, t.full = 0, true
	}
	if l := traceOf(line); l != none && (t.trace == nil || !t.trace.continuedBy(l, line)) {
		t.trace = &trace{language: l, first: t.added - 1, message: l == goRuntime}
	}
	if t.trace != nil {
		t.trace.add(line)
	}
}

// began says that a request is about to be sent.
func (t *tail) began() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.trace != nil {
		t.trace, t.before = nil, t.trace
	}
}

// answered says that the process has answered: whatever it printed, it lives on.
func (t *tail) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trace, t.before = nil, nil
}

// report tells of a process that ended without an answer: the message of its panic,
// "" if it was none, and the lines that matter. unread says that it did not read
// the request, so that the cause may be older.
func (t *tail) report(e Exit, unread bool) (panicked string, lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.last()
	from := t.trace
	if from == nil && unread {
		from = t.before
	}
	if from == nil || !from.explains(e) {
		return "", last
	}
	gap := t.added - len(last) - from.first // lines of the trace before the last ones
	switch {
	case gap <= 0:
		return from.text(), last
	case gap <= len(from.lines):
		lines = slices.Clone(from.lines[:gap])
	default:
		lines = append(slices.Clone(from.lines), fmt.Sprintf("... (%d lines)", gap-len(from.lines)))
	}
	return from.text(), append(lines, last...)
}

// count is how many lines there have been.
func (t *tail) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.added
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last()
}

// last must be called with mu held.
func (t *tail) last() []string {
	var lines []string
	if t.full {
		lines = append(lines, t.kept[t.next:]...)
	}
	return append(lines, t.kept[:t.next]...)
}
