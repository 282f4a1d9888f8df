package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/pool"
)

// PoolFileName is the pool report's name in its output directory.
const PoolFileName = "pool.md"

// PoolReport is what [RunPool] has measured.
type PoolReport struct {
	Host   Host
	Config Config

	// Ways are the ways to make one call, in turn, call by call: the bare C echo
	// (unless NoFloor says why not), the bare handle, the pool.
	Ways    []Way
	NoFloor string

	Rates []Rate // of the pool, by number of executors

	// Deaths are from a killed executor to the next answer, and Starts from a new
	// pool to the first one.
	Deaths, Starts []Way
}

// Way is one way to get an answer, and how long it took.
type Way struct {
	Name string
	Stats
}

// Rate is how many calls a pool made per second when as many callers as executors
// called at once.
type Rate struct {
	Executors int
	PerSecond float64
	Stats     // of one call
}

const (
	poolDeaths = 100                    // deaths and starts that are measured
	rateTime   = 500 * time.Millisecond // for each number of executors
)

// poolSizes are the numbers of executors whose rate is measured.
var poolSizes = []int{1, 2, 4, 8}

// RunPool measures what a pool costs beyond the bare handle on an executor, what it
// gains with more executors, and how long a death costs. It pins nothing: this is how
// programs run it.
func RunPool(ctx context.Context, cfg Config) (*PoolReport, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	usable, err := cpus()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := &PoolReport{Host: describeHost(usable), Config: cfg}
	all, err := newCalls()
	if err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context, *call) error{r.ways, r.rates, r.deaths, r.starts} {
		if err := measure(ctx, &all.noop); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	return r, nil
}

func (r *PoolReport) pool(executors, spares int, preload ...string) (*pool.Pool, error) {
	return pool.New(pool.Config{
		Executor: r.Config.Executor, PackageDir: r.Config.PackageDir,
		Executors: executors, Spares: spares, Timeout: callTimeout, Preload: preload,
	})
}

func checked(c *call, got pool.Result, err error) error {
	if err == nil && !bytes.Equal(got.Outputs, c.want) {
		return fmt.Errorf("%s was answered with %x, want %x", c.request.Task, got.Outputs, c.want)
	}
	return err
}

