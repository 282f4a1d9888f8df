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
	wanting list.List // of chan started: callers who wait for an executor
	pending int       // being started
	breaker breaker
	retry   *time.Timer // of the next attempt to fill the stock, after a death
	called  time.Time   // when a call was last its

	recent    []string    // packages called last, the last first; at most recentPackages
	recalling []*executor // that load some of those unasked
}

// inUse reports whether it was called lately.
func (g *group) inUse(now time.Time) bool { return now.Sub(g.called) < useLasts }

// useLasts is how long a program counts as in use after a call. Of those that are in use
// none loses its executors to another one's spares, so that none is started at each call.
const useLasts = 10 * time.Second

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

// warm starts the first spares.
func (p *Pool) warm() {
	if p.cfg.Executor != "" {
		p.warmOne("", packageFile{})
	}
	for _, name := range p.cfg.Preload {
		file, err := p.packages.find(name)
		if err == nil && (file.program || p.cfg.Executor == "") {
			err = p.warmOne(name, file)
		}
		if err != nil && p.cfg.Executor == "" {
			// Else each executor says so.
			p.observe(Event{Kind: EventLoadFailed, Package: name, Err: err})
		}
	}
}

// warmOne starts the first spares for a package.
func (p *Pool) warmOne(name string, file packageFile) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, err := p.groupOf(name, file)
	if err == nil {
		p.refill(g)
	}
	return err
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

// fit reports whether an executor that was taken out of stock can be used; else it is
// given up.
func (p *Pool) fit(e *executor) bool {
	why := e.unfit()
	if why == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandon(e, why)
	return false
}

// fromStock takes an executor out of stock for a call, nil if there is none for it. p.mu
// is held.
func (p *Pool) fromStock(g *group, r *Request, file packageFile, now time.Time) *executor {
	g.called = now
	e := p.pick(g, r.Package, file)
	if e == nil {
		return nil
	}
	if _, loaded := e.loaded[r.Package]; loaded {
		g.note(r.Package)
	}
	e.runs(r, now)
	p.refill(g)
	return e
}

// takeFor is take for one version of the package. It returns nothing if it has waited, or
// what it got is of no use: by then the package may be another.
func (p *Pool) takeFor(ctx context.Context, r *Request, file packageFile) (*executor, error) {
	now := time.Now()
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
	if e := p.fromStock(g, r, file, now); e != nil {
		p.mu.Unlock()
		if p.fit(e) {
			return e, nil
		}
		return nil, nil
	}
	wait, refused := g.breaker.wait(now)
	// Who waits has one that is coming, or that loads unasked, for each of those before it.
	if wait > 0 && len(g.recalling) <= g.wanting.Len() {
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
	// One that loads this very package will have done so before a new one has.
	if wait == 0 && g.pending+g.loading(r.Package) < g.wanting.Len() {
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
				p.giveBack(s.executor, time.Now())
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
	if reason := e.outdated(r.Package, file); reason != "" {
		p.retire(e, RecycledChanged, reason)
		return nil, nil
	}
	if why != nil && e.tasks > 0 { // else the call tells, or this might go on for ever
		p.abandon(e, why)
		return nil, nil
	}
	e.runs(r, time.Now())
	return e, nil
}

// pick takes the best executor out of stock, and retires those that cannot run this
// version of the package. Nil if there is none. p.mu is held.
func (p *Pool) pick(g *group, name string, file packageFile) *executor {
	// The one that was used last has its memory in the caches: the end of the stock.
	best, bestRank := -1, 0
	for i := len(g.stock) - 1; i >= 0; i-- {
		e := g.stock[i]
		if reason := e.outdated(name, file); reason != "" {
			p.retire(g.take(i), RecycledChanged, reason)
			best-- // if there is one, it is behind
			continue
		}
		rank := 1 + max(0, 1000-len(e.loaded))
		if _, ok := e.loaded[name]; ok {
			rank += 10_000
			if e.tasks > 0 {
				rank += 5_000 // spares stay spares
			}
		}
		if e.due == "" {
			rank += 100_000
		}
		if rank > bestRank {
			best, bestRank = i, rank
		}
	}
	if bestRank == 0 {
		return nil
	}
	return g.take(best)
}

// giveBack makes an executor that lives available to others. p.mu is held.
func (p *Pool) giveBack(e *executor, now time.Time) {
	p.mark(e, now)
	p.offer(e, now)
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
func (p *Pool) offer(e *executor, now time.Time) {
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
	e.idle = now
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
	if e.tasks == 0 {
		p.recall(g)
	}
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
	ready := g.ready() + len(g.recalling)
	for ready+g.pending-g.wanting.Len() < p.cfg.Spares && !p.resting(g) {
		if p.total >= p.processes() && !p.evictUnused(g) {
			return
		}
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

// evict retires the executor of another group that is of least use, for a call that has
// none. p.mu is held.
func (p *Pool) evict(but *group) {
	g, at, _ := p.leastUseful(but)
	if g != nil {
		p.retire(g.take(at), RecycledRoom, "another package needs the room")
	}
}

// evictUnused is evict for a spare: only what nobody uses makes room for that. p.mu is
// held.
func (p *Pool) evictUnused(but *group) bool {
	if !but.inUse(time.Now()) {
		return false
	}
	g, at, use := p.leastUseful(but)
	if g == nil || use > notInUse {
		return false
	}
	p.retire(g.take(at), RecycledRoom, "a spare of another package needs the room")
	return true
}

// How much use an executor in stock is, from little to much.
const (
	notInUse = iota // its program is not, or others stand by for that too, and it has not been used lately
	asSpare         // it has not had a call yet
	asMuch          // as any other
)

// leastUseful finds the executor in another group's stock that is of least use; among
// equals the one that has been idle the longest. p.mu is held.
func (p *Pool) leastUseful(but *group) (least *group, at, use int) {
	now := time.Now()
	for _, g := range p.groups {
		if g == but || len(g.stock) == 0 {
			continue
		}
		inUse, spare := g.inUse(now), len(g.stock) > max(1, p.cfg.Spares)
		for i, e := range g.stock {
			its := asMuch
			switch {
			case !inUse, spare && now.Sub(e.idle) >= useLasts:
				its = notInUse
			case e.tasks == 0:
				its = asSpare
			}
			if least == nil || its < use || its == use && e.idle.Before(least.stock[at].idle) {
				least, at, use = g, i, its
			}
		}
	}
	return least, at, use
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
