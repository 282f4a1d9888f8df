package bench

import (
	"context"
	"errors"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// ExecutorTimes are one executor's.
type ExecutorTimes struct {
	Name string `json:"name"`

	EndToEnd Stats `json:"end_to_end"` // from the call of Process.Execute to its return
	Inside   Stats `json:"inside"`     // what the executor answers as its time
	Internal Stats `json:"internal"`   // Inside minus Sleep
	IPC      Stats `json:"ipc"`        // EndToEnd minus Inside, call by call
	Overhead Stats `json:"overhead"`   // EndToEnd minus Sleep

	// Sleep is how long the task slept, measured in this very process.
	Sleep time.Duration `json:"sleep_ns"`

	NoOp Stats `json:"noop"` // end to end, of a task that does nothing

	IPCCurve  Curve `json:"ipc_curve"`
	NoOpCurve Curve `json:"noop_curve"`
}

// FloorTimes are the C echo's, with frames of the same sizes.
type FloorTimes struct {
	Echo Stats `json:"echo"`

	Sleeping     Stats `json:"sleeping"`      // the child sleeps before it answers
	Slept        Stats `json:"slept"`         // for so long
	SleepingRest Stats `json:"sleeping_rest"` // Sleeping minus Slept, call by call

	NoOp Stats `json:"noop"` // with the sizes of the no-op call

	EchoCurve Curve `json:"echo_curve"`
	NoOpCurve Curve `json:"noop_curve"`
}

// spinTime is how long both ends of ours look before they block where they are measured
// with that: where nothing is pinned, as they do not look where they have one core.
const spinTime = 100 * time.Microsecond

// measureCalls measures single calls between one parent CPU and one child CPU.
func measureCalls(o *order, kinds *workload.Calls) (executors []ExecutorTimes, floor *FloorTimes, err error) {
	var open closers
	defer open.closeInto(&err)

	type seat struct {
		on                      *peer
		instrument, sleep, noop *measured
	}
	var (
		seats    []seat
		subjects []subject
	)
	for _, program := range o.Config.executors() {
		on, err := startExecutor(o.Config.process(program), o.ChildCPU)
		if err != nil {
			return nil, nil, err
		}
		open = append(open, on.close)
		s := seat{on, measure(on, &kinds.Instrument), measure(on, &kinds.Sleep), measure(on, &kinds.NoOp)}
		seats = append(seats, s)
		subjects = append(subjects, s.instrument, s.sleep, s.noop)
	}
	var still, sleeping, noop *echo
	if o.Bare.PipeEcho != "" {
		start := func(c *workload.Call, sleep time.Duration) (*echo, error) {
			e, err := startPipeEcho(o.Bare.PipeEcho, c, sleep, o.ParentCPU, o.ChildCPU, 0)
			if err == nil {
				open = append(open, e.close)
				subjects = append(subjects, e)
			}
			return e, err
		}
		if still, err = start(&kinds.Instrument, 0); err != nil {
			return nil, nil, err
		}
		if sleeping, err = start(&kinds.Instrument, o.Sleep); err != nil {
			return nil, nil, err
		}
		if noop, err = start(&kinds.NoOp, 0); err != nil {
			return nil, nil, err
		}
	}

	if err := inTurn(subjects, &o.Config); err != nil {
		return nil, nil, err
	}

	for i, s := range seats {
		slept := max(0, s.sleep.inside.stats().P50-s.noop.inside.stats().P50)
		inside := s.instrument.inside.stats()
		executors = append(executors, ExecutorTimes{
			Name:      o.Config.executorNames()[i],
			EndToEnd:  s.instrument.endToEnd.stats(),
			Inside:    inside,
			Internal:  inside.Less(slept),
			IPC:       s.instrument.rest.stats(),
			Overhead:  s.instrument.endToEnd.stats().Less(slept),
			Sleep:     slept,
			NoOp:      s.noop.endToEnd.stats(),
			IPCCurve:  s.instrument.rest.curve(),
			NoOpCurve: s.noop.endToEnd.curve(),
		})
	}
	if still != nil {
		floor = &FloorTimes{
			Echo:         still.total.stats(),
			Sleeping:     sleeping.total.stats(),
			Slept:        sleeping.inside.stats(),
			SleepingRest: sleeping.rest.stats(),
			NoOp:         noop.total.stats(),
			EchoCurve:    still.total.curve(),
			NoOpCurve:    noop.total.curve(),
		}
	}
	return executors, floor, nil
}

// inTurn makes all calls. Each block begins with the next subject, so that none
// always follows the same one's noise.
func inTurn(subjects []subject, cfg *Config) error {
	for _, s := range subjects {
		if err := s.run(cfg.WarmUp, false); err != nil {
			return err
		}
	}
	for block := range cfg.Blocks {
		for i := range subjects {
			s := subjects[(block+i)%len(subjects)]
			if err := s.run(settle, false); err != nil {
				return err
			}
			if err := s.run(part(cfg.Calls, cfg.Blocks, block), true); err != nil {
				return err
			}
		}
	}
	return nil
}

// Way is one way to get an answer, and how long it took.
type Way struct {
	Name string `json:"name"`
	Stats
}

// way makes calls by a function.
type way struct {
	name string
	call func() (pool.Result, error)
	want *workload.Call
	*times
}

func (w *way) run(n int, keep bool) error {
	for range n {
		start := time.Now()
		got, err := w.call()
		took := time.Since(start)
		if err := checked(w.want, got, err); err != nil {
			return err
		}
		if keep {
			w.add(took)
		}
	}
	return nil
}

// measureWays measures the call that does nothing by every way there is to make it:
// with each, one more layer takes part. Nothing is pinned.
func (r *run) measureWays(ctx context.Context) (list []Way, err error) {
	cfg, c := &r.report.Config, &r.calls.NoOp
	var open closers
	defer open.closeInto(&err)
	handle := func(process pool.ProcessConfig) (func() (pool.Result, error), error) {
		on, err := startExecutor(process, -1)
		if err != nil {
			return nil, err
		}
		open = append(open, on.close)
		return func() (pool.Result, error) { return on.process.Execute(c.Request, callTimeout) }, nil
	}

	var subjects []subject
	var ways []*way
	add := func(name string, call func() (pool.Result, error)) {
		w := &way{name, call, c, newTimes()}
		ways, subjects = append(ways, w), append(subjects, w)
	}
	var floor *echo
	if r.bare.PipeEcho != "" {
		if floor, err = startPipeEcho(r.bare.PipeEcho, c, 0, -1, -1, 0); err != nil {
			return nil, err
		}
		open = append(open, floor.close)
		subjects = append(subjects, floor)
		call, err := handle(cfg.process(r.bare.Executor))
		if err != nil {
			return nil, err
		}
		add("`Process.Execute` on a bare C executor", call)
	}
	call, err := handle(cfg.process(cfg.Executor))
	if err != nil {
		return nil, err
	}
	process := cfg.process(cfg.Executor)
	process.Spin = spinTime
	spinning, err := handle(process)
	if err != nil {
		return nil, err
	}
	p, err := r.pool(cfg.Executor, 1, 1)
	if err != nil {
		return nil, err
	}
	open = append(open, func() error { return p.Close(context.Background()) })
	cancelable, cancel := context.WithCancel(ctx)
	defer cancel()
	add("`Process.Execute`", call)
	add("`Process.Execute`, spinning", spinning)
	add("`Pool.Execute`", func() (pool.Result, error) { return p.Execute(context.Background(), c.Request) })
	add("`Pool.Execute` with a context that can be canceled", func() (pool.Result, error) { return p.Execute(cancelable, c.Request) })

	if err := inTurn(subjects, cfg); err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	if floor != nil {
		list = append(list, Way{"a bare C echo of the same size", floor.total.stats()})
	}
	for _, w := range ways {
		list = append(list, Way{w.name, w.stats()})
	}
	return list, nil
}
