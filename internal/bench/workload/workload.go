// Package workload is what is measured: calls, each with the only answer that is
// right. The overhead report and the comparison of revisions make the same ones.
package workload

import (
	"fmt"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// The packages that must be staged.
const (
	Package     = "integration_test_tasks" // in Go
	EchoPackage = "echo"                   // in C
)

// Paths is how many strings the measured task gets and gives back.
const Paths = 100

// Call is one kind of call. All its bytes are built once.
type Call struct {
	Request pool.Request
	Want    []byte // payload sequence
}

// Calls are the kinds of calls that every executor gets.
type Calls struct {
	Instrument Call // sleeps, echoes Paths strings
	Sleep      Call // the same with no strings: tells the sleep
	NoOp       Call // fibonacci(1)

	context []byte
}

// New builds them.
func New() (*Calls, error) {
	list := make([]string, Paths)
	for i := range list {
		list[i] = fmt.Sprintf("/mnt/data/project-%02d/src/module_%03d/file_%04d.log", i%10, i%64, i)
	}
	ctx, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		return nil, err
	}
	encoded, err := ctx.Encode()
	if err != nil {
		return nil, err
	}
	c := &Calls{context: encoded}
	for _, kind := range []struct {
		call  *Call
		task  string
		value any
	}{
		{&c.Instrument, "instrument", list},
		{&c.Sleep, "instrument", []string{}},
		{&c.NoOp, "fibonacci", uint64(1)},
	} {
		payload, err := msgpack.Append(nil, kind.value)
		if err != nil {
			return nil, err
		}
		*kind.call = c.echo(Package, kind.task, payload)
	}
	return c, nil
}

// Echo is a call with one payload of size bytes, which the task gives back by one
// malloc and one memcpy, without a look at it.
func (c *Calls) Echo(size int) Call {
	payload := make([]byte, size)
	for i := range payload {
		// Neither zeros, which a page may share, nor a short period.
		payload[i] = byte(i*31 + i>>8 + i>>16)
	}
	return c.echo(EchoPackage, "echo", payload)
}

// echo is a call of a task that returns what it is given: its inputs and outputs are
// the same sequence of one payload.
func (c *Calls) echo(pkg, task string, payload []byte) Call {
	sequence := wire.AppendPayload(wire.AppendHeader(nil, 1), payload)
	return Call{
		Request: pool.Request{Package: pkg, Task: task, Context: c.context, Inputs: sequence},
		Want:    sequence,
	}
}
