package pool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/protocol"
)

// loadTask is what executors are asked for to have a package loaded. It does not exist, so
// that every executor answers with a failure.
const loadTask = "__spider_load"

// newPing is a request that every executor answers, whatever it has.
func newPing() Request {
	return Request{Package: protocol.PingPackage, Task: loadTask, Context: defaultContext, Inputs: noInputs}
}

// start starts an executor in the background, for a caller who waits or for the stock.
// p.mu is held.
func (p *Pool) start(g *group) {
	p.total++
	g.pending++
	stock := g.wanting.Len() < g.pending && p.busy > 0
	p.work.Go(func() {
		if stock {
			// A call that has just lost its executor has another, and needs the cores
			// more: it takes as long as a call takes, if it gets them.
			p.pause(startPause)
		}
		e, err := p.launch(g)
		if err == nil {
			p.mu.Lock()
			g.pending--
			g.breaker.succeeded()
			e.coming = false
			p.offer(e, time.Now())
			p.mu.Unlock()
			p.attend(e)
			return
		}
		unwanted := killedByClose(err)
		if !unwanted {
			p.observe(Event{Kind: EventSpawnFailed, Executor: e.number, Program: g.program, Err: err})
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		g.pending--
		p.total--
		if !unwanted {
			p.counts.SpawnFailures++
		}
		g.breaker.failed(time.Now(), err)
		if first := g.wanting.Front(); first != nil {
			g.wanting.Remove(first).(chan started) <- started{err: err}
		}
		if errors.Is(err, errNoProgram) {
			p.empty(g, RecycledChanged, "package "+g.pkg+" is no program any more")
			return
		}
		p.refill(g)
	})
}

// errNoProgram says that the package of a group is not staged as a program any more.
var errNoProgram = errors.New("the package is no program any more")

// launch starts an executor, waits until it answers, and has it load what is to be
// preloaded, without what does not survive that. The error is a *[SpawnError]; the
// executor is then the one that failed, which is gone.
func (p *Pool) launch(g *group) (*executor, error) {
	var deadly []string
	for {
		p.mu.Lock()
		p.lastID++
		e := &executor{number: p.lastID, group: g, coming: true, loaded: map[string]packageFile{}}
		p.mu.Unlock()
		if err := p.comeUp(e); err != nil {
			return e, err
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
	if e.group.pkg != "" {
		file, err := p.packages.find(e.group.pkg)
		if err == nil && !file.program {
			err = errors.New("it is a library now")
		}
		if err != nil {
			return &SpawnError{Executor: e.group.program, Err: fmt.Errorf("%w: %w", errNoProgram, err)}
		}
		e.image = file
	}
	// Before its rules are made, so that what is there later is another to it, too.
	e.directory = p.packages.directory()
	begin := time.Now()
	process, err := StartProcess(p.processConfig(e))
	if err != nil {
		return err
	}
	e.Process, e.started = process, begin
	p.mu.Lock()
	p.live[e] = struct{}{}
	if p.killed || p.closed && p.busy == 0 {
		process.Kill(closedReason)
	}
	p.mu.Unlock()

	ping := newPing()
	_, err = e.execute(&ping, PhaseStart, p.cfg.StartTimeout, begin.Add(p.cfg.StartTimeout))
	if err == nil || lives(err) {
		if why := e.unfit(); why != nil {
			err = e.failed(&ping, PhaseStart, 0, why)
		}
	}
	if err != nil && !lives(err) {
		reportOf(err).Executor = e.number
		p.remove(e)
		return &SpawnError{Executor: e.group.program, Err: err}
	}
	p.mu.Lock()
	p.counts.Spawned++
	p.mu.Unlock()
	p.observe(Event{Kind: EventSpawned, Executor: e.number, PID: e.PID(), Program: e.Program(), Duration: time.Since(begin)})
	return nil
}

// preload has an executor load what Config.Preload says, and tells what it cannot. If it
// does not survive one of them it is removed, and that one is returned.
func (p *Pool) preload(e *executor, but []string) (deadly string) {
	for _, name := range p.cfg.Preload {
		if e.group.pkg != "" && e.group.pkg != name || slices.Contains(but, name) {
			continue
		}
		begin := time.Now()
		file, err := p.packages.find(name)
		if err == nil {
			if file.program != (e.group.pkg == name) {
				continue
			}
			if broken, _ := p.loadRefused(name, file); broken != nil {
				err = broken
			} else if err = p.load(e, name, file, p.cfg.LoadTimeout, begin.Add(p.cfg.LoadTimeout)); err == nil {
				continue
			} else if !lives(err) {
				p.lostLoading(e, name, begin, err)
				return name
			}
		}
		p.observe(Event{Kind: EventLoadFailed, Executor: e.number, PID: e.PID(), Program: e.Program(),
			Package: name, Duration: time.Since(begin), Err: err})
	}
	return ""
}

// lostLoading removes an executor that has not survived to load a package for no call,
// and tells.
func (p *Pool) lostLoading(e *executor, name string, begin time.Time, err error) {
	if killedByClose(err) {
		p.recycled(e, RecycledClosed, closedReason)
	} else {
		reportOf(err).Executor = e.number
		kind := EventCrashed
		if errors.As(err, new(*TimeoutError)) {
			kind = EventTimedOut
		}
		p.observe(Event{Kind: kind, Executor: e.number, PID: e.PID(), Program: e.Program(),
			Package: name, Duration: time.Since(begin), Err: err})
	}
	p.remove(e)
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
	if p.heard() {
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

// startPause is how long a start waits that is for the stock, while calls are under way.
const startPause = time.Millisecond

// pause waits, unless the pool is closed.
func (p *Pool) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.done:
	}
}
