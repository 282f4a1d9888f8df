// Package widepipe lets pipes hold more, once frames travel in them that do not fit: with
// 64 KiB, what a pipe holds at first, both ends of a frame of megabytes take turns some
// hundred times. Both ends of the protocol use it, for what does not go through shared
// memory.
//
// The kernel lets a user without privileges have 64 MiB in all pipes together
// (pipe-user-pages-soft); beyond that each new pipe of theirs, in whatever program, holds
// only 8 KiB. So a process takes no more than half of it, and nothing after a refusal.
package widepipe

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// Wide is what a pipe holds then, in bytes: the largest that the kernel gives to
	// everybody (pipe-max-size).
	Wide = 1 << 20

	// Narrow is what a pipe holds at first; larger frames are worth a wide one.
	Narrow = 64 << 10
)

var (
	taken   atomic.Int64 // bytes, in all Pipes
	refused atomic.Bool
)

// Pipes are those of one peer. The zero Pipes are none. Not for concurrent use.
type Pipes struct {
	tried bool
	taken int64
}

// Widen has these pipes hold more, the first time it is called. What is no pipe, or may
// not grow, stays as it is.
func (p *Pipes) Widen(fds ...int) {
	if p.tried || refused.Load() {
		return
	}
	p.tried = true
	for _, fd := range fds {
		now, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
		if err != nil || now >= Wide {
			continue
		}
		more := int64(Wide - now)
		if taken.Add(more) > share() {
			taken.Add(-more)
			return
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, Wide); err != nil {
			taken.Add(-more)
			refused.Store(err == unix.EPERM)
			return
		}
		p.taken += more
	}
}

// Closed says that the pipes have been closed.
func (p *Pipes) Closed() {
	taken.Add(-p.taken)
	p.taken = 0
}

// share is how many bytes this process may take.
var share = sync.OnceValue(func() int64 {
	const all = 16384 // pages, where the kernel says nothing else
	pages := int64(all)
	if text, err := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			pages = n // 0 is no limit
		}
	}
	if pages == 0 || os.Geteuid() == 0 {
		// Root is usually exempt; where it is not, it is refused in time.
		return 1 << 62
	}
	return pages * int64(os.Getpagesize()) / 2
})
