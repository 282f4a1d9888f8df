package pool_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// The call after a crash loads nothing: the spare has done so.
func TestSparesLoadWhatIsCalled(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	for range 5 {
		pidOf(t, p, "misbehave")
		if n, err := pool.Call[int](t.Context(), p, "gorecover", "fine", 7); err != nil || n != 7 {
			t.Fatalf("%d, %v", n, err)
		}
		ready := awaitLoaded(t, p, 2, "gorecover", "misbehave")
		_, err := pool.Call[int](t.Context(), p, "misbehave", "segv")
		if !errors.As(err, new(*pool.CrashError)) {
			t.Fatalf("%v", err)
		}
		loads := func(pid int) int {
			return len(r.all(func(e pool.Event) bool { return e.Kind == pool.EventLoaded && e.PID == pid }))
		}
		before := map[int]int{}
		for _, e := range ready {
			before[e.PID] = loads(e.PID)
		}
		for _, pkg := range []string{"misbehave", "gorecover"} {
			result, err := p.Execute(t.Context(), pool.Request{Package: pkg, Task: "nothing"})
			if !errors.As(err, new(*pool.ExecutorError)) {
				t.Fatalf("%v", err)
			}
			if n, ok := before[result.PID]; !ok || loads(result.PID) != n {
				t.Errorf("package %s ran in process %d, which had to load it or was not among %+v", pkg, result.PID, ready)
			}
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

// awaitLoaded waits until n processes stand idle that have loaded just these packages.
func awaitLoaded(t *testing.T, p *pool.Pool, n int, packages ...string) (all []pool.ExecutorStats) {
	t.Helper()
	within(t, "loading", func() {
		for !t.Failed() {
			all = awaitIdle(t, p, n)
			if !slices.ContainsFunc(all, func(e pool.ExecutorStats) bool { return !slices.Equal(e.Loaded, packages) }) {
				return
			}
		}
	})
	return all
}

// A spare that loads for ever keeps nobody waiting but those who want that package, and
// them no longer than they like.
func TestSpareThatLoadsForEver(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	pidOf(t, p, "misbehave")
	awaitLoaded(t, p, 2, "misbehave")
	p.Note("misbehave", "init_hangs")
	for range 3 {
		_, err := pool.Call[int](t.Context(), p, "misbehave", "segv")
		if !errors.As(err, new(*pool.CrashError)) {
			t.Fatalf("%v", err)
		}
		pidOf(t, p, "misbehave")
		within(t, "loading unasked", func() {
			for !loadsUnasked(p, "init_hangs") {
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	// Nor do those wait for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := pool.Call[int](ctx, p, "init_hangs", "ok"); !errors.As(err, new(*pool.CanceledError)) {
		t.Errorf("%v", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

func loadsUnasked(p *pool.Pool, pkg string) bool {
	return slices.ContainsFunc(p.Stats().Executors, func(e pool.ExecutorStats) bool {
		return e.State == "running" && e.Package == pkg && e.Task == ""
	})
}

// A package that has killed whoever loaded it, or that has failed to load, is not loaded
// unasked again.
func TestSparesLoadNothingThatKills(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer = 1, &r })
	pidOf(t, p, "misbehave")
	awaitLoaded(t, p, 2, "misbehave")
	for _, pkg := range []string{"init_crashes", "init_fails", "nowhere"} {
		p.Note("misbehave", pkg)
	}
	for range 4 {
		_, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "segv", Inputs: tasktest.Inputs()})
		if !errors.As(err, new(*pool.CrashError)) {
			t.Fatalf("%v", err)
		}
		pidOf(t, p, "misbehave")
		within(t, "coming to rest", func() {
			for s := p.Stats(); s.Starting > 0 || slices.ContainsFunc(s.Executors, func(e pool.ExecutorStats) bool { return e.State != "idle" }); s = p.Stats() {
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	died := r.all(func(e pool.Event) bool { return e.Kind == pool.EventCrashed && e.Package == "init_crashes" })
	failed := r.kind(pool.EventLoadFailed)
	if len(died) != 1 || len(failed) == 0 {
		t.Errorf("%d died of it; %+v", len(died), failed)
	}
	for _, e := range failed {
		if e.Package != "init_fails" || e.Executor == 0 || e.Task != "" || !errors.As(e.Err, new(*pool.ExecutorError)) {
			t.Errorf("%+v", e)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}

// A spare whose load takes too long is told as what it is, and is no call.
func TestSpareThatLoadsTooLong(t *testing.T) {
	t.Parallel()
	var r recorder
	p := newPool(t, func(c *pool.Config) { c.Executors, c.Observer, c.LoadTimeout = 1, &r, limited })
	pidOf(t, p, "misbehave")
	awaitLoaded(t, p, 2, "misbehave")
	p.Note("misbehave", "init_hangs")
	_, err := pool.Call[int](t.Context(), p, "misbehave", "segv")
	if !errors.As(err, new(*pool.CrashError)) {
		t.Fatalf("%v", err)
	}
	pidOf(t, p, "misbehave") // which takes the spare, so that there is a new one
	r.awaitKind(t, 1, pool.EventTimedOut)
	for _, e := range r.kind(pool.EventTimedOut) {
		var timeout *pool.TimeoutError
		if e.Package != "init_hangs" || e.Task != "" || e.PID == 0 || e.Duration < limited ||
			!errors.As(e.Err, &timeout) || timeout.Phase != pool.PhaseLoad || timeout.Limit != limited || timeout.Executor != e.Executor {
			t.Errorf("%+v", e)
		}
	}
	if died := r.all(func(e pool.Event) bool { return e.Kind == pool.EventCrashed && e.Package == "init_hangs" }); len(died) != 0 {
		t.Errorf("%+v", died)
	}
	if s := p.Stats(); s.TimedOut != 0 || s.Crashed != 1 {
		t.Errorf("%+v", s.Counts)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	r.checkFates(t)
}
