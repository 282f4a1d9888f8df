package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// envWorker marks the process that Run starts to measure.
const envWorker = "SPIDER_BENCH_WORKER"

// order is what a worker is to do. It comes on its stdin, as JSON.
type order struct {
	Config              Config
	Echo                string // the C program, "" if there is none
	Sleep               time.Duration
	ParentCPU, ChildCPU int
}

// answer is what a worker writes to its stdout, as JSON.
type answer struct {
	Error      string
	CPUs       int // that the worker was pinned to
	GoMaxProcs int
	Executors  []ExecutorTimes // the first is ours
	Floor      *FloorTimes
}

// ExecutorTimes are one executor's.
type ExecutorTimes struct {
	Name string

	EndToEnd Stats // from the call of Process.Execute to its return
	Inside   Stats // what the executor answers as its time
	Internal Stats // Inside minus Sleep
	IPC      Stats // EndToEnd minus Inside, call by call

	// Sleep is how long the task slept, measured in this very process.
	Sleep time.Duration

	NoOp Stats // end to end, of a task that does nothing
}

// FloorTimes are the C echo's, with frames of the same sizes.
type FloorTimes struct {
	Echo Stats

	Sleeping     Stats // the child sleeps before it answers
	Slept        Stats // for so long
	SleepingRest Stats // Sleeping minus Slept, call by call

	NoOp Stats // with the sizes of the no-op call
}

// Worker must be called first in main, and in a test's TestMain, of every
// program that calls [Run]. It returns at once, unless this process is one that
// Run has started to measure: then it does that and exits.
func Worker() {
	if os.Getenv(envWorker) == "" {
		return
	}
	// Nothing that is started from here is a worker.
	os.Unsetenv(envWorker)
	// Shown is what the runtime found: one, if the pinning was in time.
	pinned := runtime.GOMAXPROCS(0)
	// With one, the runtime's monitor takes the only processor away while a
	// system call waits, and has to be woken to get it back: what a program that
	// shares a core with its executor would avoid, too.
	runtime.GOMAXPROCS(max(2, pinned))
	var o order
	var a answer
	err := json.NewDecoder(os.Stdin).Decode(&o)
	if err == nil {
		a, err = work(o)
		a.CPUs = pinned
	}
	if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		fmt.Fprintln(os.Stderr, "bench: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// settle is how many calls are made and discarded at the start of each block,
// when another program's code and data fill the caches.
const settle = 16

// work measures everything between one parent CPU and one child CPU.
func work(o order) (a answer, err error) {
	kinds, err := newCalls()
	if err != nil {
		return a, err
	}
	var closers []func() error
	defer func() {
		for _, stop := range closers {
			err = errors.Join(err, stop())
		}
	}()

	type seat struct {
		on                      *peer
		instrument, sleep, noop *measured
	}
	var (
		seats    []seat
		subjects []subject
	)
	for _, program := range append([]string{o.Config.Executor}, o.Config.Against...) {
		on, err := startExecutor(program, o.Config.PackageDir, o.ChildCPU)
		if err != nil {
			return a, err
		}
		closers = append(closers, on.close)
		s := seat{on, measure(on, &kinds.instrument), measure(on, &kinds.sleep), measure(on, &kinds.noop)}
		seats = append(seats, s)
		subjects = append(subjects, s.instrument, s.sleep, s.noop)
	}
	var bare, sleeping, noop *echo
	if o.Echo != "" {
		start := func(c *call, sleep time.Duration) (*echo, error) {
			e, err := startEcho(o.Echo, c, sleep, o.ParentCPU, o.ChildCPU)
			if err == nil {
				closers = append(closers, e.close)
				subjects = append(subjects, e)
			}
			return e, err
		}
		if bare, err = start(&kinds.instrument, 0); err != nil {
			return a, err
		}
		if sleeping, err = start(&kinds.instrument, o.Sleep); err != nil {
			return a, err
		}
		if noop, err = start(&kinds.noop, 0); err != nil {
			return a, err
		}
	}

	if err := inTurn(subjects, o.Config); err != nil {
		return a, err
	}

	a.GoMaxProcs = runtime.GOMAXPROCS(0)
	for _, s := range seats {
		slept := max(0, s.sleep.inside.stats().P50-s.noop.inside.stats().P50)
		inside := s.instrument.inside.stats()
		a.Executors = append(a.Executors, ExecutorTimes{
			Name:     s.on.name,
			EndToEnd: s.instrument.endToEnd.stats(),
			Inside:   inside,
			Internal: inside.Less(slept),
			IPC:      s.instrument.rest.stats(),
			Sleep:    slept,
			NoOp:     s.noop.endToEnd.stats(),
		})
	}
	if o.Echo != "" {
		a.Floor = &FloorTimes{
			Echo:         bare.total.stats(),
			Sleeping:     sleeping.total.stats(),
			Slept:        sleeping.slept.stats(),
			SleepingRest: sleeping.rest.stats(),
			NoOp:         noop.total.stats(),
		}
	}
	return a, nil
}

// inTurn makes all calls. Each block begins with the next subject, so that none
// always follows the same one's noise.
func inTurn(subjects []subject, cfg Config) error {
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
