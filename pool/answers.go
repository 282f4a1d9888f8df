package pool

import (
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/spin"
)

// answers is the parent's end of an executor's stdout. The calling goroutine itself
// blocks in read: nothing has to be asked before, and nothing else to be woken. (Where
// that would be at the cost of others, it is parked.) What
// else can end the wait, the deadline and the end of the process (whoever may still hold
// the other end open), interrupts it: it opens the other end once more and writes one
// byte. After that the stream is of no use, and that byte is never taken for the
// process's.
type answers struct {
	mu sync.Mutex // held while the descriptor is in use
	fd int        // blocking; -1 when closed

	spin spin.Spinner // looks for the answer before blocking

	processors int32 // GOMAXPROCS, more or less: to ask takes the scheduler's lock

	blind bool // a read cannot be interrupted, and has to look itself

	// stuck is called when a read is past its deadline and cannot be interrupted at the
	// moment, or a call is and has not ended soon after. It ends the process, and that the
	// read, unless something the process has forked holds the pipe too.
	stuck   func()
	calling atomic.Bool // a call is under way, and not at the mercy of a listener

	reads    uint64        // have begun
	state    atomic.Uint64 // of the last one: its number and what it does
	deadline atomic.Int64  // of the next read and those after it, in moments; 0: none
	now      atomic.Int64  // the moment of the last look: deadlines until then are over
	ended    atomic.Bool   // the process has

	alarm struct {
		sync.Mutex
		timer *time.Timer
		at    atomic.Int64 // when it will look at the deadline; 0: it will not
	}

	interrupting sync.Mutex
	wrote        bool // the byte

	// Of mu's holder:
	long    bool   // the answer is not expected soon
	parked  parked // reads without blocking
	spoiled bool   // the deadline has interrupted a read
	last    bool   // the process has ended: there is nothing but
	rest    []byte // which has been read, and
	left    int    // bytes that are in the pipe
}

// What a read does, in the lower bits of its state.
const (
	idle = iota
	reading
	interrupted

	stateBits = 2
)

// beginning is where moments count from.
var beginning = time.Now()

// moment is a time as a number, on the monotonic clock, never 0.
func moment(t time.Time) int64 { return max(1, int64(t.Sub(beginning))) }

// setDeadline is for the Read after it. A Read that it ends spoils the stream.
func (a *answers) setDeadline(t time.Time) {
	if t.IsZero() {
		a.deadline.Store(0)
		return
	}
	at := moment(t)
	a.deadline.Store(at)
	// Most calls have the same limit, and none is near its end: the alarm is set for
	// an earlier one and looks then. One of the two sees what the other has stored.
	if alarm := a.alarm.at.Load(); alarm == 0 || alarm > at {
		a.setAlarm()
	}
}

// setAlarm sets it for the deadline.
func (a *answers) setAlarm() {
	a.alarm.Lock()
	defer a.alarm.Unlock()
	at := a.deadline.Load()
	if at == 0 {
		return
	}
	a.alarm.at.Store(at)
	left := time.Duration(at - moment(time.Now()))
	if a.alarm.timer == nil {
		a.alarm.timer = time.AfterFunc(left, a.look)
		return
	}
	a.alarm.timer.Reset(left)
}

// look is called when the alarm goes off.
func (a *answers) look() {
	a.alarm.at.Store(0)
	at, now := a.deadline.Load(), moment(time.Now())
	switch {
	case at == 0:
	case at > now:
		a.setAlarm()
	default:
		a.know(now)
		if a.stuck != nil {
			time.AfterFunc(stuckPatience, func() {
				if a.deadline.Load() == at && (a.calling.Load() || a.doing() != idle) {
					a.stuck()
				}
			})
		}
		a.interrupt()
	}
}

// stuckPatience is how long a call may take to end after its deadline. It does so at once,
// unless the kernel keeps this side waiting for a pipe's lock, also in what should not
// block: the process has that while it waits itself, for the memory that it writes from or
// reads to (a file of a server that is gone, userfaultfd). Only its end ends that.
const stuckPatience = 100 * time.Millisecond

// know notes that it is that late. This may be an old look, which comes late itself.
func (a *answers) know(now int64) {
	for {
		known := a.now.Load()
		if known >= now || a.now.CompareAndSwap(known, now) {
			return
		}
	}
}

// end says that the process has ended.
func (a *answers) end() {
	a.ended.Store(true)
	a.interrupt()
}

// interrupt ends the read that is under way, if one is that should end. Who begins one
// looks first whether it should.
func (a *answers) interrupt() {
	a.interrupting.Lock()
	defer a.interrupting.Unlock()
	state := a.state.Load()
	// What is late now is this very read: its deadline was set before it began.
	if state&(1<<stateBits-1) != reading || !a.ended.Load() && !a.late() {
		return
	}
	if a.state.CompareAndSwap(state, state&^reading|interrupted) && !a.poke(state&^reading|interrupted) && a.stuck != nil && a.late() {
		go a.stuck()
	}
}

// poke writes the byte, or tries again later, for as long as that is the state.
// a.interrupting is held, so the read does not end before it returns, and the descriptor
// is not closed.
func (a *answers) poke(state uint64) (done bool) {
	if a.state.Load() != state || a.blind {
		return true // without it, read looks at the state itself
	}
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(a.fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == nil {
		n, _ := unix.Write(fd, []byte{0})
		// Else the pipe is full: then the read is not waiting.
		a.wrote = n == 1
		unix.Close(fd)
		return true
	}
	// This program has no descriptor left. The read may yet end by itself, as it does if
	// nothing but the process holds the pipe.
	time.AfterFunc(pokeAgain, func() {
		a.interrupting.Lock()
		defer a.interrupting.Unlock()
		a.poke(state)
	})
	return false
}

// pokeAgain is how long to wait for a descriptor.
const pokeAgain = 5 * time.Millisecond

// noProc reports whether there is no /proc, as in a bare chroot.
var noProc = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/self/fd")
	return err != nil
})

