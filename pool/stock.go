package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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

	coming bool // it is still starting
	ending bool // it is to run nothing any more

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

// take gets an executor for a call of this package, as it is staged now: one from stock
// that has it loaded, else the emptiest, else one that has to start.
func (p *Pool) take(ctx context.Context, r *Request) (*executor, packageFile, error) {
	none := packageFile{}
	for {
		file, err := p.packages.find(r.Package)
		if err != nil {
			var answered *ExecutorError
			if errors.As(err, &answered) {
				answered.Task = r.Task
			}
			return nil, none, err
		}
		p.mu.Lock()
		if p.killed {
			p.mu.Unlock()
			return nil, none, ErrClosed
		}
		g, err := p.groupOf(r.Package, file)
		if err != nil {
			p.mu.Unlock()
			return nil, none, err
		}
		if e := p.pick(g, r.Package, file); e != nil {
			e.runs(r)
			p.refill(g)
			p.mu.Unlock()
			if why := e.unfit(); why != nil {
				p.mu.Lock()
				p.abandon(e, why)
				p.mu.Unlock()
				continue
			}
			return e, file, nil
		}
		wait, refused := g.breaker.wait(time.Now())
		if refused {
			err := &BreakerError{Deaths: g.breaker.deaths, Until: g.breaker.until, Err: g.breaker.last}
			if g.pkg != "" {
				err.Package = g.pkg
			}
			p.mu.Unlock()
			return nil, none, err
		}
		if wait > 0 {
			p.mu.Unlock()
			if !sleep(ctx, wait) {
				return nil, none, canceled(ctx, r)
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
			if s.err != nil {
				return nil, none, s.err
			}
			e := s.executor
			why := e.unfit()
			p.mu.Lock()
			switch {
			case e.outdated(r.Package, file):
				g.stock = append(g.stock, e)
				p.retire(g, len(g.stock)-1, RecycledChanged, replaced(r.Package))
			case why != nil && e.tasks > 0: // else the call tells, or this might go on for ever
				p.abandon(e, why)
			default:
				e.runs(r)
				p.mu.Unlock()
				return e, file, nil
			}
			p.mu.Unlock()
			continue
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
		return nil, none, canceled(ctx, r)
	}
}

// outdated reports whether it has another version of the package, which cannot be
// unloaded.
func (e *executor) outdated(name string, file packageFile) bool {
	old, ok := e.loaded[name]
	return ok && old != file || e.group.pkg != "" && e.image != file
}

func replaced(name string) string { return "package " + name + " has been replaced" }

// unfit says why an executor that has answered cannot be used again: it has ended, or
// said something that nobody asked for and that would pass for the next answer.
func (e *executor) unfit() error {
	if e.frames.Buffered() > 0 {
		return errUnsolicited
	}
	switch ready := e.out.unread(); {
	case ready == 0:
		return nil
	case ready&unix.POLLIN != 0:
		return errUnsolicited
	}
	return io.EOF
}

// abandon gives up an executor that was lost while nobody used it, and tells. p.mu is
// held; it is in no stock.
func (p *Pool) abandon(e *executor, why error) {
	p.total--
	e.running, e.ending = false, true
	p.work.Go(func() {
		e.sent = time.Now() // the last request has nothing to do with it
		err := e.failed(&Request{}, PhaseIdle, 0, why)
		attribute(err, e)
		p.observe(Event{Kind: EventCrashed, Executor: e.number, PID: e.PID(), Program: e.Program(), Err: err})
		p.remove(e)
	})
}

// PhaseIdle is the phase of an executor of a [Pool] that ran nothing.
const PhaseIdle Phase = "idle"

// attribute notes in the report that err may have which executor it is about.
func attribute(err error, e *executor) {
	var (
		crash   *CrashError
		timeout *TimeoutError
		damage  *ProtocolError
	)
	switch {
	case errors.As(err, &crash):
		crash.Executor = e.number
	case errors.As(err, &timeout):
		timeout.Executor = e.number
	case errors.As(err, &damage):
		damage.Executor = e.number
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
		if g.stock[i].outdated(name, file) {
			p.retire(g, i, RecycledChanged, replaced(name))
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
	if p.total > p.processes() {
		p.evict(g) // callers that gave up have left more than there should be
	}
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
	p.work.Go(func() {
		e, err := p.launch(g)
		p.mu.Lock()
		g.pending--
		if err == nil {
			g.breaker.succeeded()
			e.coming = false
			p.offer(e)
			p.mu.Unlock()
			p.attend(e)
			return
		}
		defer p.mu.Unlock()
		p.total--
		if !p.closed || g.wanting.Len() > 0 {
			p.counts.SpawnFailures++
		}
		g.breaker.failed(time.Now(), err)
		if first := g.wanting.Front(); first != nil {
			g.wanting.Remove(first).(chan started) <- started{err: err}
		}
		p.refill(g)
	})
}

// attend waits for an executor's end, which nobody else would notice while it is in
// stock.
func (p *Pool) attend(e *executor) {
	<-e.Exited()
	p.mu.Lock()
	defer p.mu.Unlock()
	g := e.group
	i := slices.Index(g.stock, e)
	if i < 0 {
		return
	}
	g.stock = slices.Delete(g.stock, i, i+1)
	p.lostIdle(e)
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
	e.running, e.ending = false, true
	p.work.Go(func() {
		p.observe(Event{Kind: EventRecycled, Executor: e.number, PID: e.PID(), Program: e.Program(), Reason: reason})
		e.Shutdown()
		p.remove(e)
	})
}

// recycled tells that an executor that is in no stock is given up.
func (p *Pool) recycled(e *executor, why string, reason string) {
	p.mu.Lock()
	p.counts.Recycled[why]++
	p.mu.Unlock()
	p.observe(Event{Kind: EventRecycled, Executor: e.number, PID: e.PID(), Program: e.Program(), Reason: reason})
}

const closedReason = "the pool is closed"

// emptyStock retires all that is in stock, since the pool is closed. p.mu is held.
func (p *Pool) emptyStock() {
	for _, g := range p.groups {
		for len(g.stock) > 0 {
			p.retire(g, len(g.stock)-1, RecycledClosed, closedReason)
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
	p.mu.Lock()
	e.ending = true
	p.mu.Unlock()
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
// preloaded, without what does not survive that. The error is a *[SpawnError].
func (p *Pool) launch(g *group) (*executor, error) {
	var deadly []string
	for {
		p.mu.Lock()
		p.lastID++
		e := &executor{number: p.lastID, group: g, coming: true, loaded: map[string]packageFile{}}
		p.mu.Unlock()
		if err := p.comeUp(e); err != nil {
			return nil, err
		}
		name := p.preload(e, deadly)
		if name == "" {
			return e, nil
		}
		deadly = append(deadly, name)
	}
}

// comeUp starts an executor and waits until it answers.
func (p *Pool) comeUp(e *executor) error {
	fail := func(err error) error {
		p.mu.Lock()
		unwanted := p.closed && e.group.wanting.Len() == 0
		p.mu.Unlock()
		if !unwanted {
			p.observe(Event{Kind: EventSpawnFailed, Executor: e.number, Program: e.group.program, Err: err})
		}
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
		process.Kill(closedReason)
	}
	p.mu.Unlock()

	ping := Request{Package: pingPackage, Task: loadTask, Context: defaultContext, Inputs: noInputs}
	_, err = e.execute(&ping, PhaseStart, p.cfg.StartTimeout, begin.Add(p.cfg.StartTimeout))
	if err == nil || lives(err) {
		if why := e.unfit(); why != nil {
			err = e.failed(&ping, PhaseStart, 0, why)
		}
	}
	if err != nil && !lives(err) {
		attribute(err, e)
		p.remove(e)
		return fail(&SpawnError{Executor: e.group.program, Err: err})
	}
	p.mu.Lock()
	p.counts.Spawned++
	p.mu.Unlock()
	p.observe(Event{Kind: EventSpawned, Executor: e.number, PID: e.PID(), Program: e.Program(), Duration: time.Since(begin)})
	return nil
}

// preload has an executor load what Config.Preload says. If it does not survive one
// of them it is removed, and that one is returned.
func (p *Pool) preload(e *executor, but []string) (deadly string) {
	for _, name := range p.cfg.Preload {
		file, err := p.packages.find(name)
		if err != nil || file.program != (e.group.pkg == name) || slices.Contains(but, name) {
			continue
		}
		if broken, _ := p.loadRefused(name, file); broken != nil {
			continue
		}
		begin := time.Now()
		err = p.load(e, name, file, p.cfg.LoadTimeout, begin.Add(p.cfg.LoadTimeout))
		if err == nil || lives(err) {
			continue
		}
		var crash *CrashError
		if errors.As(err, &crash) && crash.Exit.Killed == closedReason {
			p.recycled(e, RecycledClosed, closedReason)
		} else {
			attribute(err, e)
			p.observe(Event{Kind: EventCrashed, Executor: e.number, PID: e.PID(), Program: e.Program(),
				Package: name, Duration: time.Since(begin), Err: err})
		}
		p.remove(e)
		return name
	}
	return ""
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
	size := int64(0)
	if err == nil {
		m, _ := e.sampleMemory()
		size = m.now - e.sharedResident()
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
	case lives(err):
		return false
	case errors.As(err, &timeout):
		return timeout.Limit >= p.cfg.LoadTimeout || p.cfg.Timeout > 0 && timeout.Limit >= p.cfg.Timeout
	case errors.As(err, &crash):
		return crash.Exit.Killed != canceledReason && crash.Exit.Killed != closedReason && crash.Exit.Killed != killedReason
	}
	return true
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
		// Payloads are not its own.
		sizes[i] = m.now - e.sharedResident()
		if limit := p.cfg.Limits.Memory; limit > 0 && sizes[i] > limit {
			e.Kill(fmt.Sprintf("it has %d bytes of resident memory, over its limit of %d", sizes[i], limit))
		}
	}

	var idle []*executor
	defer func() {
		for _, e := range idle {
			e.releaseShared()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for i, e := range all {
		if e.coming || e.ending {
			continue
		}
		// What runs a call is retired after it.
		p.mark(e, now)
		if !e.running && now.Sub(e.idle) > sharedPatience {
			idle = append(idle, e)
		}
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
		MaxPayload:  p.cfg.MaxPayload,
		Spin:        p.cfg.Spin,
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
