package bench

import (
	"bytes"
	"fmt"
	"path/filepath"
	"time"

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

func startExecutor(program, packageDir string, cpu int) (*peer, error) {
	e := &peer{name: filepath.Base(program)}
	err := onCPU(cpu, func() (err error) {
		e.process, err = pool.StartProcess(pool.ProcessConfig{Executor: program, PackageDir: packageDir})
		return err
	})
	return e, err
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
	call *call

	endToEnd *times
	inside   *times // what the executor says it took
	rest     *times // endToEnd minus inside, call by call
}

func measure(on *peer, c *call) *measured {
	return &measured{on: on, call: c, endToEnd: newTimes(), inside: newTimes(), rest: newTimes()}
}

func (m *measured) run(n int, keep bool) error {
	for i := range n {
		start := time.Now()
		result, err := m.on.process.Execute(m.call.request, callTimeout)
		took := time.Since(start)
		if err != nil {
			return fmt.Errorf("%s: call %d of a block: %w", m.on.name, i+1, err)
		}
		if !bytes.Equal(result.Outputs, m.call.want) {
			return fmt.Errorf("%s: call %d of a block: wrong answer from %s: %s, not %s",
				m.on.name, i+1, m.call.request.Task, brief(result.Outputs), brief(m.call.want))
		}
		if keep {
			m.endToEnd.add(took)
			m.inside.add(result.ExecutorTime)
			m.rest.add(took - result.ExecutorTime)
		}
	}
	return nil
}

func brief(b []byte) string {
	const most = 32
	if len(b) > most {
		return fmt.Sprintf("%d bytes %x...", len(b), b[:most])
	}
	return fmt.Sprintf("%d bytes %x", len(b), b)
}
