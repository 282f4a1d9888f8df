package sharedmem

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Env tells an executor which descriptor the memory is.
	Env = "SPIDER_SHARED_MEMORY"

	// Worthwhile is from how many bytes on a payload travels in the memory, if it can.
	// Where nothing else happens, memory is as quick from 1.5 KiB on; but after a task
	// that has slept its pages are cold, and a pipe's are not.
	Worthwhile = 8 << 10

	magic      = 0x3172656469707353 // "Sspider1", read as little-endian
	pidAt      = 8
	withdrawAt = 64
	releasedAt = 68
	madeAt     = 72
	payloadAt  = 4096

	// step is by how much more than needed is reserved at once.
	step = 64 << 10

	seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
)

// region is the memory, as either side has it.
type region struct {
	fd       int
	max      int    // bytes of payload
	memory   []byte // the mapping; nil before
	reserved int    // bytes of payload that have memory behind them
}

// open maps the memory.
func (r *region) open() error {
	if r.memory != nil {
		return nil
	}
	memory, err := unix.Mmap(r.fd, 0, payloadAt+r.max, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	r.memory = memory
	return nil
}

func (r *region) close() {
	if r.memory != nil {
		_ = unix.Munmap(r.memory)
		r.memory = nil
	}
}

// payload is the mapped payload.
func (r *region) payload() []byte { return r.memory[payloadAt:] }

// word is one of the header's.
func (r *region) word(at int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.memory[at]))
}

// reserve has the kernel put memory behind the first n bytes of payload.
func (r *region) reserve(n int) error {
	if n <= r.reserved {
		return nil
	}
	if n > r.max {
		return fmt.Errorf("%d bytes are over the %d of the shared memory", n, r.max)
	}
	n = min((n+step-1)/step*step, r.max)
	for {
		err := unix.Fallocate(r.fd, unix.FALLOC_FL_KEEP_SIZE, payloadAt, int64(n))
		switch {
		case err == nil:
			r.reserved = n
			return nil
		case !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// piece is how much is copied at once.
const piece = 16 << 20

// copyIn copies b to the beginning of the payload, unless it gets late.
func (r *region) copyIn(b []byte, late func() bool) error {
	if err := r.open(); err != nil {
		return err
	}
	if err := r.reserve(len(b)); err != nil {
		return err
	}
	for to := r.payload(); len(b) > 0; {
		n := copy(to, b[:min(len(b), piece)])
		to, b = to[n:], b[n:]
		if len(b) > 0 && late != nil && late() {
			return os.ErrDeadlineExceeded
		}
	}
	return nil
}
