package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spider-go/spider/tdl"
)

// The parts of a request that a caller may leave out.
var (
	defaultContext = func() []byte {
		c, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
		if err != nil {
			panic(err) // it contradicts nothing
		}
		b, err := c.Encode()
		if err != nil {
			panic(err)
		}
		return b
	}()
	noInputs = []byte{0, 0, 0, 0}
)

// Call runs a task that has one result, of type R, on these arguments. The task is
// told that it is task 0 of job 1, in instance 1, of resource group 1, unless ctx
// comes from [WithTaskContext]. An error in encoding an argument is an *[tdl.Error] of
// kind SerializationError, one in decoding the result of DeserializationError; the
// others are [Pool.Execute]'s.
func Call[R any](ctx context.Context, p *Pool, pkg, task string, args ...any) (R, error) {
	var result R
	err := CallInto(ctx, p, pkg, task, args, &result)
	return result, err
}

// CallInto is [Call] for tasks with no result or several: each goes into what one of
// results points to.
func CallInto(ctx context.Context, p *Pool, pkg, task string, args []any, results ...any) error {
	inputs, err := tdl.EncodeValues(args...)
	if err != nil {
		return fmt.Errorf("task %s of package %s: arguments: %w", task, pkg, err)
	}
	r := Request{Package: pkg, Task: task, Inputs: inputs}
	if c, ok := ctx.Value(taskContextKey{}).(encodedContext); ok {
		if c.err != nil {
			return fmt.Errorf("task %s of package %s: %w", task, pkg, c.err)
		}
		r.Context = c.bytes
	}
	result, err := p.Execute(ctx, r)
	if err != nil {
		return err
	}
	if err := tdl.DecodeValues(result.Outputs, results...); err != nil {
		return fmt.Errorf("task %s of package %s: results: %w", task, pkg, err)
	}
	return nil
}

type taskContextKey struct{}

// encodedContext is a task's context, or why it has no form.
type encodedContext struct {
	bytes []byte
	err   error
}

// WithTaskContext returns a context in which [Call] and [CallInto] tell tasks that they
// are the one c says. If c contradicts itself, they send nothing and return an *[tdl.Error]
// of kind InvalidTaskContext.
func WithTaskContext(ctx context.Context, c tdl.TaskContext) context.Context {
	b, err := c.Encode()
	return context.WithValue(ctx, taskContextKey{}, encodedContext{b, err})
}

// Retryable reports whether the same call may succeed if it is simply made again: it
// was lost with its process, whose memory or time was perhaps spent by another, or no
// process could be had. It says nothing of whether running the task twice does harm.
// A failure that the executor answered, a request that is too large, a canceled call and
// a configuration with which nothing can start are not retryable: they would end the same.
func Retryable(err error) bool {
	// A canceled call may have another's error as its cause.
	return !isCanceled(err) && !isConfiguration(err) && (isNotStarted(err) || reportOf(err) != nil)
}

// call is one request on one executor. The request goes beside it: what is in here is
// shared with others, and would take the request from its goroutine's stack.
type call struct {
	pool     *Pool
	executor *executor
	limit    time.Duration // 0: none
	soft     *softLimit    // nil: none

	sent time.Time
	told bool // an event says how its executor was lost
}

const canceledReason = "its call was canceled"

func canceled(ctx context.Context, r *Request) error {
	return &CanceledError{
		Report: Report{Package: r.Package, Task: r.Task},
		Err:    ctx.Err(), Reason: context.Cause(ctx),
	}
}

