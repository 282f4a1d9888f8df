package pool

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/spider-go/spider/tdl"
)

// EventKind tells events apart.
type EventKind string

// What happens to the executors and calls of a [Pool].
const (
	EventSpawned     EventKind = "spawned"      // an executor has started and answers; Duration: since its start
	EventSpawnFailed EventKind = "spawn failed" // it did not; Err
	EventLoaded      EventKind = "loaded"       // an executor has loaded Package; Duration
	EventLoadFailed  EventKind = "load failed"  // it cannot be loaded; Err. With a Task: that call has ended so; Duration
	EventStarted     EventKind = "started"      // a call is sent
	EventFinished    EventKind = "finished"     // it has its answer, perhaps the task's own error: Err; Duration
	EventSlow        EventKind = "slow"         // a call runs longer than Config.SoftTimeout: Duration
	EventTimedOut    EventKind = "timed out"    // a call was ended by its hard limit, or the load of Package for no call; Err, Duration
	EventCanceled    EventKind = "canceled"     // a call was ended by its context while it ran; Err, Duration
	EventCrashed     EventKind = "crashed"      // an executor was lost in a call, or while it loaded or was idle; Err, Duration
	EventRecycled    EventKind = "recycled"     // an executor retires; Reason
)

// Event is one of the things that happen to a pool's executors and calls.
//
// A call that has had an executor ends with one of finished, load failed, timed out,
// canceled and crashed. Without a Task, load failed and timed out are of a package that was
// loaded for no call, as Config.Preload says or by a spare.
type Event struct {
	Kind     EventKind
	Executor int    // its number, from 1
	PID      int    // 0 if it did not come so far
	Program  string // the executable

	// Package, Task and Context are the call's, where there is one. Context is
	// lent: it is msgpack, see [tdl.DecodeContext].
	Package, Task string
	Context       []byte

	Duration time.Duration
	Err      error
	Reason   string
}

// Observer is told what happens. It is called from many goroutines, among them those
// that call, which wait for it. If it panics in one of those, and that recovers, the
// call's process is killed; elsewhere it ends the program.
type Observer interface {
	Observe(Event)
}

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// StderrLine is a line that an executor wrote to its stderr, without its end.
type StderrLine struct {
	Executor int // its number, from 1

	// Package, Task and Context are those of the call it fell into; "" and nil if
	// there was none.
	Package, Task string
	Context       []byte

	Text string
}

// lineContext is the call that lines of stderr belong to at the moment.
type lineContext struct {
	mu        sync.Mutex
	pkg, task string
	context   []byte
}

func (c *lineContext) set(pkg, task string, context []byte) {
	c.mu.Lock()
	c.pkg, c.task, c.context = pkg, task, context
	c.mu.Unlock()
}

func (c *lineContext) clear() { c.set("", "", nil) }

// line is what the pool does with a line of e's stderr.
func (p *Pool) line(e *executor, text string) {
	l := StderrLine{Executor: e.number, Text: text}
	e.line.mu.Lock()
	l.Package, l.Task, l.Context = e.line.pkg, e.line.task, e.line.context
	e.line.mu.Unlock()
	if p.cfg.Stderr != nil {
		p.cfg.Stderr(l)
	}
	if p.cfg.Logger != nil {
		attrs := []slog.Attr{slog.Int("executor", l.Executor)}
		p.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, text, append(attrs, callAttrs(l.Package, l.Task, l.Context)...)...)
	}
}

// callAttrs says which call something is about.
func callAttrs(pkg, task string, raw []byte) (attrs []slog.Attr) {
	if pkg == "" {
		return nil
	}
	attrs = append(attrs, slog.String("package", pkg))
	if task == "" {
		return attrs
	}
	attrs = append(attrs, slog.String("task", task))
	if c, err := tdl.DecodeContext(raw); err == nil {
		attrs = append(attrs, slog.Uint64("job_id", c.JobID), slog.String("task_id", c.TaskID.String()),
			slog.Uint64("task_instance_id", c.TaskInstanceID))
	}
	return attrs
}

// observe tells the observer and the log.
func (p *Pool) observe(e Event) {
	if p.cfg.Observer != nil {
		p.cfg.Observer.Observe(e)
	}
	if p.cfg.Logger == nil {
		return
	}
	level := slog.LevelDebug
	switch e.Kind {
	case EventSpawnFailed, EventTimedOut, EventCrashed, EventSlow:
		level = slog.LevelWarn
	case EventLoadFailed:
		if e.Task != "" {
			return // the caller's
		}
		level = slog.LevelWarn
	case EventStarted, EventFinished:
		return // calls are the caller's to log
	}
	if !p.cfg.Logger.Enabled(context.Background(), level) {
		return
	}
	attrs := []slog.Attr{slog.Int("executor", e.Executor), slog.Int("pid", e.PID)}
	attrs = append(attrs, callAttrs(e.Package, e.Task, e.Context)...)
	if e.Duration != 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	p.cfg.Logger.LogAttrs(context.Background(), level, "executor "+string(e.Kind), attrs...)
}

// heard reports whether anybody wants lines of stderr.
func (p *Pool) heard() bool { return p.cfg.Stderr != nil || p.cfg.Logger != nil }

// watched reports whether anybody wants the events of calls.
func (p *Pool) watched() bool { return p.cfg.Observer != nil }
