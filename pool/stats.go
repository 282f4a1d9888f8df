package pool

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// Why executors are retired: the keys of Counts.Recycled.
const (
	RecycledTasks   = "tasks"   // Config.MaxTasks
	RecycledAge     = "age"     // Config.MaxAge
	RecycledGrowth  = "growth"  // Config.MaxGrowth
	RecycledChanged = "changed" // a package's file was replaced, or its program removed
	RecycledRoom    = "room"    // another program's executors need the room
	RecycledUnsure  = "unsure"  // as it answered, its call was canceled or had sent it the soft signal; or an Observer panicked
	RecycledClosed  = "closed"  // the pool was closed
)

// Counts count since the pool began. Each call is in one of the first group.
type Counts struct {
	Succeeded      int64
	Failed         int64 // it was answered by a failure: *ExecutorError
	TimedOut       int64
	Crashed        int64
	Canceled       int64 // also while it waited, or if an Observer panicked
	ProtocolErrors int64
	TooLarge       int64
	NotStarted     int64 // no executor could be had: *SpawnError, *BreakerError, ErrClosed

	Spawned       int64 // executors that came up
	SpawnFailures int64
	Recycled      map[string]int64 // by reason
}

// Calls is how many calls have ended.
func (c *Counts) Calls() int64 {
	return c.Succeeded + c.Failed + c.TimedOut + c.Crashed + c.Canceled + c.ProtocolErrors + c.TooLarge + c.NotStarted
}

// Stats are how a pool is at one moment.
type Stats struct {
	Counts
	Running   int // calls that have an executor, or are getting one
	Waiting   int // calls that wait for their turn
	Starting  int // executors that are coming up
	Executors []ExecutorStats
}

// ExecutorStats are one process.
type ExecutorStats struct {
	Executor int // its number, from 1
	PID      int
	Program  string
	Started  time.Time
	State    string // "running" a call, coming up or loading unasked, "idle", or "ending"
	Package  string // what it runs or loads
	Task     string
	Since    time.Time // since when it is in that state; zero if it is unasked, or ending
	Loaded   []string  // packages
	Tasks    int       // calls that it has answered
	PeakRSS  int64     // bytes, as of the last look; at most a second old
}

// Stats returns a snapshot.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Counts: p.counts, Running: p.busy, Waiting: p.queue.Len()}
	s.Recycled = maps.Clone(s.Recycled)
	for _, g := range p.groups {
		s.Starting += g.pending
	}
	for e := range p.live {
		x := ExecutorStats{
			Executor: e.number, PID: e.PID(), Program: e.Program(), Started: e.started,
			State: "running", Loaded: slices.Sorted(maps.Keys(e.loaded)), Tasks: e.tasks, PeakRSS: e.peak.Load(),
		}
		switch {
		case e.ending:
			x.State = "ending"
		case e.running:
			x.Since, x.Package, x.Task = e.since, e.pkg, e.task
		case e.recalling != "":
			x.Package = e.recalling
		case slices.Contains(e.group.stock, e):
			x.State, x.Since = "idle", e.idle
		}
		s.Executors = append(s.Executors, x)
	}
	slices.SortFunc(s.Executors, func(a, b ExecutorStats) int { return a.Executor - b.Executor })
	return s
}

// of is the counter of the calls that ended with err.
func (c *Counts) of(err error) *int64 {
	if err == nil {
		return &c.Succeeded
	}
	var (
		answered *ExecutorError
		timeout  *TimeoutError
		crash    *CrashError
		protocol *ProtocolError
		tooLarge *TooLargeError
	)
	switch {
	case isCanceled(err):
		return &c.Canceled
	case isNotStarted(err):
		return &c.NotStarted
	case errors.As(err, &answered):
		return &c.Failed
	case errors.As(err, &timeout):
		return &c.TimedOut
	case errors.As(err, &protocol):
		return &c.ProtocolErrors
	case errors.As(err, &tooLarge):
		return &c.TooLarge
	case errors.As(err, &crash):
		return &c.Crashed
	}
	return &c.NotStarted
}

// isCanceled comes before all others, one of which may be the cause.
func isCanceled(err error) bool {
	var canceled *CanceledError
	return errors.As(err, &canceled)
}

// isNotStarted comes before the other kinds, one of which it may wrap.
func isNotStarted(err error) bool {
	var (
		spawn  *SpawnError
		broken *BreakerError
	)
	return errors.As(err, &spawn) || errors.As(err, &broken)
}

// count counts a call that ended with err before it had a turn.
func (p *Pool) count(err error) {
	counter := p.counts.of(err)
	p.mu.Lock()
	*counter++
	p.mu.Unlock()
}
