// Package spin looks for the next bytes of a pipe for a while before its caller blocks:
// for users who pay with a core for not waiting until a sleeping one has woken up, which
// takes 50 us and more on virtual machines. Both ends of the protocol use it, if they are
// told to.
//
// It is bounded in time, and it gives up for a while when it looks in vain: bytes that
// are long in coming are not worth it. It never looks where both ends have to share the
// only core.
package spin

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/timeslice"
)

const (
	// Env tells an executor for how long to look, as a duration.
	Env = "SPIDER_SPIN"

	// Max bounds it.
	Max = time.Millisecond

	// maxPause is the longest pause after looks in vain, in reads.
	maxPause = 64
)

// A Spinner looks for the bytes of one pipe. The zero Spinner never does. Not for
// concurrent use.
type Spinner struct {
	limit time.Duration
	last  int // reads to be left out after the last look in vain
	pause int // reads that are yet to be left out
	bytes [1][]byte
}

// New returns a Spinner that looks for up to limit, at most [Max], if this process has
// more than one core to run on.
func New(limit time.Duration) Spinner {
	if limit <= 0 || cores() < 2 {
		return Spinner{}
	}
	return Spinner{limit: min(limit, Max)}
}

// FromEnv is New as [Env] says. Its value is unset, for the processes further down, and
// what is no duration is none.
func FromEnv() Spinner {
	limit, _ := time.ParseDuration(os.Getenv(Env))
	os.Unsetenv(Env)
	return New(limit)
}

func cores() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 1
	}
	return set.Count()
}

// Read reads what comes soon. ok is false if nothing has: then the caller is to block.
// The pipe's end is n = 0.
func (s *Spinner) Read(fd int, b []byte) (n int, ok bool) {
	if s.limit == 0 {
		return 0, false
	}
	if s.pause > 0 {
		s.pause--
		return 0, false
	}
	s.bytes[0] = b
	for until := timeslice.Now() + s.limit; ; {
		n, err := unix.Preadv2(fd, s.bytes[:], -1, unix.RWF_NOWAIT)
		switch {
		case err == nil:
			s.last = 0
			return n, true
		case err == unix.EAGAIN || err == unix.EINTR:
		default:
			// No pipe, or a kernel that cannot: never again.
			s.limit = 0
			return 0, false
		}
		if timeslice.Now() > until {
			s.last = min(max(1, 2*s.last), maxPause)
			s.pause = s.last
			return 0, false
		}
	}
}
