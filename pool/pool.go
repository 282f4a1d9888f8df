package pool

import (
	"container/list"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// ErrClosed is returned by calls of a [Pool] that has been closed.
var ErrClosed = errors.New("pool: closed")

// Pool runs tasks in executors that it starts, watches and replaces. All methods
// may be called from many goroutines at once. Close must be called.
//
// As many tasks run at once as Config.Executors says; further callers wait in the
// order in which they came. Each process runs one task at a time. The goroutine
// that calls is the one that writes, waits and reads.
type Pool struct {
	cfg      Config
	packages staged
	work     sync.WaitGroup // goroutines of the pool
	done     chan struct{}  // closed by Close

	mu     sync.Mutex
	closed bool
	killed bool          // nothing is to be started any more
	free   int           // how many more tasks may run at once
	queue  list.List     // of *waiter, who wait for that
	busy   int           // calls under way
	idle   chan struct{} // closed when the pool is closed and no call is under way

	groups map[string]*group       // executors, by program
	loads  map[string]*loadBreaker // by package
	live   map[*executor]struct{}  // all that have been started and not yet waited for
	total  int                     // processes in use, in stock or starting; not those being retired
	lastID int

	retiring  int // processes that have been asked to shut down, and their like
	recalling int // processes that load packages unasked

	counts Counts
}

// New starts a pool. Its first executors start in the background: what is wrong with
// them is told to the calls that need them. The error is a *[ConfigError].
func New(cfg Config) (*Pool, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.PackageDir)
	if err != nil {
		return nil, &ConfigError{Faults: []string{"PackageDir: " + err.Error()}}
	}
	if strings.ContainsRune(cfg.Executor, '/') {
		// A relative path would be looked up in Config.Dir.
		if cfg.Executor, err = filepath.Abs(cfg.Executor); err != nil {
			return nil, &ConfigError{Faults: []string{"Executor: " + err.Error()}}
		}
	}
	p := &Pool{
		cfg:    cfg,
		done:   make(chan struct{}),
		free:   cfg.Executors,
		idle:   make(chan struct{}),
		groups: map[string]*group{},
		loads:  map[string]*loadBreaker{},
		live:   map[*executor]struct{}{},
	}
	p.packages.dir, p.packages.directories = dir, cfg.Limits.Landlock != nil
	p.counts.Recycled = map[string]int64{}
	p.warm()
	p.work.Go(p.watch)
	return p, nil
}

// waiter is a caller that waits for its turn.
type waiter struct {
	turn chan error // gets nil, or why there is no turn
}

// Execute runs one task: it waits for its turn, sends the request to an executor that
// has the package loaded, if one is free, and returns what the task answered.
//
// When ctx ends, so does the wait; if the task runs already its process is killed
// with all that it forked. Either gives a *[CanceledError]. The other errors are
// listed in the package's comment.
func (p *Pool) Execute(ctx context.Context, r Request) (result Result, err error) {
	if r.Context == nil {
		r.Context = defaultContext
	}
	if r.Inputs == nil {
		r.Inputs = noInputs
	}
	if err := p.check(&r); err != nil {
		p.count(err)
		return Result{}, err
	}
	got, file, err := p.enter(ctx, &r)
	if err != nil {
		return Result{}, err
	}
	var e *executor
	err = errPanicked // unless execute returns
	defer func() { p.leave(e, err) }()
	result, e, err = p.execute(ctx, &r, got, file)
	return result, err
}

// errPanicked is what a call ends with, for the counts, in which an [Observer] has
// panicked.
var errPanicked error = &CanceledError{Running: true}

// check refuses what no executor could take, before it waits for one.
func (p *Pool) check(r *Request) error {
	if !utf8.ValidString(r.Package) || !utf8.ValidString(r.Task) {
		return notUTF8(r)
	}
	return r.tooLarge(p.cfg.MaxFrame, p.cfg.MaxPayload)
}

