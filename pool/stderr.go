package pool

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// defaultStderrLines is how many lines are kept for crash reports.
	defaultStderrLines = 32

	// maxStderrLines is the most lines that can be asked for.
	maxStderrLines = 1 << 16

	// maxStderrLine is where a line is cut, in bytes.
	maxStderrLine = 64 << 10

	// stderrBuffer is how much is read at once, in bytes.
	stderrBuffer = 8 << 10

	// maxTailLine is where a line that is kept is cut, in bytes.
	maxTailLine = 4 << 10

	// endPatience is how long OnStderr may take for the last lines of a process that
	// ended by itself. The deadline of its call ends it earlier.
	endPatience = 5 * time.Second

	// stderrPatience is the same for a process that was killed, for whose end somebody
	// waits, and after that deadline.
	stderrPatience = 200 * time.Millisecond
)

// tail reads a process's stderr, so that the process never blocks on it, hands on line
// by line, and keeps the last lines and the first ones of a panic's trace.
//
// What has been written up to a moment is in the pipe at that moment, and the kernel
// tells how much it is. So nobody reads more than that to have seen what a process wrote
// before its answer or its end, also while something that a task has started writes
// without pause.
type tail struct {
	// observe gets the lines, one at a time; nil: nobody listens. Who calls it has the
	// turn, and not mu: a report does not depend on how long it takes.
	observe func(line string)
	turn    chan struct{}
	hurried chan struct{} // closed when nobody is to catch up any more
	hurry   func()        // closes it
	drained chan struct{} // closed when drain has ended
	over    chan struct{} // closed when nothing is read any more

	// asks is set while who catches up may have to wait for the kernel, see stuckPatience.
	asks *atomic.Bool

	mu      sync.Mutex
	file    *os.File // non-blocking; its reader's lock is drain's
	raw     syscall.RawConn
	fd      int    // -1 before and after
	buffer  []byte // reused
	read    []byte // of the buffer, not yet split
	partial []byte // of a line whose end has not come
	dropped int    // bytes of that line that are not kept

	// When the process has ended:
	ended bool
	left  int       // bytes of its own that are still in the pipe
	until time.Time // when observe gets no more; zero: not decided

	kept  []string // a ring of the last lines, once there have been so many
	keeps int      // how many it may have
	next  int
	added int // lines in all

	// trace is what has been read since the last request; before, what was read
	// between the last answer and that request. A trace in neither was survived.
	trace, before *trace
}

func newTail(lines int, observe func(string)) *tail {
	if lines <= 0 {
		lines = defaultStderrLines
	}
	hurried := make(chan struct{})
	return &tail{
		observe: observe, fd: -1, keeps: min(lines, maxStderrLines),
		turn: make(chan struct{}, 1), hurried: hurried, hurry: sync.OnceFunc(func() { close(hurried) }),
		drained: make(chan struct{}), over: make(chan struct{}), asks: new(atomic.Bool),
	}
}

// open makes f, which is in non-blocking mode, the pipe that is read. It is the tail's
// from now on: finish closes it.
func (t *tail) open(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	t.file, t.raw, t.buffer = f, raw, make([]byte, stderrBuffer)
	return raw.Control(func(fd uintptr) { t.fd = int(fd) })
}

// What there is to read.
type found int

const (
	nothing found = iota // at the moment
	aLine
	theEnd
)

// nextLine takes a line out of the pipe and keeps it. It reads no more than limit bytes,
// and says how many. mu is held.
func (t *tail) nextLine(limit int) (line string, n int, what found) {
	for {
		if end := bytes.IndexByte(t.read, '\n'); end >= 0 {
			t.extend(t.read[:end])
			t.read = t.read[end+1:]
			return t.endLine(), n, aLine
		}
		t.extend(t.read)
		t.read = nil
		switch {
		case t.fd < 0:
			return "", n, theEnd
		case n >= limit:
			return "", n, nothing
		}
		read, err := unix.Read(t.fd, t.buffer[:min(len(t.buffer), limit-n)])
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return "", n, nothing
		case err != nil || read == 0:
			return "", n, theEnd
		default:
			n += read
			t.read = t.buffer[:read]
		}
	}
}

// number is the descriptor, for poll; -1 when closed.
func (t *tail) number() int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int32(t.fd)
}

// inPipe is how many bytes there are to read. mu is held.
func (t *tail) inPipe() int {
	if t.fd < 0 {
		return 0
	}
	return bytesIn(t.fd)
}

// bytesIn is how many bytes there are to read in a pipe.
func bytesIn(fd int) int {
	n, err := unix.IoctlGetUint32(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return int(n)
}

// extend adds to the line whose end has not come. mu is held.
func (t *tail) extend(part []byte) {
	room := min(len(part), maxStderrLine-len(t.partial))
	t.partial = append(t.partial, part[:room]...)
	t.dropped += len(part) - room
}

// endLine ends that line, and keeps it. mu is held.
func (t *tail) endLine() string {
	line := string(bytes.TrimSuffix(t.partial, []byte("\r")))
	if t.dropped > 0 {
		line += fmt.Sprintf("... (%d more bytes)", t.dropped)
	}
	t.partial, t.dropped = t.partial[:0], 0
	t.keep(line)
	return line
}

// flush ends a line whose end is missing. mu is held.
func (t *tail) flush() (line string, ok bool) {
	if len(t.partial) == 0 {
		return "", false
	}
	return t.endLine(), true
}

// begin waits for the turn, at most until then, zero is for ever, or until nothing is
// read any more.
func (t *tail) begin(until time.Time) bool {
	select {
	case t.turn <- struct{}{}:
		return true
	default:
	}
	var late <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case t.turn <- struct{}{}:
		return true
	case <-late:
	case <-t.over:
	}
	return false
}

