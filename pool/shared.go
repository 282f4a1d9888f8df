package pool

import (
	"errors"
	"os"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/sharedmem"
)

const (
	// keepShared is how much shared memory a process keeps that does not need it, in
	// bytes.
	keepShared = 1 << 20

	// sharedPatience is how long more than that is kept.
	sharedPatience = time.Second
)

// offer makes the shared memory for a process that is about to start. Where that cannot
// be, everything goes by pipe.
func (p *Process) offer(maxPayload int) {
	p.sharedEnd = func() {}
	if maxPayload < 0 {
		return
	}
	if maxPayload == 0 {
		// Exactly the answers that fit a frame, so that it makes no difference.
		maxPayload = p.maxFrame - protocol.ResponseSize(0)
	} else {
		p.maxPayload = maxPayload
	}
	if maxPayload < sharedmem.Worthwhile {
		return
	}
	if offer, err := sharedmem.NewOffer(maxPayload); err == nil {
		offer.Late = p.out.overdue
		p.shared, p.sharedEnd = offer, offer.Close
	}
}

// maxShared is how many bytes an answer may have in shared memory.
func (p *Process) maxShared() int {
	if p.shared == nil {
		return 0
	}
	return p.shared.Max()
}

// tooLarge says that a request fits no frame, and that its inputs are larger than is
// allowed outside of one, or what is left does not fit. Its error is a *[TooLargeError].
func (r *Request) tooLarge(maxFrame, maxPayload int) error {
	size := protocol.ExecuteSize(len(r.Package), len(r.Task), len(r.Context), len(r.Inputs))
	if protocol.CheckFrame(size, maxFrame) == nil {
		return nil
	}
	if len(r.Inputs) <= maxPayload && protocol.CheckFrame(size-len(r.Inputs), maxFrame) == nil {
		return nil
	}
	return &TooLargeError{Package: r.Package, Task: r.Task, Size: size, Limit: max(maxFrame, maxPayload)}
}

// share puts the inputs into shared memory, if that is worth it and both sides can. The
// error is a *[TooLargeError].
func (p *Process) share(r *Request) (inMemory bool, err error) {
	if len(r.Inputs) < sharedmem.Worthwhile || p.shared == nil || !p.shared.Taken() {
		return false, r.tooLarge(p.maxFrame, 0)
	}
	if err := r.tooLarge(p.maxFrame, p.maxPayload); err != nil {
		return false, err
	}
	if len(r.Inputs) > p.shared.Max() {
		return false, nil
	}
	if err := p.shared.CopyIn(r.Inputs); errors.Is(err, os.ErrDeadlineExceeded) {
		return false, err
	} else if err != nil {
		// There is no memory: it goes by pipe, if it fits.
		return false, r.tooLarge(p.maxFrame, 0)
	}
	p.noteShared(len(r.Inputs))
	return true, nil
}

func (p *Process) noteShared(n int) {
	if n > keepShared {
		p.largeAt = p.sent
	}
}

// introduce has an executor that has not answered anything yet answer something, if r
// depends on whether it takes shared memory: it does that before its first answer.
func (p *Process) introduce(r *Request) error {
	if p.heard || len(r.Inputs) < sharedmem.Worthwhile || r.tooLarge(p.maxFrame, 0) == nil {
		return nil
	}
	ping := newPing()
	if err := p.send(&ping); err != nil {
		return err
	}
	if _, err := p.receive(&ping); err != nil && !isAnswer(err) {
		return err
	}
	return nil
}

// releaseShared gives back shared memory that is not in use.
func (p *Process) releaseShared() {
	if p.shared != nil {
		p.shared.Release(keepShared)
	}
}

// own is a process's resident memory without the payloads in it, in bytes. It does not
// believe that there are more than the kernel says it shares.
func (p *Process) own(m memory) int64 {
	if p.shared == nil {
		return m.now
	}
	return m.now - min(m.shared, p.shared.Resident())
}