// ways measures single calls: blocks of the echo's, and one of each of the others in
// turn.
func (r *PoolReport) ways(ctx context.Context, c *call) error {
	dir, err := os.MkdirTemp("", "spider-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	floor, err := buildEcho(ctx, r.Config.CC, dir)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		r.NoFloor = fmt.Sprintf("there is no C compiler %q here", r.Config.CC)
	case err != nil:
		return err
	}
	handle, err := pool.StartProcess(pool.ProcessConfig{Executor: r.Config.Executor, PackageDir: r.Config.PackageDir})
	if err != nil {
		return err
	}
	defer handle.Close()
	p, err := r.pool(1, 1)
	if err != nil {
		return err
	}
	defer p.Close(context.Background())
	cancelable, cancel := context.WithCancel(ctx)
	defer cancel()

	type way struct {
		name string
		call func() (pool.Result, error)
		*times
	}
	ways := []way{
		{"the handle on one process, `Process.Execute`", func() (pool.Result, error) { return handle.Execute(c.request, callTimeout) }, newTimes()},
		{"the pool, `Pool.Execute`", func() (pool.Result, error) { return p.Execute(context.Background(), c.request) }, newTimes()},
		{"the pool, with a context that can be canceled", func() (pool.Result, error) { return p.Execute(cancelable, c.request) }, newTimes()},
	}
	var e *echo
	if floor != "" {
		if e, err = startEcho(floor, c, 0, -1, -1); err != nil {
			return err
		}
		defer e.close()
	}
	for block := range r.Config.Blocks + 1 {
		n, keep := r.Config.WarmUp, block > 0 // the first is the warm-up
		if keep {
			n = part(r.Config.Calls, r.Config.Blocks, block-1)
		}
		if e != nil {
			if err := e.run(n, keep); err != nil {
				return err
			}
		}
		for _, w := range ways {
			// A block of each, not a call: what ran last has its caches warm.
			for range n {
				start := time.Now()
				got, err := w.call()
				took := time.Since(start)
				if err := checked(c, got, err); err != nil {
					return err
				}
				if keep {
					w.add(took)
				}
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if e != nil {
		r.Ways = append(r.Ways, Way{"a bare C echo of the same size", e.total.stats()})
	}
	for _, w := range ways {
		r.Ways = append(r.Ways, Way{w.name, w.stats()})
	}
	return nil
}

// rates measures how many calls a second a pool makes.
func (r *PoolReport) rates(ctx context.Context, c *call) error {
	for _, n := range poolSizes {
		p, err := r.pool(n, -1)
		if err != nil {
			return err
		}
		rate, err := r.rate(ctx, p, n, c)
		if err := errors.Join(err, p.Close(context.Background())); err != nil {
			return err
		}
		r.Rates = append(r.Rates, rate)
	}
	return nil
}

func (r *PoolReport) rate(ctx context.Context, p *pool.Pool, n int, c *call) (Rate, error) {
	all := newTimes()
	var (
		mu     sync.Mutex
		failed error
		calls  int64
	)
	run := func(d time.Duration, keep bool) time.Duration {
		begin := time.Now()
		var callers sync.WaitGroup
		for range n {
			callers.Go(func() {
				mine := newTimes()
				var err error
				for err == nil && time.Since(begin) < d {
					start := time.Now()
					var got pool.Result
					got, err = p.Execute(ctx, c.request)
					mine.add(time.Since(start))
					err = checked(c, got, err)
				}
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
				if keep {
					calls += mine.histogram.TotalCount()
					all.histogram.Merge(mine.histogram)
					all.sum += mine.sum
				}
			})
		}
		callers.Wait()
		return time.Since(begin)
	}
	run(rateTime/5, false)
	took := run(rateTime, true)
	return Rate{Executors: n, PerSecond: float64(calls) / took.Seconds(), Stats: all.stats()}, failed
}

// deaths measures from the kill of an idle executor's process, which the pool has not
// noticed or just so, to the answer of the next call.
func (r *PoolReport) deaths(ctx context.Context, c *call) error {
	for _, kind := range []struct {
		name    string
		spares  int
		preload []string
		kill    bool
	}{
		{"an ordinary call", 1, nil, false},
		{"with a spare that has loaded the package", 1, []string{taskPackage}, true},
		{"with a spare", 1, nil, true},
		{"without a spare", -1, nil, true},
	} {
		p, err := r.pool(1, kind.spares, kind.preload...)
		if err != nil {
			return err
		}
		spares := max(kind.spares, 0)
		took := newTimes()
		err = func() error {
			if _, err := p.Execute(ctx, c.request); err != nil {
				return err
			}
			for range min(poolDeaths, r.Config.Calls) {
				if err := settled(ctx, p, 1+spares, kind.preload); err != nil {
					return err
				}
				// All are up; who answers this is the one that would be next.
				got, err := p.Execute(ctx, c.request)
				if err := checked(c, got, err); err != nil {
					return err
				}
				if kind.kill {
					if err := killLast(p); err != nil {
						return err
					}
				}
				start := time.Now()
				got, err = p.Execute(ctx, c.request)
				took.add(time.Since(start))
				if err := checked(c, got, err); err != nil {
					return err
				}
			}
			return nil
		}()
		if err := errors.Join(err, p.Close(context.Background())); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		r.Deaths = append(r.Deaths, Way{kind.name, took.stats()})
	}
	return nil
}

// settled waits until a pool has as many idle executors as it should, each with its
// packages loaded.
func settled(ctx context.Context, p *pool.Pool, executors int, loaded []string) error {
	for deadline := time.Now().Add(callTimeout); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		s := p.Stats()
		ready := 0
		for _, e := range s.Executors {
			if e.State == "idle" && len(e.Loaded) >= len(loaded) {
				ready++
			}
		}
		if ready == executors && ready == len(s.Executors) && s.Starting == 0 {
			return nil
		}
	}
	return errors.Join(ctx.Err(), errors.New("the pool's executors do not come up"))
}

// killLast kills the executor that has answered last, and waits until it is dead.
func killLast(p *pool.Pool) error {
	var last pool.ExecutorStats
	for _, e := range p.Stats().Executors {
		if e.State == "idle" && e.Since.After(last.Since) {
			last = e
		}
	}
	if last.PID == 0 {
		return errors.New("there is no executor to kill")
	}
	process, err := unix.PidfdOpen(last.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	if err := unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	dead := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(dead, -1); err != unix.EINTR {
			return err
		}
	}
}

// starts measures from a new pool to its first answer.
func (r *PoolReport) starts(ctx context.Context, c *call) error {
	took := newTimes()
	for range min(poolDeaths, r.Config.Calls) {
		start := time.Now()
		p, err := r.pool(1, -1)
		if err != nil {
			return err
		}
		got, err := p.Execute(ctx, c.request)
		took.add(time.Since(start))
		if err := errors.Join(checked(c, got, err), p.Close(context.Background())); err != nil {
			return err
		}
	}
	r.Starts = append(r.Starts, Way{"a new pool, a process, the package loaded", took.stats()})
	return nil
}

// Markdown returns the report as text.
func (r *PoolReport) Markdown() string {
	var b strings.Builder
	h := &r.Host
	fmt.Fprintf(&b, `# Pool

- Date: %s
- CPU: %s; %s available, 1 minute load average %s
- Kernel %s, %s, commit %s
- Executor: %s

All times are in microseconds. Nothing is pinned to a core. The task does nothing but
answer a number.

## One call

%s of each, in %s, everything in turn.

| way | p50 | p95 | p99 | average |
|---|---:|---:|---:|---:|
`, h.Date.Format("2006-01-02 15:04:05 MST"), h.CPU, count(len(h.CPUs), "core"), h.Load, h.Kernel, h.Go, h.Commit,
		r.Config.Executor, count(r.Config.Calls, "call"), count(r.Config.Blocks, "block"))
	rows := func(ways []Way) {
		for _, w := range ways {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", w.Name, micros(w.P50), micros(w.P95), micros(w.P99), micros(w.Avg))
		}
	}
	rows(r.Ways)
	if r.NoFloor != "" {
		fmt.Fprintf(&b, "\nThe C echo was not measured: %s.\n", r.NoFloor)
	}
	b.WriteString("\n## Calls per second\n\nAs many callers as executors, without a pause.\n\n| executors | calls per second | p50 | p99 |\n|---:|---:|---:|---:|\n")
	for _, rate := range r.Rates {
		fmt.Fprintf(&b, "| %d | %.0f | %s | %s |\n", rate.Executors, rate.PerSecond, micros(rate.P50), micros(rate.P99))
	}
	fmt.Fprintf(&b, "\n## From a death to the next answer\n\nThe executor that answered last is killed, %d times; the call after that.\n\n| | p50 | p95 | p99 | average |\n|---|---:|---:|---:|---:|\n", min(poolDeaths, r.Config.Calls))
	rows(r.Deaths)
	b.WriteString("\n## To the first answer\n\n| | p50 | p95 | p99 | average |\n|---|---:|---:|---:|---:|\n")
	rows(r.Starts)
	return b.String()
}

// Write writes the report into dir, which it makes if need be, and returns the
// file's path.
func (r *PoolReport) Write(dir string) (string, error) { return write(dir, PoolFileName, r.Markdown()) }
