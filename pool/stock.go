package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// group is the executors of one program: the one of Config.Executor, which run all
// packages that are libraries, or one package's own. p.mu guards it.
type group struct {
	program string
	pkg     string // "" for all that are libraries
	stock   []*executor
	wanting list.List // of chan started: callers who wait for an executor to start
	pending int       // being started; never fewer than wanting
	breaker breaker
	retry   *time.Timer // of the next attempt to fill the stock, after a death
}

// take takes an executor out of stock.
func (g *group) take(i int) *executor {
	e := g.stock[i]
	g.stock = slices.Delete(g.stock, i, i+1)
	return e
}

// ready is how many in stock are not to retire.
func (g *group) ready() (n int) {
	for _, e := range g.stock {
		if e.due == "" {
			n++
		}
	}
	return n
}

// started is what a caller gets who waits for a start.
type started struct {
	executor *executor
	err      error
}

// processes is how many there may be: one for each task that runs, and the spares.
// p.mu need not be held.
func (p *Pool) processes() int { return p.cfg.Executors + p.cfg.Spares }

// groupOf returns the group that runs this package. The error is a *[SpawnError].
// p.mu is held.
func (p *Pool) groupOf(name string, file packageFile) (*group, error) {
	program, pkg := p.cfg.Executor, ""
	if file.program {
		program, pkg = file.path, name
	}
	if program == "" {
		return nil, &SpawnError{Err: fmt.Errorf("Config.Executor is not set, and package %s is not staged as a program", name)}
	}
	g := p.groups[program]
	if g == nil {
		g = &group{program: program, pkg: pkg}
		p.groups[program] = g
	}
	return g, nil
}

// warm starts the first spares. p.mu is held.
func (p *Pool) warm() {
	if p.cfg.Executor != "" {
		if g, err := p.groupOf("", packageFile{}); err == nil {
			p.refill(g)
		}
	}
	for _, name := range p.cfg.Preload {
		if file, err := p.packages.find(name); err == nil && file.program {
			if g, err := p.groupOf(name, file); err == nil {
				p.refill(g)
			}
		}
	}
}

// take gets an executor for a call of this package, as it is staged now: one from stock
// that has it loaded, else the emptiest, else one that has to start.
func (p *Pool) take(ctx context.Context, r *Request) (*executor, packageFile, error) {
	for {
		file, err := p.packages.find(r.Package)
		if err != nil {
			var answered *ExecutorError
			if errors.As(err, &answered) {
				answered.Task = r.Task
			}
			return nil, file, err
		}
		e, err := p.takeFor(ctx, r, file)
		if e != nil || err != nil {
			return e, file, err
		}
	}
}

// takeFor is take for one version of the package. It returns nothing if it has waited, or
// what it got is of no use: by then the package may be another.
func (p *Pool) takeFor(ctx context.Context, r *Request, file packageFile) (*executor, error) {
	p.mu.Lock()
	if p.killed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	g, err := p.groupOf(r.Package, file)
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	if e := p.pick(g, r.Package, file); e != nil {
		e.runs(r)
		p.refill(g)
		p.mu.Unlock()
		if why := e.unfit(); why != nil {
			p.mu.Lock()
			p.abandon(e, why)
			p.mu.Unlock()
			return nil, nil
		}
		return e, nil
	}
	if wait, refused := g.breaker.wait(time.Now()); wait > 0 {
		broken := &BreakerError{Package: g.pkg, Deaths: g.breaker.deaths, Until: g.breaker.until, Err: g.breaker.last}
		p.mu.Unlock()
		if refused {
			return nil, broken
		}
		if !sleep(ctx, wait) {
			return nil, canceled(ctx, r)
		}
		return nil, nil
	}
	turn := make(chan started, 1)
	place := g.wanting.PushBack(turn)
	if g.pending < g.wanting.Len() {
		if p.total >= p.processes() {
			p.evict(g)
		}
		p.start(g)
	}
	p.mu.Unlock()

	var s started
	select {
	case s = <-turn:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		select {
		case s := <-turn:
			if s.err == nil {
				p.giveBack(s.executor)
			}
		default:
			g.wanting.Remove(place)
		}
		return nil, canceled(ctx, r)
	}
	if s.err != nil {
		if killedByClose(s.err) {
			return nil, ErrClosed
		}
		return nil, s.err
	}
	e := s.executor
	why := e.unfit()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case e.outdated(r.Package, file):
		p.retire(e, RecycledChanged, replaced(r.Package))
	case why != nil && e.tasks > 0: // else the call tells, or this might go on for ever
		p.abandon(e, why)
	default:
		e.runs(r)
		return e, nil
	}
	return nil, nil
}

func replaced(name string) string { return "package " + name + " has been replaced" }

