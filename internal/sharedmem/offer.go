package sharedmem

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Offer is the parent's side. Its methods may be called by one goroutine at a time, but
// for Release.
type Offer struct {
	// Late, if set, is asked now and then during a copy. Where it says so the copy ends
	// with os.ErrDeadlineExceeded.
	Late func() bool

	file *os.File
	pid  int // of whom it is made to

	mu sync.Mutex // held while a call is under way
	region
	taken    bool
	released uint32
	resident atomic.Int64 // reserved, for Resident
}

// NewOffer makes memory for payloads of up to max bytes. Close must be called.
func NewOffer(max int) (*Offer, error) {
	if max <= 0 || max > math.MaxInt-payloadAt {
		return nil, fmt.Errorf("no memory has %d bytes", max)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < uint64(payloadAt+max) {
		// To make the file larger would be a signal, to either side.
		return nil, fmt.Errorf("files may have no more than %d bytes (RLIMIT_FSIZE)", limit.Cur)
	}
	fd, err := create()
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	o := &Offer{file: os.NewFile(uintptr(fd), "spider"), region: region{fd: fd, max: max}}
	if err := unix.Ftruncate(fd, int64(payloadAt+max)); err != nil {
		o.file.Close()
		return nil, os.NewSyscallError("ftruncate", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		o.file.Close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	return o, nil
}

func create() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Kernels of before 6.3 do not know that it is never to be executed.
	fd, err := unix.MemfdCreate("spider", flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate("spider", flags)
	}
	return fd, err
}

// File is what the executor is to inherit.
func (o *Offer) File() *os.File { return o.file }

// Made says to which process the offer has been made: no other may use it that has
// inherited it, and is driven by somebody else. It must come before the first request.
func (o *Offer) Made(pid int) {
	o.pid = pid
	// Should this fail, the executor answers by pipe.
	_, _ = unix.Pwrite(o.fd, binary.NativeEndian.AppendUint32(nil, uint32(pid)), madeAt)
}

// Max is how many bytes a payload may have.
func (o *Offer) Max() int { return o.max }

// Begin waits until the memory is not being released, and keeps it from being so until
// End.
func (o *Offer) Begin() { o.mu.Lock() }

// End is the end of what Begin began.
func (o *Offer) End() { o.mu.Unlock() }

// Taken reports whether the executor has taken the offer, which it does before its first
// answer.
func (o *Offer) Taken() bool {
	if o.taken {
		return true
	}
	var word [pidAt + 4]byte
	if _, err := unix.Pread(o.fd, word[:], 0); err != nil {
		return false
	}
	// The process id tells it from a program further down that has inherited it all.
	o.taken = binary.NativeEndian.Uint64(word[:]) == magic && int(binary.NativeEndian.Uint32(word[pidAt:])) == o.pid
	return o.taken
}

// Withdraw has the executor answer by pipe from now on.
func (o *Offer) Withdraw() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := unix.Pwrite(o.fd, binary.NativeEndian.AppendUint32(nil, 1), withdrawAt)
	return os.NewSyscallError("pwrite", err)
}

// CopyIn writes a payload, for the executor to read.
func (o *Offer) CopyIn(b []byte) (err error) {
	// What has been reserved is there, unless code in the executor has freed it again:
	// then there is memory for it, or a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the shared memory cannot be written: %v", fault)
		}
		o.resident.Store(int64(o.reserved))
	}()
	return o.copyIn(b, o.Late)
}

// CopyOut appends a payload of n bytes, which the executor has written, to dst.
func (o *Offer) CopyOut(dst []byte, n int) (_ []byte, err error) {
	if n > o.max {
		return dst, fmt.Errorf("%d bytes are over the %d of the shared memory", n, o.max)
	}
	if err := o.open(); err != nil {
		return dst, err
	}
	// What the executor has written is there, unless its code has freed it again: then
	// there is memory for it, or a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("the shared memory cannot be read: %v", fault)
		}
	}()
	from := o.payload()[:n]
	if n > piece {
		if end, err := unix.Seek(o.fd, payloadAt, unix.SEEK_HOLE); err == nil && end < int64(payloadAt+n) {
			return dst, fmt.Errorf("it claims %d bytes in shared memory and has written fewer", n)
		}
		dst = slices.Grow(dst, n)
	}
	for len(from) > piece {
		dst, from = append(dst, from[:piece]...), from[piece:]
		if o.Late != nil && o.Late() {
			return dst, os.ErrDeadlineExceeded
		}
	}
	dst = append(dst, from...)
	// Reserved by the executor.
	o.reserved = max(o.reserved, n)
	o.resident.Store(int64(o.reserved))
	return dst, nil
}

// Resident is how many bytes of memory the payload takes, as far as this side knows. It
// may be called at any time.
func (o *Offer) Resident() int64 { return o.resident.Load() }

// Release gives the payload's memory back, if it is more than keep bytes and no call is
// under way. It may be called at any time.
func (o *Offer) Release(keep int) {
	if !o.mu.TryLock() {
		return
	}
	defer o.mu.Unlock()
	o.Reclaim(keep)
}

// Reclaim is Release between Begin and End, when the executor has answered.
func (o *Offer) Reclaim(keep int) {
	if o.reserved <= keep {
		return
	}
	// First the executor is told, so that it reserves what it needs anew.
	o.released++
	if _, err := unix.Pwrite(o.fd, binary.NativeEndian.AppendUint32(nil, o.released), releasedAt); err != nil {
		return
	}
	// All of it: what is kept is what is used next.
	if err := unix.Fallocate(o.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, payloadAt, int64(o.max)); err == nil {
		o.reserved = 0
		o.resident.Store(0)
	}
}

// Close gives everything back on this side.
func (o *Offer) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close()
	o.file.Close()
	o.fd = -1 // the number may be another file's from now on
}
