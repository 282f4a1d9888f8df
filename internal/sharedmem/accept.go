package sharedmem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Accepted is the executor's side, for one goroutine. Nil is an executor without shared
// memory.
type Accepted struct {
	region
	pid      uint32 // this process's
	released uint32 // the parent's count when reserved was true
}

// privateFD is where the descriptor goes: above what code that loops over "the first
// few" descriptors closes.
const privateFD = 100

// Accept takes up the offer that the process was started with, if there is one: nil and
// no error is none. The error says why it was refused; that does no harm. It must be called
// before anything else uses descriptors or starts processes: it takes the offer out of
// the environment and out of the reach of code that is loaded later.
func Accept() (*Accepted, error) {
	text, ok := os.LookupEnv(Env)
	if !ok {
		return nil, nil
	}
	// Else processes further down would take it for theirs.
	os.Unsetenv(Env)
	given, err := strconv.Atoi(text)
	if err != nil || given < 3 {
		return nil, fmt.Errorf("%s=%q is no descriptor", Env, text)
	}
	if got, err := unix.FcntlInt(uintptr(given), unix.F_GET_SEALS, 0); err != nil || got&seals != seals {
		// Not ours: it stays as it is.
		return nil, fmt.Errorf("descriptor %d, from %s, is no sealed memory", given, Env)
	}
	a := &Accepted{}
	if a.fd, err = unix.FcntlInt(uintptr(given), unix.F_DUPFD_CLOEXEC, privateFD); err != nil {
		// A limit on open files below privateFD: it stays where it is.
		a.fd = given
		unix.CloseOnExec(given)
	} else {
		unix.Close(given)
	}
	if err := a.take(); err != nil {
		a.close()
		unix.Close(a.fd)
		return nil, err
	}
	return a, nil
}

func (a *Accepted) take() error {
	var st unix.Stat_t
	if err := unix.Fstat(a.fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < uint64(st.Size) {
		return errors.New("the limit on the size of files is below that of the shared memory")
	}
	if st.Size <= payloadAt || int64(int(st.Size)) != st.Size {
		return fmt.Errorf("the shared memory has %d bytes", st.Size)
	}
	a.max = int(st.Size) - payloadAt
	if err := a.open(); err != nil {
		return err
	}
	a.pid = uint32(os.Getpid())
	word := binary.NativeEndian.AppendUint64(nil, magic)
	_, err := unix.Pwrite(a.fd, binary.NativeEndian.AppendUint32(word, a.pid), 0)
	return os.NewSyscallError("pwrite", err)
}

// usable reports whether the offer is this process's own. One that came down from another
// is its parent's, who does not drive this process.
func (a *Accepted) usable() bool { return a != nil && a.word(madeAt).Load() == a.pid }

// Payload is the memory itself, for the task to read its inputs in; nil if there is none.
func (a *Accepted) Payload() []byte {
	if !a.usable() {
		return nil
	}
	return a.payload()
}

// Max is how many bytes a payload may have.
func (a *Accepted) Max() int {
	if !a.usable() {
		return 0
	}
	return a.max
}

// CopyIn writes a payload for the parent to read. It reports whether it did: not if it
// is not worth it, too large, there is no memory left, or the parent does not want it.
func (a *Accepted) CopyIn(b []byte) bool {
	if !a.usable() || len(b) < Worthwhile || len(b) > a.max || a.word(withdrawAt).Load() != 0 {
		return false
	}
	if released := a.word(releasedAt).Load(); released != a.released {
		a.released, a.reserved = released, 0
	}
	return a.copyIn(b, nil) == nil
}