func (t *tail) end() { <-t.turn }

// hand hands a line on. The turn is the caller's.
func (t *tail) hand(line string) {
	if t.observe != nil {
		t.observe(line)
	}
}

// drain reads until the end of the pipe or of the process, for as long as nobody
// catches up.
func (t *tail) drain() {
	defer close(t.drained)
	for {
		switch t.drainLine() {
		case nothing:
			if t.await() != nil {
				// The process has ended, else the file would be of no use.
				t.mu.Lock()
				if !t.ended {
					t.ended, t.left = true, t.inPipe()
				}
				t.mu.Unlock()
			}
		case theEnd:
			return
		}
	}
}

// drainLine hands one line on, if there is one. Others get their turn between two.
func (t *tail) drainLine() found {
	if !t.begin(time.Time{}) {
		return theEnd
	}
	defer t.end()
	t.mu.Lock()
	if !t.until.IsZero() && time.Now().After(t.until) {
		skipped := t.skip()
		t.mu.Unlock()
		if skipped > 0 {
			t.hand(fmt.Sprintf("... (%d more lines)", skipped))
		}
		return theEnd
	}
	limit := len(t.buffer)
	if t.ended {
		limit = min(limit, t.left)
	}
	line, n, what := t.nextLine(limit)
	t.left -= n
	ok := what == aLine
	if !ok && t.ended && (t.left <= 0 || n == 0) {
		what = theEnd
	}
	if what == theEnd {
		line, ok = t.flush()
	}
	t.mu.Unlock()
	if ok {
		t.hand(line)
	}
	return what
}

// await waits until there is something to read. The error says that the file has been
// closed, or is past its deadline.
func (t *tail) await() error {
	return t.raw.Read(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
}

// catchUp hands on what has been written so far, also a line without an end; not what
// it has not come to when that time is over (zero is never), or hurry is called.
func (t *tail) catchUp(until time.Time) {
	select {
	case <-t.hurried:
		return
	default:
	}
	if !t.begin(until) {
		return
	}
	defer t.end()
	t.asks.Store(true)
	defer t.asks.Store(false)
	t.mu.Lock()
	for left := t.inPipe(); ; {
		line, n, what := t.nextLine(left)
		left -= n
		if what != aLine {
			break
		}
		t.mu.Unlock()
		t.asks.Store(false)
		t.hand(line)
		select {
		case <-t.hurried:
			return
		default:
		}
		if !until.IsZero() && time.Now().After(until) {
			return
		}
		t.asks.Store(true)
		t.mu.Lock()
	}
	line, ok := t.flush()
	t.mu.Unlock()
	t.asks.Store(false)
	if ok {
		t.hand(line)
	}
}

// skip keeps what has been written so far, and hands nothing on. It says how many lines
// that are. mu is held.
func (t *tail) skip() (lines int) {
	left := t.inPipe()
	if t.ended {
		left = min(left, t.left)
	}
	for {
		_, n, what := t.nextLine(left)
		left -= n
		t.left -= n
		if what != aLine {
			break
		}
		lines++
	}
	if _, ok := t.flush(); ok {
		lines++
	}
	return lines
}

// glance keeps what has been written so far, where nobody listens.
func (t *tail) glance() {
	if t.observe != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skip()
}

// finish is called at the end of the process: it waits until all that the process has
// written has been read and handed on, which does not take longer than observe: patience,
// or until hurry is called, and stderrPatience. What the process has forked, and still
// writes, is not read any more. When it returns the file is closed, and observe is not
// called again.
func (t *tail) finish(patience time.Duration) {
	t.mu.Lock()
	t.ended, t.left = true, t.inPipe()
	t.mu.Unlock()
	// It need not wait for more.
	_ = t.file.SetReadDeadline(time.Now())
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.drained:
	case <-t.hurried:
	case <-timer.C:
	}
	t.mu.Lock()
	t.until = time.Now().Add(stderrPatience / 2)
	t.mu.Unlock()
	timer.Reset(stderrPatience)
	select {
	case <-t.drained:
	case <-timer.C:
	}
	t.mu.Lock()
	t.skip()
	t.fd = -1
	t.mu.Unlock()
	close(t.over)
	t.file.Close()
}

// keep keeps a line for reports. mu is held.
func (t *tail) keep(line string) {
	if len(line) > maxTailLine {
		line = line[:maxTailLine] + "..."
	}
	t.added++
	if len(t.kept) < t.keeps {
		t.kept = append(t.kept, line)
	} else {
		t.kept[t.next] = line
		t.next = (t.next + 1) % t.keeps
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

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last()
}

// last must be called with mu held.
func (t *tail) last() []string {
	if len(t.kept) == 0 {
		return nil
	}
	return append(slices.Clone(t.kept[t.next:]), t.kept[:t.next]...)
}