// run loads the package if need be and runs the task, with one clock over both. If the
// executor does not outlive it, e.gone is set.
func (c *call) run(ctx context.Context, r *Request, file packageFile) (Result, error) {
	e, p := c.executor, c.pool
	c.sent = e.since
	var deadline time.Time
	if c.limit > 0 {
		deadline = c.sent.Add(c.limit)
	}
	if ctx.Err() != nil {
		// Since its turn came. Nothing has been sent, so nothing has to be killed.
		return Result{}, canceled(ctx, r)
	}
	loaded := e.loaded[r.Package] == file
	if !loaded {
		if err := p.awaitLoad(ctx, r, file, deadline); err != nil {
			return Result{}, err
		}
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { e.Kill(canceledReason) })
		defer func() {
			if !stop() {
				// Its process is killed, or will be in a moment, also if the
				// answer came first.
				e.gone = true
			}
		}()
	}
	if p.cfg.SoftTimeout > 0 {
		c.soft = c.softLimit(r)
		defer func() {
			if c.soft.end() {
				// It may end of the signal at any moment, also if it has answered.
				e.gone = true
			}
		}()
	}
	if !loaded {
		if err := c.load(r, file, deadline); err != nil {
			var result Result
			if isAnswer(err) {
				result.Executor, result.PID = e.number, e.PID()
				p.observe(c.event(r, EventLoadFailed, err))
			}
			return result, c.ended(ctx, r, err)
		}
		if why := e.unfit(); why != nil {
			return Result{}, c.ended(ctx, r, e.failed(r, PhaseLoad, c.limit, why))
		}
	}
	if p.watched() {
		p.observe(c.event(r, EventStarted, nil))
	}
	heard := p.heard()
	if heard {
		e.line.set(r.Package, r.Task, r.Context)
	}
	result, err := e.execute(r, PhaseRun, c.limit, deadline)
	if heard {
		e.line.clear()
	}
	if err == nil || lives(err) {
		result.Executor = e.number
		if p.watched() {
			p.observe(c.event(r, EventFinished, err))
		}
		return result, err
	}
	return result, c.ended(ctx, r, err)
}

// load has the package loaded, within the call's own limit and that for loading.
func (c *call) load(r *Request, file packageFile, deadline time.Time) error {
	p := c.pool
	limit := p.cfg.LoadTimeout
	until := time.Now().Add(limit)
	if !deadline.IsZero() && deadline.Before(until) {
		limit, until = c.limit, deadline
	}
	err := p.load(c.executor, r.Package, file, limit, until)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		g := c.executor.group
		g.note(r.Package)
		p.recall(g)
		return nil
	}
	return answerTo(r, err)
}

// ended is what a call ends with after err, and tells who wants to know.
func (c *call) ended(ctx context.Context, r *Request, err error) error {
	if lives(err) {
		return err
	}
	c.executor.gone, c.told = true, true
	c.complete(reportOf(err), r)
	kind := EventCrashed
	var (
		crash   *CrashError
		timeout *TimeoutError
	)
	switch {
	case errors.As(err, &timeout):
		kind = EventTimedOut
	case !errors.As(err, &crash):
	case crash.Exit.Killed == canceledReason:
		err = &CanceledError{Report: crash.Report, Running: true, Err: ctx.Err(), Reason: context.Cause(ctx)}
		kind = EventCanceled
	case crash.Exit.Killed == "" && c.signaled():
		// Only the kill at the hard limit is surely a kill of ours. After the soft
		// signal an end without an answer is taken for its effect.
		err = &TimeoutError{Report: crash.Report, Limit: c.pool.cfg.SoftTimeout, Soft: true}
		kind = EventTimedOut
	}
	c.pool.observe(c.event(r, kind, err))
	return err
}

// complete adds to a report of the process what the pool knows.
func (c *call) complete(report *Report, r *Request) {
	report.Executor = c.executor.number
	if report.Phase == PhaseLoad {
		report.isFor(r)
	}
}

func (c *call) event(r *Request, kind EventKind, err error) Event {
	e := Event{
		Kind: kind, Executor: c.executor.number, PID: c.executor.PID(), Program: c.executor.Program(),
		Package: r.Package, Task: r.Task, Context: r.Context, Err: err,
	}
	if kind != EventStarted {
		e.Duration = time.Since(c.sent)
	}
	return e
}

// softLimit is what happens to a call that takes longer than Config.SoftTimeout.
type softLimit struct {
	call    call // what there was to know of it when it began
	request Request
	timer   *time.Timer

	mu       sync.Mutex // held while it is acted on
	signaled bool
	over     bool // the executor may be another call's
}

// softLimit sets it.
func (c *call) softLimit(r *Request) *softLimit {
	l := &softLimit{call: *c, request: *r}
	l.timer = time.AfterFunc(c.pool.cfg.SoftTimeout, l.slow)
	return l
}

// slow is called when it is reached, on a goroutine of its own.
func (l *softLimit) slow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if signal := l.call.pool.cfg.SoftSignal; signal != 0 {
		l.signaled = true
		l.call.executor.signal(signal)
	}
	l.call.pool.observe(l.call.event(&l.request, EventSlow, nil))
}

// end says that the call is over, and reports whether its executor has got the signal.
func (l *softLimit) end() bool {
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	return l.signaled
}

func (c *call) signaled() bool {
	if c.soft == nil {
		return false
	}
	c.soft.mu.Lock()
	defer c.soft.mu.Unlock()
	return c.soft.signaled
}
