package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// Starts are from the start of a process to its first answer.
type Starts struct {
	// BareC is a C program that a C program starts, BareExecutor the same one in the
	// place of an executor, started as one. Nil where there is no compiler.
	BareC        *Stats `json:"bare_c,omitempty"`
	BareExecutor *Stats `json:"bare_executor,omitempty"`

	Executors []ExecutorStarts `json:"executors"` // the first is ours
}

// ExecutorStarts are one executor's.
type ExecutorStarts struct {
	Name      string `json:"name"`
	CPackage  Stats  `json:"c_package"`  // by the handle; the answer is of a small package in C
	GoPackage Stats  `json:"go_package"` // the same, of one in Go
	Pool      Stats  `json:"pool"`       // a new pool's first answer, of the package in Go
}

// measureStarts measures each executor, in turn, start by start. Nothing is pinned.
func (r *run) measureStarts(ctx context.Context) (s *Starts, err error) {
	cfg := &r.report.Config
	small := r.calls.Echo(100)
	type starter struct {
		into  *Stats
		start func() (time.Duration, error)
		*times
	}
	var starters []starter
	add := func(into *Stats, start func() (time.Duration, error)) {
		starters = append(starters, starter{into, start, newTimes()})
	}
	s = &Starts{Executors: make([]ExecutorStarts, len(cfg.executors()))}
	if r.bare.Executor != "" {
		s.BareC, s.BareExecutor = &Stats{}, &Stats{}
		add(s.BareC, func() (time.Duration, error) { return startBare(ctx, r.bare.Executor) })
		add(s.BareExecutor, func() (time.Duration, error) { return firstAnswer(cfg.process(r.bare.Executor), &small) })
	}
	for i, program := range cfg.executors() {
		e := &s.Executors[i]
		e.Name = cfg.executorNames()[i]
		add(&e.CPackage, func() (time.Duration, error) { return firstAnswer(cfg.process(program), &small) })
		add(&e.GoPackage, func() (time.Duration, error) { return firstAnswer(cfg.process(program), &r.calls.NoOp) })
		add(&e.Pool, func() (time.Duration, error) { return r.firstAnswerOfPool(ctx, program, &r.calls.NoOp) })
	}
	for n := range cfg.Deaths + 1 { // the first is the warm-up
		for i := range starters {
			it := &starters[(n+i)%len(starters)]
			took, err := it.start()
			if err != nil {
				return nil, errors.Join(ctx.Err(), err)
			}
			if n > 0 {
				it.add(took)
			}
		}
	}
	for _, it := range starters {
		*it.into = it.stats()
	}
	return s, nil
}

func startBare(ctx context.Context, program string) (time.Duration, error) {
	out, err := exec.CommandContext(ctx, program, strconv.Itoa(1)).Output()
	if err != nil {
		return 0, fmt.Errorf("the bare C program: %w", err)
	}
	var took uint64
	if err := binary.Read(bytes.NewReader(out), binary.NativeEndian, &took); err != nil {
		return 0, fmt.Errorf("the bare C program: %w", err)
	}
	return time.Duration(took), nil
}

func firstAnswer(process pool.ProcessConfig, c *workload.Call) (took time.Duration, err error) {
	start := time.Now()
	on, err := startExecutor(process, -1)
	if err != nil {
		return 0, err
	}
	got, err := on.process.Execute(c.Request, callTimeout)
	took = time.Since(start)
	return took, errors.Join(checked(c, got, err), on.close())
}

func (r *run) firstAnswerOfPool(ctx context.Context, program string, c *workload.Call) (time.Duration, error) {
	start := time.Now()
	p, err := r.pool(program, 1, -1)
	if err != nil {
		return 0, err
	}
	got, err := p.Execute(ctx, c.Request)
	took := time.Since(start)
	return took, errors.Join(checked(c, got, err), p.Close(context.Background()))
}
