package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// executor is one process of a pool. While a call has it, it is the call's; else it
// is in its group's stock, and p.mu guards it.
type executor struct {
	*Process
	number  int
	group   *group
	image   packageFile // what it was started from, if that is a package
	started time.Time
	idle    time.Time // since when it is in stock

	// What it runs, while it does.
	running   bool
	since     time.Time
	pkg, task string

	loaded map[string]packageFile // by package
	tasks  int                    // calls that it answered
	size   int64                  // resident memory after its last load, if MaxGrowth wants it
	due    string                 // why it is to retire, "" if it is not
	gone   bool                   // its process has ended, or is about to
	line   lineContext            // what its lines of stderr are about
}

// group is the executors of one program: the one of Config.Executor, which run all
// packages that are libraries, or one package's own.
type group struct {
	program string
	pkg     string // "" for all that are libraries
	stock   []*executor
	wanting list.List // of chan started: callers who wait for an executor to start
	pending int       // being started
	breaker breaker
	retry   *time.Timer // of the next attempt to fill the stock, after a death
}

// started is what a caller gets who waits for a start.
type started struct {
	executor *executor
	err      error
}

// loadBreaker is a breaker for one version of a package.
type loadBreaker struct {
	breaker
	file packageFile
}

// processes is how many there may be: one for each task that runs, and the spares.
// p.mu need not be held.
func (p *Pool) processes() int { return p.cfg.Executors + p.cfg.Spares }