// lookAgain is how often a read that cannot be interrupted looks whether it is to end.
const lookAgain = 10 * time.Millisecond

// Read returns what is there, io.EOF at the end of the pipe or of the process, or an
// error that is os.ErrDeadlineExceeded.
func (a *answers) Read(b []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fd < 0 {
		return 0, os.ErrClosed
	}
	if a.spoiled {
		return 0, os.ErrDeadlineExceeded
	}
	for !a.last {
		a.reads++
		state := a.reads<<stateBits | reading
		a.state.Store(state)
		if a.ended.Load() || a.late() {
			a.stopped(state)
			if a.late() {
				a.spoiled = true
				return 0, os.ErrDeadlineExceeded
			}
			a.finish(nil)
			break
		}
		n, err := a.read(b)
		if a.stopped(state) {
			if a.late() {
				a.spoiled = true
				return 0, os.ErrDeadlineExceeded
			}
			a.finish(b[:max(n, 0)])
			break
		}
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
	if len(b) == 0 {
		return 0, nil
	}
	if len(a.rest) > 0 {
		n := copy(b, a.rest)
		a.rest = a.rest[n:]
		return n, nil
	}
	return a.readLeft(b)
}

// readLeft reads what an ended process has left in the pipe.
func (a *answers) readLeft(b []byte) (int, error) {
	for a.left > 0 {
		n, err := a.read(b[:min(len(b), a.left)])
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			a.left = 0 // something else that holds the pipe has read it
		default:
			a.left -= n
			return n, nil
		}
	}
	return 0, io.EOF
}

// doing is what the last read does: idle, if it has ended.
func (a *answers) doing() uint64 { return a.state.Load() & (1<<stateBits - 1) }

// stopped ends a read and reports whether it was interrupted.
func (a *answers) stopped(state uint64) bool {
	if a.state.CompareAndSwap(state, state&^reading) {
		return false
	}
	a.state.Store(state &^ reading)
	// Not before the byte is written, if it will be.
	a.interrupting.Lock()
	defer a.interrupting.Unlock()
	return true
}

// late reports whether the deadline has been found to be over.
func (a *answers) late() bool {
	at := a.deadline.Load()
	return at != 0 && at <= a.now.Load()
}

func (a *answers) read(b []byte) (int, error) {
	if n, ok := a.spin.Read(a.fd, b); ok {
		return n, nil
	}
	switch {
	case a.last: // there is nothing to wait for
	case a.blind:
		if err := a.watch(); err != nil {
			return 0, err
		}
	default:
		waiters := waiting.Add(1)
		defer waiting.Add(-1)
		if !a.long && 2*waiters <= a.processors {
			a.parked.passed()
		} else if n, ok, err := a.parked.read(a.fd, b); ok {
			return n, err
		}
	}
	return unix.Read(a.fd, b)
}

// watch waits until there is something to read, or the read is to end.
func (a *answers) watch() error {
	ready := []unix.PollFd{{Fd: int32(a.fd), Events: unix.POLLIN}}
	for a.doing() == reading {
		n, err := unix.Poll(ready, int(lookAgain/time.Millisecond))
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return unix.EINTR
}

// finish finds out what an ended process has left, behind what it has said before. What
// it has forked may go on writing; that is not read any more.
func (a *answers) finish(before []byte) {
	a.last = true
	a.rest = slices.Clone(before)
	// Nothing is to wait any more.
	_ = unix.SetNonblock(a.fd, true)
	a.left = bytesIn(a.fd)
	switch {
	case !a.wrote:
	case a.left > 0:
		a.left--
	case len(a.rest) > 0:
		a.rest = a.rest[:len(a.rest)-1]
	}
}

// unread says in polled what there is to read, where the process lives, and what there is
// in the others. Its result is the events of poll; 0: nothing, and the process lives.
func (a *answers) unread(polled *[4]unix.PollFd) int16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended.Load() || a.fd < 0 {
		return unix.POLLHUP
	}
	polled[0].Fd, polled[0].Events = int32(a.fd), unix.POLLIN
	for {
		_, err := unix.Poll(polled[:], 0)
		switch err {
		case nil:
			return polled[0].Revents
		case unix.EINTR:
		default:
			return 0 // it would be one of the call, too
		}
	}
}

// overdue reports whether the deadline is over.
func (a *answers) overdue() bool {
	at := a.deadline.Load()
	return at != 0 && moment(time.Now()) >= at
}

// untilDeadline is how long it is to the deadline; 0: there is none, or it is over.
func (a *answers) untilDeadline() time.Duration {
	at := a.deadline.Load()
	if at == 0 {
		return 0
	}
	return max(0, time.Duration(at-moment(time.Now())))
}

// close waits for a Read that is under way.
func (a *answers) close() {
	a.setDeadline(time.Time{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarm.Lock()
	defer a.alarm.Unlock()
	if a.alarm.timer != nil {
		a.alarm.timer.Stop()
	}
	a.parked.close()
	if a.fd >= 0 {
		unix.Close(a.fd)
		a.fd = -1
	}
}
