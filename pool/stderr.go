package pool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// defaultStderrLines is how many lines are kept for crash reports.
	defaultStderrLines = 32

	// maxStderrLine is where a line is cut, in bytes.
	maxStderrLine = 64 << 10

	// stderrBuffer is how much is read at once, in bytes.
	stderrBuffer = 8 << 10

	// pipeCapacity is how much a pipe holds, in bytes.
	pipeCapacity = 64 << 10

	// maxTailLine is where a line that is kept is cut, in bytes.
	maxTailLine = 4 << 10
)

// tail reads a process's stderr to its end, so that the process never blocks on
// it, hands on line by line, and keeps the last lines and the first ones of a panic's
// trace.
type tail struct {
	observe func(line string)

	// reading is held while what has been read is not yet handed on, so that who
	// holds it, and finds the pipe empty, has seen all there was.
	reading sync.Mutex
	raw     syscall.RawConn
	fd      int    // -1 before and after
	buffer  []byte // reused
	partial []byte // of a line whose end has not come
	dropped int    // bytes of that line that are not kept

	mu    sync.Mutex
	kept  []string // a ring
	next  int
	full  bool
	added int // lines in all

	// trace is what has been read since the last request; before, what was read
	// between the last answer and that request. A trace in neither was survived.
	trace, before *trace
}

func newTail(lines int, observe func(string)) *tail {
	if lines <= 0 {
		lines = defaultStderrLines
	}
	return &tail{observe: observe, fd: -1, kept: make([]string, lines)}
}

// open makes f, which is in non-blocking mode, the pipe that is read.
func (t *tail) open(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	t.raw, t.buffer = raw, make([]byte, stderrBuffer)
	return raw.Control(func(fd uintptr) { t.fd = int(fd) })
}

// drain reads until the end of the pipe, or until the file's read deadline. In between
// it lets others catch up, and looks at the deadline, also while something writes
// without pause.
func (t *tail) drain() {
	for ended := false; !ended; {
		err := t.raw.Read(func(uintptr) (ready bool) {
			t.reading.Lock()
			defer t.reading.Unlock()
			ready, ended = t.readSome()
			return ready
		})
		if err != nil {
			break
		}
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	t.flush()
	t.fd = -1
}

// catchUp hands on what the process has written so far, also a line without an end.
func (t *tail) catchUp() {
	t.reading.Lock()
	defer t.reading.Unlock()
	if t.fd >= 0 {
		_, _ = t.readSome()
		t.flush()
	}
}

// readSome reads what there is, but no more than a pipe holds: what is beyond that has
// been written since. ready is false if there was less; ended is true at the end of the
// pipe. t.reading is held.
func (t *tail) readSome() (ready, ended bool) {
	for n := 0; n < pipeCapacity; {
		read, err := unix.Read(t.fd, t.buffer)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return false, false
		case err != nil || read == 0:
			return true, true
		default:
			n += read
			t.split(t.buffer[:read])
		}
	}
	return true, false
}

// split hands on the lines that end in b, and keeps the rest.
func (t *tail) split(b []byte) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part = b[:end]
		}
		room := min(len(part), maxStderrLine-len(t.partial))
		t.partial = append(t.partial, part[:room]...)
		t.dropped += len(part) - room
		if end < 0 {
			return
		}
		t.endLine()
		b = b[end+1:]
	}
}

// flush hands on a line whose end is missing.
func (t *tail) flush() {
	if len(t.partial) > 0 {
		t.endLine()
	}
}

func (t *tail) endLine() {
	text := string(bytes.TrimSuffix(t.partial, []byte("\r")))
	if t.dropped > 0 {
		text += fmt.Sprintf("... (%d more bytes)", t.dropped)
	}
	t.partial, t.dropped = t.partial[:0], 0
	t.add(text)
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
	l := traceOf(line)
	whole := l != none
	if !whole && (t.trace == nil || t.trace.stack) {
		line = cutTrace(line)
		l = traceOf(line)
	}
	if l != none && (t.trace == nil || !t.trace.continuedBy(l, line)) {
		// What stands in a line may be anything, unless a stack follows.
		t.trace = &trace{language: l, first: t.added - 1, message: l == goRuntime && whole}
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

// answered says that the process has answered: what it printed it has survived, but
// for what it printed right behind the answer, which may have been read already. So
// that is kept until the next answer, for a request that is not even read.
func (t *tail) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trace, t.before = nil, t.trace
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
