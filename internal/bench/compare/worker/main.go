// Worker makes calls and says how long each took, for the comparison of two revisions
// in the folder above, which builds this one file in the tree of either: against the
// package pool that is there. So what measures is the same on both sides. It uses
// nothing of the module but pool's oldest functions, and stays one file.
//
// Stdin brings orders, one JSON object a line; each is answered by one line on stdout.
// The end of stdin ends it. Its Protocol rises when an old worker cannot serve a new
// comparison any more.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/pool"
)

// Protocol is the version of what follows.
const Protocol = 1

// order has one of its fields set.
type order struct {
	Start *startOrder `json:"start"` // the first
	Call  *callOrder  `json:"call"`  // what a name stands for
	Run   *runOrder   `json:"run"`
}

// startOrder says which executor to start.
type startOrder struct {
	Executor   string `json:"executor"`
	PackageDir string `json:"package_dir"`
	CPU        int    `json:"cpu"` // for the executor that is called by its handle; -1: not pinned
}

// callOrder is one kind of call. Its only right answer is its inputs.
type callOrder struct {
	Name    string `json:"name"`
	ByPool  bool   `json:"by_pool"` // else by the handle on one process
	Package string `json:"package"`
	Task    string `json:"task"`
	Context []byte `json:"context"`
	Inputs  string `json:"inputs"` // the file that holds them
}

// runOrder has calls made.
type runOrder struct {
	Name  string `json:"name"`
	Calls int    `json:"calls"`
}

type answer struct {
	Protocol int             `json:"protocol"`
	Error    string          `json:"error,omitempty"`
	Times    []time.Duration `json:"times_ns,omitempty"`
}

const callTimeout = 10 * time.Second

func main() {
	// One processor would be taken away in every system call that waits.
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	w := &worker{calls: map[string]call{}}
	err := w.serve(bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout))
	if err := errors.Join(err, w.close()); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

type worker struct {
	process *pool.Process
	pool    *pool.Pool
	calls   map[string]call
}

type call struct {
	byPool  bool
	request pool.Request
}

func (w *worker) serve(in *bufio.Reader, out *json.Encoder) error {
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		a := answer{Protocol: Protocol}
		var o order
		if err = json.Unmarshal(line, &o); err == nil {
			a.Times, err = w.do(&o)
		}
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

func (w *worker) do(o *order) ([]time.Duration, error) {
	switch {
	case o.Start != nil:
		return nil, w.start(o.Start)
	case o.Call != nil:
		return nil, w.define(o.Call)
	case o.Run != nil:
		return w.run(o.Run)
	}
	return nil, errors.New("an order of a kind that this worker does not know")
}

func (w *worker) start(o *startOrder) (err error) {
	if w.pool, err = pool.New(pool.Config{
		Executor: o.Executor, PackageDir: o.PackageDir, Executors: 1, Spares: -1, Timeout: callTimeout,
	}); err != nil {
		return err
	}
	runtime.LockOSThread()
	var before unix.CPUSet
	if o.CPU >= 0 {
		var only unix.CPUSet
		only.Set(o.CPU)
		if err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &only)); err != nil {
			runtime.UnlockOSThread()
			return fmt.Errorf("pin to CPU %d: %w", o.CPU, err)
		}
	}
	w.process, err = pool.StartProcess(pool.ProcessConfig{Executor: o.Executor, PackageDir: o.PackageDir})
	if o.CPU >= 0 {
		if restored := unix.SchedSetaffinity(0, &before); restored != nil {
			// The thread stays locked, so no other goroutine gets onto it.
			return errors.Join(err, fmt.Errorf("unpin from CPU %d: %w", o.CPU, restored))
		}
	}
	runtime.UnlockOSThread()
	return err
}

func (w *worker) define(o *callOrder) error {
	inputs, err := os.ReadFile(o.Inputs)
	w.calls[o.Name] = call{o.ByPool, pool.Request{Package: o.Package, Task: o.Task, Context: o.Context, Inputs: inputs}}
	return err
}

func (w *worker) run(o *runOrder) ([]time.Duration, error) {
	c, known := w.calls[o.Name]
	if !known || w.process == nil {
		return nil, fmt.Errorf("no call %q, or nothing started", o.Name)
	}
	times := make([]time.Duration, o.Calls)
	for i := range times {
		var result pool.Result
		var err error
		start := time.Now()
		if c.byPool {
			result, err = w.pool.Execute(context.Background(), c.request)
		} else {
			result, err = w.process.Execute(c.request, callTimeout)
		}
		times[i] = time.Since(start)
		if err != nil {
			return nil, err
		}
		// To compare a large answer fills the caches.
		look := i == 0 || i == o.Calls-1
		if len(result.Outputs) != len(c.request.Inputs) || look && !bytes.Equal(result.Outputs, c.request.Inputs) {
			return nil, fmt.Errorf("wrong answer from %s", c.request.Task)
		}
	}
	return times, nil
}

func (w *worker) close() error {
	var err error
	if w.process != nil {
		err = w.process.Close()
	}
	if w.pool != nil {
		err = errors.Join(err, w.pool.Close(context.Background()))
	}
	return err
}
