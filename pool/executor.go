package pool

import (
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// executor is one process of a pool. While a call has it, it is the call's; else it
// is in its group's stock, and p.mu guards it.
type executor struct {
	*Process
	number    int
	group     *group
	image     packageFile // what it was started from, if that is a package
	directory inode       // that it may open, if it is kept to that; see staged.directory
	started   time.Time
	idle      time.Time // since when it is in stock

	coming bool // it is still starting
	ending bool // it is to run nothing any more

	// What it runs, while it does.
	running   bool
	since     time.Time
	pkg, task string

	recalling string              // the package that it loads unasked, "" if none: it is in no stock then
	declined  map[string]struct{} // packages that it cannot load unasked

	loaded map[string]packageFile // by package; its owner changes it with p.mu held
	tasks  int                    // calls that it answered
	size   int64                  // resident memory after its last load, in bytes; 0: not known
	due    string                 // why it is to retire, "" if it is not
	gone   bool                   // its process has ended, or is about to
	line   lineContext            // what its lines of stderr are about
}

// runs notes what an executor runs from now on. p.mu is held.
func (e *executor) runs(r *Request, now time.Time) {
	e.running, e.since, e.pkg, e.task = true, now, r.Package, r.Task
}

// outdated says why it cannot run this version of the package: it has another, which
// cannot be unloaded, or may not open it. "" if it can.
func (e *executor) outdated(name string, file packageFile) string {
	old, loaded := e.loaded[name]
	switch {
	case loaded && old != file, e.group.pkg != "" && e.image != file:
		return "package " + name + " has been replaced"
	case !loaded && e.directory != file.directory:
		return "the package directory is another than the one it may open"
	}
	return ""
}

// unfit says why an executor that has answered cannot be used again: it has ended, or
// said something that nobody asked for and that would pass for the next answer.
func (e *executor) unfit() error {
	if e.frames.Buffered() > 0 {
		return errUnsolicited
	}
	switch ready := e.unread(); {
	case ready == 0:
		return nil
	case ready&unix.POLLIN != 0:
		return errUnsolicited
	}
	return io.EOF
}

// An executor that has come up leaves the pool in one of three ways: it is retired,
// its loss is noticed while nobody uses it, or a call loses it. Each tells the
// Observer once, and comes to remove.

// retire shuts an executor down in the background. p.mu is held; it is in no stock.
func (p *Pool) retire(e *executor, why string, reason string) {
	p.total--
	p.counts.Recycled[why]++
	e.running, e.ending = false, true
	p.retiring++
	// Those that do not shut down stay for their time. There are no more of them at once
	// than of all others.
	crowded := p.retiring > p.processes()
	p.work.Go(func() {
		p.observe(Event{Kind: EventRecycled, Executor: e.number, PID: e.PID(), Program: e.Program(), Reason: reason})
		if crowded {
			e.Kill(crowdedReason)
		}
		e.Shutdown()
		p.remove(e)
		p.mu.Lock()
		p.retiring--
		p.mu.Unlock()
	})
}

const crowdedReason = "too many others have been asked to shut down and still run"

// abandon gives up an executor that was lost while nobody used it, and tells. p.mu is
// held; it is in no stock.
func (p *Pool) abandon(e *executor, why error) {
	p.total--
	e.running, e.ending = false, true
	p.work.Go(func() {
		e.sent = time.Now() // the last request has nothing to do with it
		err := e.failed(&Request{}, PhaseIdle, 0, why)
		reportOf(err).Executor = e.number
		p.observe(Event{Kind: EventCrashed, Executor: e.number, PID: e.PID(), Program: e.Program(), Err: err})
		p.remove(e)
	})
}

// bury ends an executor that a call has lost, and sees to a new one. If the call has
// not told why it was lost, it is for this reason.
func (p *Pool) bury(e *executor, told bool, reason string) {
	p.mu.Lock()
	e.ending = true
	p.mu.Unlock()
	defer func() { // the Observer may panic
		p.remove(e)
		p.mu.Lock()
		p.total--
		p.refill(e.group)
		p.mu.Unlock()
	}()
	if !told {
		p.recycled(e, RecycledUnsure, reason)
	}
}

// recycled tells that an executor that is in no stock is given up.
func (p *Pool) recycled(e *executor, why string, reason string) {
	p.mu.Lock()
	p.counts.Recycled[why]++
	p.mu.Unlock()
	p.observe(Event{Kind: EventRecycled, Executor: e.number, PID: e.PID(), Program: e.Program(), Reason: reason})
}

// remove kills an executor if it still lives, waits for its end and forgets it.
func (p *Pool) remove(e *executor) {
	_ = e.Close()
	p.mu.Lock()
	delete(p.live, e)
	p.mu.Unlock()
}

// attend waits for an executor's end, which nobody else would notice while it is in
// stock.
func (p *Pool) attend(e *executor) {
	<-e.Exited()
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(e.group.stock, e); i >= 0 {
		e.group.take(i)
		p.lostIdle(e)
	}
}

// lostIdle gives up an executor that has ended while no call had it. p.mu is held; it is
// in no stock.
func (p *Pool) lostIdle(e *executor) {
	p.abandon(e, io.EOF)
	// What dies young is not replaced before the next call: it might go on for ever.
	if time.Since(e.started) >= watchEvery {
		p.refill(e.group)
	}
}
