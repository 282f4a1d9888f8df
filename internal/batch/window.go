package batch

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

// window holds what has been taken and is not yet written. Room in it is what keeps a
// slow input, or a slow reader of the output, from making memory grow.
type window struct {
	ordered bool
	size    int64
	limit   int64 // of held

	mu      sync.Mutex
	changed *sync.Cond // there may be room
	slots   []slot     // a ring, by sequence number; only if ordered
	taken   int64      // so many have been taken: the next sequence number
	passed  int64      // so many have passed on to out, or will never
	held    int64      // bytes: inputs that run, lines that wait, and out
	out     []byte     // lines whose turn has come
	lines   int64      // so many are in out
	writing int64      // and so many are being written
	written int64      // so many have been written
	broken  bool       // the output takes nothing any more
	over    bool       // nothing more comes

	ready  chan struct{} // out is not empty; holds one
	urgent chan struct{} // out should be written at once; holds one
}

// slot is an input's place until its line's turn has come.
type slot struct {
	done bool
	line []byte // nil if there is none
}

func newWindow(size int, ordered bool) *window {
	w := &window{
		ordered: ordered, size: int64(size), limit: HeldBytes,
		ready: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
	}
	w.changed = sync.NewCond(&w.mu)
	if ordered {
		w.slots = make([]slot, size)
	}
	return w
}

// room waits until another input may be taken; false if ctx has ended.
func (w *window) room(ctx context.Context) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full() {
		stop := context.AfterFunc(ctx, func() {
			w.mu.Lock()
			w.changed.Broadcast()
			w.mu.Unlock()
		})
		defer stop()
	}
	for w.full() && ctx.Err() == nil {
		if w.lines > 0 {
			signal(w.urgent)
		}
		w.changed.Wait()
	}
	return ctx.Err() == nil
}

// full is asked with w.mu held. What holds the bytes moves on by itself: the input that
// is the next to be written is among those that run.
func (w *window) full() bool {
	return w.taken-w.passed+w.lines+w.writing >= w.size || w.held >= w.limit
}

// take gives an input of that many bytes its place. There must be room.
func (w *window) take(bytes int) (sequence int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held += int64(bytes)
	w.taken++
	return w.taken - 1
}

// finish hands in the line of an input of that many bytes; nil if it gets none.
func (w *window) finish(sequence int64, line []byte, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held += int64(len(line) - bytes)
	if !w.ordered {
		w.pass(line)
		w.changed.Broadcast()
		return
	}
	w.slots[sequence%w.size] = slot{true, line}
	for w.passed < w.taken && w.slots[w.passed%w.size].done {
		s := &w.slots[w.passed%w.size]
		w.pass(s.line)
		*s = slot{}
	}
	w.changed.Broadcast()
}

// pass appends the next line to out. w.mu is held.
func (w *window) pass(line []byte) {
	w.passed++
	switch {
	case line == nil:
		return
	case w.broken:
		w.held -= int64(len(line))
		return
	}
	w.out = append(w.out, line...)
	w.lines++
	signal(w.ready)
	if len(w.out) >= flushBytes || w.full() {
		signal(w.urgent)
	}
}

// end says that nothing more comes: those lines that waited for one that never came
// follow, still in order.
func (w *window) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.ordered && w.passed < w.taken {
		w.pass(w.slots[w.passed%w.size].line)
	}
	w.over = true
	signal(w.ready)
	signal(w.urgent)
}

// writeTo writes lines until the end, or until it cannot.
func (w *window) writeTo(output io.Writer) error {
	var spare []byte
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		<-w.ready
		timer.Reset(flushEvery)
		select {
		case <-timer.C:
		case <-w.urgent:
		}
		w.mu.Lock()
		out, lines, over := w.out, w.lines, w.over
		w.out, w.lines, w.writing = spare[:0], 0, lines
		w.mu.Unlock()

		if len(out) > 0 {
			n, err := output.Write(out)
			w.mu.Lock()
			w.held -= int64(len(out))
			w.writing = 0
			if err == nil {
				w.written += lines
			} else {
				// A full disk may have taken the first of them.
				w.written += int64(bytes.Count(out[:n], []byte{'\n'}))
				w.held -= int64(len(w.out))
				w.out, w.lines, w.broken = nil, 0, true
			}
			w.changed.Broadcast()
			w.mu.Unlock()
			if err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		// A buffer that one huge answer has blown up is not kept.
		if spare = out; cap(spare) > 4*flushBytes {
			spare = nil
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