// groupOf returns the group that runs this package. p.mu is held.
func (p *Pool) groupOf(name string, file packageFile) (*group, error) {
	program, pkg := p.cfg.Executor, ""
	if file.program {
		program, pkg = file.path, name
	}
	if program == "" {
		return nil, &SpawnError{Executor: "(none)", Err: errNoExecutor}
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

// take gets an executor for a call of this package: one from stock that has it loaded,
// else the emptiest, else one that has to start.
func (p *Pool) take(ctx context.Context, r *Request, file packageFile) (*executor, error) {
	for {
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
			return e, nil
		}
		wait, refused := g.breaker.wait(time.Now())
		if refused {
			err := &BreakerError{Deaths: g.breaker.deaths, Until: g.breaker.until, Err: g.breaker.last}
			if g.pkg != "" {
				err.Package = g.pkg
			}
			p.mu.Unlock()
			return nil, err
		}
		if wait > 0 {
			p.mu.Unlock()
			if !sleep(ctx, wait) {
				return nil, canceled(ctx, r)
			}
			continue
		}
		turn := make(chan started, 1)
		place := g.wanting.PushBack(turn)
		if g.pending < g.wanting.Len() {
			p.start(g)
		}
		p.mu.Unlock()

		select {
		case s := <-turn:
			if s.err == nil {
				p.mu.Lock()
				s.executor.runs(r)
				p.mu.Unlock()
			}
			return s.executor, s.err
		case <-ctx.Done():
		}
		p.mu.Lock()
		select {
		case s := <-turn:
			if s.err == nil {
				p.giveBack(s.executor)
			}
		default:
			g.wanting.Remove(place)
		}
		p.mu.Unlock()
		return nil, canceled(ctx, r)
	}
}

// runs notes what an executor runs from now on. p.mu is held.
func (e *executor) runs(r *Request) {
	e.running, e.since, e.pkg, e.task = true, time.Now(), r.Package, r.Task
}

// sleep reports whether it was not ended by ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pick takes the best executor out of stock, and retires those that have an older
// version of the package. Nil if there is none. p.mu is held.
func (p *Pool) pick(g *group, name string, file packageFile) *executor {
	for i := len(g.stock) - 1; i >= 0; i-- {
		e := g.stock[i]
		if old, ok := e.loaded[name]; ok && old != file || g.pkg != "" && e.image != file {
			p.retire(g, i, RecycledChanged, "package "+name+" has been replaced")
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
	e := g.stock[best]
	g.stock = slices.Delete(g.stock, best, best+1)
	return e
}

// giveBack makes an executor that lives available to others. p.mu is held.
func (p *Pool) giveBack(e *executor) {
	if e.due == "" {
		p.mark(e, time.Now())
	}
	p.offer(e)
}

// mark notes that an executor is to retire.
func (p *Pool) mark(e *executor, now time.Time) {
	switch {
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
		return
	}
	e.idle = time.Now()
	g.stock = append(g.stock, e)
	if p.closed {
		p.emptyStock("the pool is closed")
		return
	}
	p.renew(g)
	p.refill(g)
}

// renew retires executors that are due, as far as there are others to take their
// place, and starts those others. p.mu is held.
func (p *Pool) renew(g *group) {
	due, ready := 0, 0
	for _, e := range g.stock {
		if e.due != "" {
			due++
		} else {
			ready++
		}
	}
	for i := len(g.stock) - 1; i >= 0 && ready > 0; i-- {
		if e := g.stock[i]; e.due != "" {
			p.retire(g, i, e.due, e.due)
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
	ready := 0
	for _, e := range g.stock {
		if e.due == "" {
			ready++
		}
	}
	for ready+g.pending-g.wanting.Len() < p.cfg.Spares && p.total < p.processes() && !p.resting(g) {
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

// start starts an executor in the background, in place of the one that has been idle
// the longest if there are too many. p.mu is held.
func (p *Pool) start(g *group) {
	if p.total >= p.processes() {
		p.evict(g)
	}
	p.total++
	g.pending++
	p.lastID++
	e := &executor{number: p.lastID, group: g, loaded: map[string]packageFile{}}
	p.work.Go(func() {
		err := p.launch(e)
		p.mu.Lock()
		defer p.mu.Unlock()
		g.pending--
		if err == nil {
			g.breaker.succeeded()
			p.offer(e)
			return
		}
		p.total--
		p.counts.SpawnFailures++
		g.breaker.failed(time.Now(), err)
		if first := g.wanting.Front(); first != nil {
			g.wanting.Remove(first).(chan started) <- started{err: err}
		}
		p.refill(g)
	})
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
		p.retire(oldest, at, RecycledRoom, "another package needs the room")
	}
}

// retire takes an executor out of stock and shuts it down in the background. p.mu is
// held.
func (p *Pool) retire(g *group, i int, why string, reason string) {
	e := g.stock[i]
	g.stock = slices.Delete(g.stock, i, i+1)
	p.total--
	p.counts.Recycled[why]++
	p.work.Go(func() {
		p.observe(Event{Kind: EventRecycled, Executor: e.number, PID: e.PID(), Program: e.Program(), Reason: reason})
		e.Shutdown()
		p.remove(e)
	})
}

// emptyStock retires all that is in stock. p.mu is held.
func (p *Pool) emptyStock(reason string) {
	for _, g := range p.groups {
		for len(g.stock) > 0 {
			p.retire(g, len(g.stock)-1, RecycledClosed, reason)
		}
		if g.retry != nil {
			g.retry.Stop()
			g.retry = nil
		}
	}
}

// remove waits for an executor's end and forgets it.
func (p *Pool) remove(e *executor) {
	_ = e.Close()
	p.mu.Lock()
	delete(p.live, e)
	p.mu.Unlock()
}

// bury ends an executor that a call has lost, and sees to a new one.
func (p *Pool) bury(e *executor) {
	p.remove(e)
	p.mu.Lock()
	p.total--
	p.refill(e.group)
	p.mu.Unlock()
}

// What executors are asked for that is no call. Neither exists, so that every
// executor answers it with a failure.
const (
	pingPackage = "__spider_ping"
	loadTask    = "__spider_load"
)

// launch starts an executor, waits until it answers, and has it load what is to be
// preloaded. The error is a *[SpawnError].
func (p *Pool) launch(e *executor) error {
	fail := func(err error) error {
		p.observe(Event{Kind: EventSpawnFailed, Executor: e.number, Program: e.group.program, Err: err})
		return err
	}
	if e.group.pkg != "" {
		file, err := p.packages.find(e.group.pkg)
		if err == nil && !file.program {
			err = fmt.Errorf("%s is no program any more", e.group.program)
		}
		if err != nil {
			return fail(&SpawnError{Executor: e.group.program, Err: err})
		}
		e.image = file
	}
	begin := time.Now()
	process, err := StartProcess(p.processConfig(e))
	if err != nil {
		return fail(err)
	}
	e.Process, e.started = process, begin
	p.mu.Lock()
	p.live[e] = struct{}{}
	if p.killed || p.closed && p.busy == 0 {
		process.Kill("the pool is closed")
	}
	p.mu.Unlock()

	ping := Request{Package: pingPackage, Task: loadTask, Context: defaultContext, Inputs: noInputs}
	_, err = e.execute(&ping, PhaseStart, p.cfg.StartTimeout, begin.Add(p.cfg.StartTimeout))
	if err != nil && !lives(err) {
		p.remove(e)
		return fail(&SpawnError{Executor: e.group.program, Err: err})
	}
	p.mu.Lock()
	p.counts.Spawned++
	p.mu.Unlock()
	p.observe(Event{Kind: EventSpawned, Executor: e.number, PID: e.PID(), Program: e.Program(), Duration: time.Since(begin)})

	for _, name := range p.cfg.Preload {
		file, err := p.packages.find(name)
		if err != nil || file.program != (e.group.pkg == name) || p.loadRefused(name, file) != nil {
			continue
		}
		if err := p.load(e, name, file, p.cfg.LoadTimeout, time.Now().Add(p.cfg.LoadTimeout)); err != nil && !lives(err) {
			// The package's breaker has counted it; the next executor comes up
			// without the package if it goes on like this.
			p.remove(e)
			return fail(&SpawnError{Executor: e.group.program, Err: err})
		}
	}
	return nil
}

// loadRefused is the package's *[BreakerError], if its breaker is open or it has to
// wait.
func (p *Pool) loadRefused(name string, file packageFile) *BreakerError {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.loads[name]
	if b == nil || b.file != file {
		return nil
	}
	if wait, _ := b.wait(time.Now()); wait == 0 {
		return nil
	}
	return &BreakerError{Package: name, Deaths: b.deaths, Until: b.until, Err: b.last}
}

// load has an executor load a package, by a task that does not exist. The error is
// what a call of the package ends with.
func (p *Pool) load(e *executor, name string, file packageFile, limit time.Duration, deadline time.Time) error {
	begin := time.Now()
	e.line.set(&Request{Package: name})
	defer e.line.clear()
	_, err := e.execute(&Request{Package: name, Task: loadTask, Context: defaultContext, Inputs: noInputs}, PhaseLoad, limit, deadline)
	var answered *ExecutorError
	if errors.As(err, &answered) && answered.Kind == TaskError {
		err = nil // as expected: it is loaded, and has no such task
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
	case !lives(err):
		if b == nil {
			b = &loadBreaker{file: file}
			p.loads[name] = b
		}
		b.failed(time.Now(), err)
	}
	p.mu.Unlock()
	if err == nil {
		if m, ok := e.sampleMemory(); ok {
			e.size = m.now
		}
		p.observe(Event{Kind: EventLoaded, Executor: e.number, PID: e.PID(), Program: e.Program(), Package: name, Duration: time.Since(begin)})
	}
	return err
}

// inspect looks at executors' memory and age.
func (p *Pool) inspect(now time.Time) {
	p.mu.Lock()
	all := make([]*executor, 0, len(p.live))
	for e := range p.live {
		all = append(all, e)
	}
	p.mu.Unlock()

	sizes := make([]int64, len(all))
	for i, e := range all {
		m, _ := e.sampleMemory()
		sizes[i] = m.now
		if limit := p.cfg.Limits.Memory; limit > 0 && m.now > limit {
			e.Kill(fmt.Sprintf("it has %d bytes of resident memory, over its limit of %d", m.now, limit))
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for i, e := range all {
		// Only in stock is it the pool's to judge; after a call it is marked anyway,
		// but for its memory.
		if !slices.Contains(e.group.stock, e) {
			continue
		}
		p.mark(e, now)
		if e.due == "" && p.cfg.MaxGrowth > 0 && e.size > 0 && sizes[i]-e.size > p.cfg.MaxGrowth {
			e.due = RecycledGrowth
		}
	}
	for _, g := range p.groups {
		p.renew(g)
	}
}

// processConfig is how an executor is started.
func (p *Pool) processConfig(e *executor) ProcessConfig {
	cfg := ProcessConfig{
		Executor:    e.group.program,
		PackageDir:  p.packages.dir,
		Env:         p.cfg.Env,
		Dir:         p.cfg.Dir,
		MaxFrame:    p.cfg.MaxFrame,
		StderrLines: p.cfg.StderrLines,
		Limits:      p.cfg.Limits,
	}
	if p.cfg.EnvAllow != nil {
		cfg.Env = allowed(os.Environ(), p.cfg.EnvAllow)
	}
	if p.cfg.Stderr != nil || p.cfg.Logger != nil {
		cfg.OnStderr = func(text string) { p.line(e, text) }
	}
	return cfg
}

// allowed returns the assignments of env whose names a list allows.
func allowed(env, names []string) []string {
	kept := []string{}
	for _, assignment := range env {
		name, _, _ := strings.Cut(assignment, "=")
		if slices.ContainsFunc(names, func(allow string) bool {
			prefix, any := strings.CutSuffix(allow, "*")
			return name == allow || any && strings.HasPrefix(name, prefix)
		}) {
			kept = append(kept, assignment)
		}
	}
	return kept
}
