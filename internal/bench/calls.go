package bench

import (
	"fmt"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

const (
	taskPackage = "integration_test_tasks"

	// paths is how many strings the measured task gets and gives back.
	paths = 100
)

// call is one kind of call, with the only answer that is right.
type call struct {
	request pool.Request
	want    []byte // payload sequence
}

// calls are the kinds of calls that each executor gets. All bytes are built once.
type calls struct {
	instrument call // sleeps, echoes the paths
	sleep      call // the same with no paths: tells the sleep
	noop       call // fibonacci(1)
}

func newCalls() (calls, error) {
	list := make([]string, paths)
	for i := range list {
		list[i] = fmt.Sprintf("/mnt/data/project-%02d/src/module_%03d/file_%04d.log", i%10, i%64, i)
	}
	ctx, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		return calls{}, err
	}
	var failed error
	echo := func(task string, v any) call {
		// Each of these tasks returns what it is given, so inputs and outputs
		// are the same sequence of one payload.
		payload, err := msgpack.Append(nil, v)
		if err != nil {
			failed = err
		}
		sequence := wire.AppendPayload(wire.AppendHeader(nil, 1), payload)
		return call{
			request: pool.Request{Package: taskPackage, Task: task, Context: ctx.Encode(), Inputs: sequence},
			want:    sequence,
		}
	}
	c := calls{
		instrument: echo("instrument", list),
		sleep:      echo("instrument", []string{}),
		noop:       echo("fibonacci", uint64(1)),
	}
	return c, failed
}