// enter waits for the caller's turn. Who has entered must leave. If it is its turn at once
// it also gets an executor for this version of the package, if there is one in stock.
func (p *Pool) enter(ctx context.Context, r *Request) (*executor, packageFile, error) {
	// Both take the lock only once. If there is no such package, take says so.
	file, missing := p.packages.find(r.Package)
	now := time.Now()
	p.mu.Lock()
	switch {
	case p.closed:
		p.counts.NotStarted++
		p.mu.Unlock()
		return nil, file, ErrClosed
	case ctx.Err() != nil:
		p.counts.Canceled++
		p.mu.Unlock()
		return nil, file, canceled(ctx, r)
	case p.free > 0:
		// Who gives up a turn hands it to the first in the queue, so nobody waits
		// while one is free.
		p.free--
		p.busy++
		var e *executor
		if missing == nil {
			// Without a group it is take's to say why.
			if g, err := p.groupOf(r.Package, file); err == nil {
				e = p.fromStock(g, r, file, now)
			}
		}
		p.mu.Unlock()
		return e, file, nil
	}
	w := &waiter{turn: make(chan error, 1)}
	place := p.queue.PushBack(w)
	p.mu.Unlock()

	select {
	case err := <-w.turn:
		if err != nil {
			p.count(err)
		}
		return nil, file, err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case err := <-w.turn:
		if err == nil {
			// Its turn came at the same moment.
			p.pass()
		}
	default:
		p.queue.Remove(place)
	}
	p.counts.Canceled++
	return nil, file, canceled(ctx, r)
}

// leave ends a call: its executor, if it still has one, is for others, and so is its
// turn.
func (p *Pool) leave(e *executor, err error) {
	now := time.Now()
	counter := p.counts.of(err)
	answered := err == nil || isAnswer(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	*counter++
	if e != nil {
		e.running = false
		if answered {
			e.tasks++
		}
		p.giveBack(e, now)
	}
	p.pass()
}

// pass gives a turn to whoever waits longest. p.mu is held.
func (p *Pool) pass() {
	if first := p.queue.Front(); first != nil {
		p.queue.Remove(first).(*waiter).turn <- nil
		return
	}
	p.free++
	p.busy--
	if p.closed && p.busy == 0 {
		close(p.idle)
	}
}

// execute runs a task in its turn, on an executor that it may have got already. The one
// it returns lives on.
func (p *Pool) execute(ctx context.Context, r *Request, e *executor, file packageFile) (Result, *executor, error) {
	if e == nil || !p.fit(e) {
		var err error
		if e, file, err = p.take(ctx, r); err != nil {
			return Result{}, nil, err
		}
	}
	limit := p.cfg.Timeout
	switch {
	case r.Timeout > 0:
		limit = r.Timeout
	case r.Timeout < 0:
		limit = 0
	}
	c := call{pool: p, executor: e, limit: limit}
	returned := false
	defer func() {
		if !returned {
			p.bury(e, c.told, "an observer has panicked in its call")
		}
	}()
	result, err := c.run(ctx, r, file)
	returned = true
	if !e.gone {
		return result, e, err
	}
	p.bury(e, c.told, "as it answered, its call was canceled or had sent it the soft signal")
	return result, nil, err
}

// Close ends the pool: callers that wait get [ErrClosed], tasks that run may end and
// executors shut down until ctx is done; then they are killed. When it returns no
// process and no goroutine of the pool is left. Its error is ctx's, if tasks were
// killed; it may be called again.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
		for w := p.queue.Front(); w != nil; w = p.queue.Front() {
			p.queue.Remove(w).(*waiter).turn <- ErrClosed
		}
		if p.busy == 0 {
			close(p.idle)
		}
		p.emptyStock()
	}
	p.mu.Unlock()

	var err error
	select {
	case <-p.idle:
	case <-ctx.Done():
		select {
		case <-p.idle:
		default:
			err = context.Cause(ctx)
		}
		p.killAll()
		<-p.idle
	}
	p.mu.Lock()
	for e := range p.live {
		if e.coming || e.recalling != "" {
			e.Kill(closedReason) // nobody wants it any more
		}
	}
	p.mu.Unlock()
	// What shuts down, or hangs while it does, has no longer than ctx either.
	stop := context.AfterFunc(ctx, p.killAll)
	defer stop()
	p.work.Wait()
	return err
}

// Why Close kills: what nobody wants any more, and what it does not wait for.
const (
	closedReason = "the pool is closed"
	killedReason = "the pool was closed and did not wait any longer"
)

// killedByClose reports whether err is the death of an executor that Close has killed.
func killedByClose(err error) bool {
	if spawn := (*SpawnError)(nil); errors.As(err, &spawn) {
		err = spawn.Err
	}
	var crash *CrashError
	return errors.As(err, &crash) && (crash.Exit.Killed == closedReason || crash.Exit.Killed == killedReason)
}

// killAll ends every process at once.
func (p *Pool) killAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	for e := range p.live {
		e.Kill(killedReason)
	}
}