// pick takes the best executor out of stock, and retires those that have an older
// version of the package. Nil if there is none. p.mu is held.
func (p *Pool) pick(g *group, name string, file packageFile) *executor {
	for i := len(g.stock) - 1; i >= 0; i-- {
		if g.stock[i].outdated(name, file) {
			p.retire(g.take(i), RecycledChanged, replaced(name))
		}
	}
	// The one that was used last has its memory in the caches: the end of the stock.
	best, bestRank := -1, 0
	for i, e := range g.stock {
		rank := 1 + max(0, 1000-len(e.loaded))
		if _, ok := e.loaded[name]; ok {
			rank += 10_000
		}
		if e.due == "" {
			rank += 100_000
		}
		if rank >= bestRank {
			best, bestRank = i, rank
		}
	}
	if best < 0 {
		return nil
	}
	return g.take(best)
}

// giveBack makes an executor that lives available to others. p.mu is held.
func (p *Pool) giveBack(e *executor) {
	p.mark(e, time.Now())
	p.offer(e)
}

// mark notes that an executor is to retire for what it has done, or its age. p.mu is
// held.
func (p *Pool) mark(e *executor, now time.Time) {
	switch {
	case e.due != "":
	case p.cfg.MaxTasks > 0 && e.tasks >= p.cfg.MaxTasks:
		e.due = RecycledTasks
	case p.cfg.MaxAge > 0 && now.Sub(e.started) >= p.cfg.MaxAge:
		e.due = RecycledAge
	}
}

// offer puts an executor in stock, or gives it to a caller who waits. p.mu is held.
func (p *Pool) offer(e *executor) {
	g := e.group
	if first := g.wanting.Front(); first != nil {
		g.wanting.Remove(first).(chan started) <- started{executor: e}
		p.refill(g) // it is no spare any more
		return
	}
	select {
	case <-e.Exited():
		// While it was a call's, where attend did not see it.
		p.lostIdle(e)
		return
	default:
	}
	e.idle = time.Now()
	g.stock = append(g.stock, e)
	if p.closed {
		p.emptyStock()
		return
	}
	p.renew(g)
	if p.surplus() > 0 {
		p.evict(g) // callers that gave up have left more than there should be
	}
	p.refill(g)
}

// surplus is how many processes there are more than there should be, not counting those
// that retire as soon as there are others. p.mu is held.
func (p *Pool) surplus() int {
	n := p.total - p.processes()
	if n <= 0 {
		return n
	}
	for e := range p.live {
		if e.due != "" && !e.ending {
			n--
		}
	}
	return n
}

// renew retires executors that are due, as far as there are others to take their
// place, and starts those others. p.mu is held.
func (p *Pool) renew(g *group) {
	ready := g.ready()
	due := len(g.stock) - ready
	for i := len(g.stock) - 1; i >= 0 && ready > 0; i-- {
		if e := g.stock[i]; e.due != "" {
			p.retire(g.take(i), e.due, e.due)
			due--
			ready--
		}
	}
	// One at a time, and over the number of processes if need be.
	if due > 0 && g.pending == 0 && !p.resting(g) {
		p.start(g)
	}
}

// refill starts spares until there are as many as there should be. p.mu is held.
func (p *Pool) refill(g *group) {
	if p.closed {
		return
	}
	for ready := g.ready(); ready+g.pending-g.wanting.Len() < p.cfg.Spares && p.total < p.processes() && !p.resting(g); {
		p.start(g)
	}
}

// resting reports whether nothing should be started now, since starts have failed,
// and sees to it that it is tried again later. p.mu is held.
func (p *Pool) resting(g *group) bool {
	wait, _ := g.breaker.wait(time.Now())
	if wait == 0 {
		return false
	}
	if g.retry == nil {
		g.retry = time.AfterFunc(wait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			g.retry = nil
			p.refill(g)
		})
	}
	return true
}

// evict retires the executor of another group that has been idle the longest. p.mu is
// held.
func (p *Pool) evict(but *group) {
	var oldest *group
	at := 0
	for _, g := range p.groups {
		if g == but {
			continue
		}
		for i, e := range g.stock {
			if oldest == nil || e.idle.Before(oldest.stock[at].idle) {
				oldest, at = g, i
			}
		}
	}
	if oldest != nil {
		p.retire(oldest.take(at), RecycledRoom, "another package needs the room")
	}
}

// empty retires all that a group has in stock, and tries no longer to fill it. p.mu is
// held.
func (p *Pool) empty(g *group, why, reason string) {
	for len(g.stock) > 0 {
		p.retire(g.take(len(g.stock)-1), why, reason)
	}
	if g.retry != nil {
		g.retry.Stop()
		g.retry = nil
	}
}

// emptyStock retires all that is in stock, since the pool is closed. p.mu is held.
func (p *Pool) emptyStock() {
	for _, g := range p.groups {
		p.empty(g, RecycledClosed, closedReason)
	}
}
