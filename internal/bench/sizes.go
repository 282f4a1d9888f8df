package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

const (
	minSize = 16      // bytes of payload: what an echo's frame must at least hold
	maxSize = 1 << 30 // and at most

	// judgedSize is the payload by which the way of large ones is judged.
	judgedSize = 4 << 20

	// widePipe is what the C echo asks its pipes to hold: as much as the system lets
	// everybody have, unless it was set up otherwise.
	widePipe = 1 << 20

	// leastCalls are made of every size, however long they take.
	leastCalls = 10
)

// Size is what was measured with payloads of one size, the same out as in.
type Size struct {
	Bytes     int        `json:"bytes"`
	Executors []Transfer `json:"executors"` // the first is ours

	// PipeEcho sends the same frames over two pipes, each of which holds
	// PipeCapacity bytes. ShmEcho has the payloads in shared memory. Nil where
	// there is no compiler.
	PipeEcho     *Transfer `json:"pipe_echo,omitempty"`
	PipeCapacity int       `json:"pipe_capacity,omitempty"`
	ShmEcho      *Transfer `json:"shm_echo,omitempty"`
}

// Transfer is how long calls with a payload took.
type Transfer struct {
	Name string `json:"name"`

	// NotCarried says why the executor cannot take or answer such a payload, in its
	// own words. "": it can.
	NotCarried string `json:"not_carried,omitempty"`

	EndToEnd Stats `json:"end_to_end"`

	// Inside is what the executor answers as its time, which is the task's own copy,
	// and, if it reads its inputs in place, the first look at them; of the shared
	// memory, what the child's two copies took. Rest is EndToEnd minus Inside, call
	// by call.
	Inside Stats `json:"inside"`
	Rest   Stats `json:"rest"`
}

// A carrier is one thing that carries payloads of one size.
type carrier struct {
	subject
	calls int
}

// measureSizes measures payloads of every size between one parent CPU and one child
// CPU. Executors and echoes are new for each, so that none has an earlier size's
// pipes, memory, or death.
func measureSizes(o *order, kinds *workload.Calls) ([]Size, error) {
	var sizes []Size
	for _, bytes := range o.Config.Sizes {
		s, err := measureSize(o, kinds, bytes)
		if err != nil {
			return nil, fmt.Errorf("with payloads of %s: %w", sizeName(bytes), err)
		}
		sizes = append(sizes, s)
	}
	return sizes, nil
}

func measureSize(o *order, kinds *workload.Calls, bytes int) (s Size, err error) {
	s.Bytes = bytes
	c := kinds.Echo(bytes)
	var open closers
	defer open.closeInto(&err)

	var carriers []*carrier
	add := func(run subject) error {
		k := &carrier{subject: run}
		carriers = append(carriers, k)
		return k.calibrate(&o.Config)
	}
	executors := make([]*measured, len(o.Config.executors()))
	for i, program := range o.Config.executors() {
		config := o.Config.process(program)
		config.MaxPayload = maxSize // for those that can
		on, err := startExecutor(config, o.ChildCPU)
		if err != nil {
			return s, err
		}
		open = append(open, on.close)
		t := Transfer{Name: o.Config.executorNames()[i]}
		result, err := on.process.Execute(c.Request, callTimeout)
		if t.NotCarried = notCarried(err); t.NotCarried == "" {
			if err := checked(&c, result, err); err != nil {
				return s, fmt.Errorf("%s: %w", on.name, err)
			}
			executors[i] = measure(on, &c)
			executors[i].fewChecks = true
			executors[i].buffer = []byte{}
			if err := add(executors[i]); err != nil {
				return s, err
			}
		}
		s.Executors = append(s.Executors, t)
	}
	var pipes, shm *echo
	if o.Bare.PipeEcho != "" {
		wide := 0
		if request, _ := frames(&c); request > 64<<10 {
			wide = widePipe
		}
		if pipes, err = startPipeEcho(o.Bare.PipeEcho, &c, 0, o.ParentCPU, o.ChildCPU, wide); err != nil {
			return s, err
		}
		open = append(open, pipes.close)
		if err := add(pipes); err != nil {
			return s, err
		}
		if shm, err = startShmEcho(o.Bare.ShmEcho, &c, o.ParentCPU, o.ChildCPU); err != nil {
			return s, err
		}
		open = append(open, shm.close)
		if err := add(shm); err != nil {
			return s, err
		}
	}
	if err := carryInTurn(carriers, o.Config.Blocks); err != nil {
		return s, err
	}

	for i, m := range executors {
		if m != nil {
			t := &s.Executors[i]
			t.EndToEnd, t.Inside, t.Rest = m.endToEnd.stats(), m.inside.stats(), m.rest.stats()
		}
	}
	if pipes != nil {
		s.PipeCapacity = pipes.capacity
		s.PipeEcho = &Transfer{Name: "C echo, pipes", EndToEnd: pipes.total.stats(), Inside: pipes.inside.stats(), Rest: pipes.rest.stats()}
		s.ShmEcho = &Transfer{Name: "C echo, shared memory", EndToEnd: shm.total.stats(), Inside: shm.inside.stats(), Rest: shm.rest.stats()}
	}
	return s, nil
}

// notCarried says why a call failed, if it did since the payload is too large: before
// anything was sent, or by the executor's own word.
func notCarried(err error) string {
	var tooLarge *pool.TooLargeError
	var answered *pool.ExecutorError
	switch {
	case errors.As(err, &tooLarge):
		return fmt.Sprintf("the request has %d bytes, the limit is %d", tooLarge.Size, tooLarge.Limit)
	case errors.As(err, &answered) && errors.Is(err, tdl.SerializationError):
		return answered.Err.Message
	}
	return ""
}

// calibrate makes a few calls and sees how many fit the time for a turn.
func (c *carrier) calibrate(cfg *Config) error {
	took := make([]time.Duration, 5)
	for i := range took {
		start := time.Now()
		if err := c.run(1, false); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	each := max(1, took[len(took)/2])
	c.calls = min(max(leastCalls, int(cfg.TurnTime/each)), cfg.Calls)
	return nil
}

// carryInTurn is inTurn for subjects that make different numbers of calls.
func carryInTurn(carriers []*carrier, blocks int) error {
	for _, c := range carriers {
		blocks = min(blocks, c.calls)
	}
	for block := range blocks {
		for i := range carriers {
			c := carriers[(block+i)%len(carriers)]
			if err := c.run(1, false); err != nil {
				return err
			}
			if err := c.run(part(c.calls, blocks, block), true); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeName is a size as people say it.
func sizeName(bytes int) string {
	for _, unit := range []struct {
		name string
		size int
	}{{"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes >= unit.size && bytes%unit.size == 0 {
			return fmt.Sprintf("%d %s", bytes/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
