package pool

import (
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A goroutine that blocks in read is woken the soonest, but keeps one of the GOMAXPROCS
// processors (in Go's sense) meanwhile. The runtime's monitor takes that away only from
// what has blocked for a while, so never from short calls: with as many of them at once as
// there are processors, the other goroutines of the program had to wait for 3 to 16 ms
// (two processors, p50). So at most half of the processors are kept so. Callers beyond that
// wait in the runtime's poller, which takes some 2 us more, and so do all for tasks that
// take long, where nobody would notice.

// waiting is how many goroutines of this program wait for answers.
var waiting atomic.Int32

// longTask is how long an executor's last task has taken if the next answer is waited for
// in the poller anyway.
const longTask = 200 * time.Microsecond

// parked reads from a blocking descriptor, and waits in the runtime's poller. The zero
// value is ready for use, by one goroutine at a time.
type parked struct {
	conn   syscall.RawConn
	file   *os.File // nil: the poller knows nothing of it; a duplicate, as it wants to own it
	unused int      // reads that blocked since the last one that did not
	cannot bool

	// try is one attempt, made once, so that a read allocates nothing.
	try     func(uintptr) bool
	fd      int
	buffers [1][]byte
	n       int
	err     error
}

// read reads what there is, as soon as there is something. ok is false if it cannot.
func (p *parked) read(fd int, b []byte) (n int, ok bool, err error) {
	if p.cannot || p.file == nil && !p.open(fd) {
		return 0, false, nil
	}
	p.unused = 0
	p.fd, p.buffers[0] = fd, b
	p.n, p.err = 0, unix.EAGAIN
	failed := p.conn.Read(p.try)
	p.buffers[0] = nil
	if failed != nil || p.err == unix.EAGAIN || p.err == unix.EOPNOTSUPP || p.err == unix.ENOSYS {
		p.cannot = true
		p.close()
		return 0, false, nil
	}
	return p.n, true, p.err
}

func (p *parked) attempt(uintptr) bool {
	// The descriptor stays blocking for those who block.
	p.n, p.err = unix.Preadv2(p.fd, p.buffers[:], -1, unix.RWF_NOWAIT)
	return p.err != unix.EAGAIN
}

// open has the poller watch fd.
func (p *parked) open(fd int) bool {
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return false // there may be a descriptor next time
	}
	// Only what does not block is handed to the poller, but then what counts is that
	// attempts do not.
	if err := unix.SetNonblock(own, true); err != nil {
		unix.Close(own)
		return false
	}
	p.file = os.NewFile(uintptr(own), "stdout of an executor")
	_ = unix.SetNonblock(own, false)
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.close()
		return false
	}
	if p.try == nil {
		p.try = p.attempt
	}
	return true
}

// passed says that a read goes without. The poller, which is woken by all that comes, is
// soon told to watch no longer.
func (p *parked) passed() {
	const soon = 50
	if p.file == nil {
		return
	}
	if p.unused++; p.unused > soon {
		p.close()
	}
}

func (p *parked) close() {
	if p.file != nil {
		p.file.Close()
		p.file, p.conn = nil, nil
	}
}
