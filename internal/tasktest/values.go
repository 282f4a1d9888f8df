package tasktest

import (
	"fmt"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/tdl"
)

// Context is the encoded context of an ordinary task.
func Context() []byte {
	ctx, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		panic(err)
	}
	return ctx.Encode()
}

// Inputs is the payload sequence of args.
func Inputs(args ...any) []byte {
	b := wire.AppendHeader(nil, len(args))
	for _, arg := range args {
		value, err := msgpack.Append(nil, arg)
		if err != nil {
			panic(err)
		}
		b = wire.AppendPayload(b, value)
	}
	return b
}

// Outputs reads a payload sequence into ptrs, one for each value.
func Outputs(b []byte, ptrs ...any) error {
	payloads, err := wire.Split(nil, b)
	if err != nil {
		return err
	}
	if len(payloads) != len(ptrs) {
		return fmt.Errorf("%d outputs, want %d", len(payloads), len(ptrs))
	}
	for i, payload := range payloads {
		if _, err := msgpack.Decode(payload, ptrs[i]); err != nil {
			return fmt.Errorf("output %d: %w", i, err)
		}
	}
	return nil
}
