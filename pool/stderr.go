package pool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
// it, and keeps the last lines.
type tail struct {
	observe func(line string)

	mu   sync.Mutex
	kept []string // a ring
	next int
	full bool

	added int // lines in all
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
	var lines []string
	if t.full {
		lines = append(lines, t.kept[t.next:]...)
	}
	return append(lines, t.kept[:t.next]...)
}
