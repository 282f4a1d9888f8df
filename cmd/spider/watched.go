package main

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spider-go/spider/internal/batch"
	"github.com/spider-go/spider/internal/monitor"
	"github.com/spider-go/spider/pool"
)

// watched is what spider top sees of a map.
type watched struct {
	run *mapRun

	mu    sync.Mutex
	tasks map[int][]byte // by executor: the context of the call it runs
}

func newWatched(r *mapRun) *watched { return &watched{run: r, tasks: map[int][]byte{}} }

// Observe notes which executor has which input. The context is batch's own, and is not
// changed any more.
func (w *watched) Observe(e pool.Event) {
	switch e.Kind {
	case pool.EventStarted:
		w.mu.Lock()
		w.tasks[e.Executor] = e.Context
		w.mu.Unlock()
	case pool.EventFinished, pool.EventTimedOut, pool.EventCanceled, pool.EventCrashed:
		w.mu.Lock()
		delete(w.tasks, e.Executor)
		w.mu.Unlock()
	}
}

// serve lets spider top look. The map goes on without it if that cannot be. The
// function it returns, to be called at the end, tells those who watch what that was.
func (w *watched) serve(p *pool.Pool, b *batch.Batch) (end func(error)) {
	server, err := monitor.Listen(func() monitor.Snapshot { return w.snapshot(p.Stats(), b.Stats()) })
	if err != nil {
		w.run.streams.log.Warn("spider top cannot see this map", "error", err.Error())
		return func(error) {}
	}
	return func(err error) {
		last := w.snapshot(pool.Stats{}, b.Stats())
		if err != nil {
			last.Message = explain(err)
		}
		server.Close(last)
	}
}

func (w *watched) snapshot(p pool.Stats, b batch.Stats) monitor.Snapshot {
	now := time.Now()
	done := w.run.progress(b)
	s := monitor.Snapshot{
		PID: os.Getpid(), Package: w.run.command.Package, Task: w.run.command.Task, Jobs: w.run.jobs,
		Started: b.Started, Now: now,
		Done: done.done, Skipped: done.skipped, Total: done.total, Failed: b.Failed, Retried: b.Retried,
		Waiting: b.Waiting, Rate: b.Rate,
	}
	texts := map[int64]string{}
	for _, r := range b.Running {
		texts[r.Index] = r.Text
	}
	for i, x := range p.Executors {
		if i == monitor.MaxExecutors {
			s.More = len(p.Executors) - i
			break
		}
		e := monitor.Executor{Number: x.Executor, PID: x.PID, State: x.State, Tasks: x.Tasks, RSS: residentMemory(x.PID)}
		switch {
		case !x.Since.IsZero():
			e.ForUS = now.Sub(x.Since).Microseconds()
		case x.State == "running":
			e.State, e.ForUS = "starting", now.Sub(x.Started).Microseconds()
		}
		w.mu.Lock()
		context := w.tasks[x.Executor]
		w.mu.Unlock()
		if index, ok := batch.IndexOf(context); ok && e.State == "running" {
			e.Index, e.Text = &index, texts[index]
		}
		s.Executors = append(s.Executors, e)
	}
	for _, c := range b.Causes {
		s.Causes = append(s.Causes, monitor.Cause(c))
	}
	for _, f := range b.Lately {
		s.Lately = append(s.Lately, monitor.Failure(f))
	}
	return s
}

// residentMemory is what a process has in memory, in bytes, 0 if that cannot be told.
func residentMemory(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
