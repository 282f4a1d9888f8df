package bench

import (
	"bytes"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// callTimeout is the limit that each call gets: users set one, so its cost is
// part of the overhead.
const callTimeout = 10 * time.Second

// A subject is one thing to measure: it makes n calls, and counts them if keep
// is set.
type subject interface {
	run(n int, keep bool) error
}

// peer is one long-lived executor process.
type peer struct {
	name    string
	process *pool.Process
}

// startExecutor starts one, on a CPU unless that is -1.
func startExecutor(cfg pool.ProcessConfig, cpu int) (*peer, error) {
	e := &peer{name: filepath.Base(cfg.Executor)}
	err := onCPU(cpu, func() (err error) {
		e.process, err = pool.StartProcess(cfg)
		return err
	})
	return e, err
}

// process is how an executor is started.
func (cfg *Config) process(program string) pool.ProcessConfig {
	return pool.ProcessConfig{Executor: program, PackageDir: cfg.PackageDir}
}

func (e *peer) close() error {
	exit := e.process.Shutdown()
	_ = e.process.Close()
	if exit.Code != 0 {
		return fmt.Errorf("%s: %v after its shutdown", e.name, exit)
	}
	return nil
}

// measured is one kind of call on one executor.
type measured struct {
	on   *peer
	call *workload.Call

	// fewChecks compares only the first and the last answer of a block, and of the
	// others the length: to compare a large answer fills the caches.
	fewChecks bool

	// buffer is where the answer goes, if it is not nil: that of the last one, as in the C
	// programs.
	buffer []byte

	endToEnd *times
	inside   *times // what the executor says it took
	rest     *times // endToEnd minus inside, call by call
}

func measure(on *peer, c *workload.Call) *measured {
	return &measured{on: on, call: c, endToEnd: newTimes(), inside: newTimes(), rest: newTimes()}
}

func (m *measured) run(n int, keep bool) error {
	for i := range n {
		request := m.call.Request
		request.OutputBuffer = m.buffer
		start := time.Now()
		result, err := m.on.process.Execute(request, callTimeout)
		took := time.Since(start)
		if err != nil {
			return fmt.Errorf("%s: call %d of a block: %w", m.on.name, i+1, err)
		}
		look := !m.fewChecks || i == 0 || i == n-1
		if len(result.Outputs) != len(m.call.Want) || look && !bytes.Equal(result.Outputs, m.call.Want) {
			return fmt.Errorf("%s: call %d of a block: %w", m.on.name, i+1, wrong(m.call, result.Outputs))
		}
		if m.buffer != nil {
			m.buffer = result.Outputs
		}
		if keep {
			m.endToEnd.add(took)
			m.inside.add(result.ExecutorTime)
			m.rest.add(took - result.ExecutorTime)
		}
	}
	return nil
}

// checked is err, or what is wrong with an answer.
func checked(c *workload.Call, got pool.Result, err error) error {
	if err == nil && !bytes.Equal(got.Outputs, c.Want) {
		return wrong(c, got.Outputs)
	}
	return err
}

func wrong(c *workload.Call, got []byte) error {
	return fmt.Errorf("wrong answer from %s: %s, not %s", c.Request.Task, brief(got), brief(c.Want))
}

func brief(b []byte) string {
	const most = 32
	if len(b) > most {
		return fmt.Sprintf("%d bytes %x...", len(b), b[:most])
	}
	return fmt.Sprintf("%d bytes %x", len(b), b)
}
