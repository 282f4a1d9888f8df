package pool

import (
	"context"
	"errors"
	"time"
)

// loadBreaker is a breaker for one version of a package.
type loadBreaker struct {
	breaker
	file packageFile
}

// loadRefused is the package's *[BreakerError], if it is not to be loaded now, and for
// how long to wait with it; 0: its breaker is open.
func (p *Pool) loadRefused(name string, file packageFile) (*BreakerError, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.loads[name]
	if b == nil || b.file != file {
		return nil, 0
	}
	wait, refused := b.wait(time.Now())
	if wait == 0 {
		return nil, 0
	}
	if refused {
		wait = 0
	}
	return &BreakerError{Package: name, Deaths: b.deaths, Until: b.until, Err: b.last}, wait
}

// awaitLoad waits until a call may load its package. The error is the package's
// *[BreakerError], if that would be never or not before the deadline, or a
// *[CanceledError].
func (p *Pool) awaitLoad(ctx context.Context, r *Request, file packageFile, deadline time.Time) error {
	for {
		broken, wait := p.loadRefused(r.Package, file)
		if broken == nil {
			return nil
		}
		if wait == 0 || !deadline.IsZero() && !broken.Until.Before(deadline) {
			return broken
		}
		if !sleep(ctx, wait) {
			return canceled(ctx, r)
		}
	}
}

// load has an executor load a package. The error is what a call of the package ends
// with.
func (p *Pool) load(e *executor, name string, file packageFile, limit time.Duration, deadline time.Time) error {
	begin := time.Now()
	e.line.set(name, "", nil)
	defer e.line.clear()
	err := e.load(name, limit, deadline)
	size := int64(0)
	if err == nil {
		// Also for its peak, which the next look might be too late for.
		m, _ := e.sampleMemory()
		size = e.own(m)
	}
	p.mu.Lock()
	b := p.loads[name]
	if b != nil && b.file != file {
		b = nil
	}
	switch {
	case err == nil:
		delete(p.loads, name)
		e.loaded[name] = file
		e.size = size
	case p.loadDied(err):
		if b == nil {
			b = &loadBreaker{file: file}
			p.loads[name] = b
		}
		b.failed(time.Now(), err)
	}
	p.mu.Unlock()
	if err == nil {
		p.observe(Event{Kind: EventLoaded, Executor: e.number, PID: e.PID(), Program: e.Program(), Package: name, Duration: time.Since(begin)})
	}
	return err
}

// loadDied reports whether err speaks against the package that was being loaded: not
// if the caller changed its mind, or gave it less time than the configuration does.
func (p *Pool) loadDied(err error) bool {
	var (
		crash   *CrashError
		timeout *TimeoutError
	)
	switch {
	case lives(err) || killedByClose(err):
		return false
	case errors.As(err, &timeout):
		return timeout.Limit >= p.cfg.LoadTimeout || p.cfg.Timeout > 0 && timeout.Limit >= p.cfg.Timeout
	case errors.As(err, &crash):
		return crash.Exit.Killed != canceledReason
	}
	return true
}
