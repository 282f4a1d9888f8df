package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// Deaths are from the kill of an idle executor's process, which the pool has not
// noticed or just so, to the answer of the next call.
type Deaths struct {
	Name string `json:"name"` // of the executor

	Ordinary   Stats `json:"ordinary"`    // a call after which nothing has died
	Unrelated  Stats `json:"unrelated"`   // after the death of a process that is not the pool's
	Preloaded  Stats `json:"preloaded"`   // with a spare that has the package loaded
	Spare      Stats `json:"spare"`       // with a spare
	WithoutOne Stats `json:"without_one"` // without: an executor has to be started
}

// measureDeaths measures each executor. Nothing is pinned.
func (r *run) measureDeaths(ctx context.Context) ([]Deaths, error) {
	cfg := &r.report.Config
	var all []Deaths
	for i, program := range cfg.executors() {
		d, err := r.measureDeathsOf(ctx, program)
		if err != nil {
			return nil, err
		}
		d.Name = cfg.executorNames()[i]
		all = append(all, d)
	}
	return all, nil
}

// victim is what dies before a call.
type victim int

const (
	nobody victim = iota
	stranger
	answerer // who answered last
)

func (r *run) measureDeathsOf(ctx context.Context, program string) (d Deaths, err error) {
	cfg, c := &r.report.Config, &r.calls.NoOp
	var open closers
	defer open.closeInto(&err)

	kinds := []struct {
		what    string
		spares  int
		preload []string
		dies    victim
		into    *Stats

		*pool.Pool
		took *times
	}{
		{what: "an ordinary call", spares: 1, preload: []string{workload.Package}, dies: nobody, into: &d.Ordinary},
		{what: "after a stranger's death", spares: 1, preload: []string{workload.Package}, dies: stranger, into: &d.Unrelated},
		{what: "with a spare that has loaded the package", spares: 1, preload: []string{workload.Package}, dies: answerer, into: &d.Preloaded},
		{what: "with a spare", spares: 1, dies: answerer, into: &d.Spare},
		{what: "without a spare", spares: -1, dies: answerer, into: &d.WithoutOne},
	}
	for i := range kinds {
		k := &kinds[i]
		k.took = newTimes()
		if k.Pool, err = r.pool(program, 1, k.spares, k.preload...); err != nil {
			return d, err
		}
		open = append(open, func() error { return k.Close(context.Background()) })
		if got, err := k.Execute(ctx, c.Request); err != nil {
			return d, fmt.Errorf("%s: %w", k.what, checked(c, got, err))
		}
	}
	for death := range cfg.Deaths {
		for i := range kinds {
			k := &kinds[(death+i)%len(kinds)]
			took, err := callAfter(ctx, k.Pool, c, cfg.process(program), 1+max(k.spares, 0), len(k.preload), k.dies)
			if err != nil {
				return d, fmt.Errorf("%s: %w", k.what, err)
			}
			k.took.add(took)
		}
	}
	for i := range kinds {
		*kinds[i].into = kinds[i].took.stats()
	}
	return d, nil
}

// callAfter makes one call of a pool right after a death.
func callAfter(ctx context.Context, p *pool.Pool, c *workload.Call, process pool.ProcessConfig, executors, loaded int, dies victim) (time.Duration, error) {
	if err := settled(ctx, p, executors, loaded); err != nil {
		return 0, err
	}
	var bystander *peer
	if dies == stranger {
		var err error
		if bystander, err = startExecutor(process, -1); err != nil {
			return 0, err
		}
		defer bystander.process.Close()
		got, err := bystander.process.Execute(c.Request, callTimeout)
		if err := checked(c, got, err); err != nil {
			return 0, err
		}
	}
	// All are up; who answers this is the one that would be next.
	got, err := p.Execute(ctx, c.Request)
	if err := checked(c, got, err); err != nil {
		return 0, err
	}
	switch dies {
	case stranger:
		err = killAndWait(bystander.process.PID())
	case answerer:
		err = killLast(p)
	}
	if err != nil {
		return 0, err
	}
	start := time.Now()
	got, err = p.Execute(ctx, c.Request)
	return time.Since(start), checked(c, got, err)
}

// settled waits until a pool has as many idle executors as it should, each with so
// many packages loaded.
func settled(ctx context.Context, p *pool.Pool, executors, loaded int) error {
	for deadline := time.Now().Add(callTimeout); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		s := p.Stats()
		ready := 0
		for _, e := range s.Executors {
			if e.State == "idle" && len(e.Loaded) >= loaded {
				ready++
			}
		}
		if ready == executors && ready == len(s.Executors) && s.Starting == 0 {
			return nil
		}
	}
	return errors.Join(ctx.Err(), errors.New("the pool's executors do not come up"))
}

// killLast kills the executor that has answered last.
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
	return killAndWait(last.PID)
}

// killAndWait returns when the process is dead. Who started it reaps it.
func killAndWait(pid int) error {
	process, err := unix.PidfdOpen(pid, 0)
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
