package tasktest

import "github.com/spider-go/spider/tdl"

// Context is the encoded context of an ordinary task.
func Context() []byte {
	ctx, err := tdl.NewTaskContext(1, tdl.Index(0), 1, 1)
	if err != nil {
		panic(err)
	}
	b, err := ctx.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// Inputs is the payload sequence of args, which have a form on the wire.
func Inputs(args ...any) []byte {
	b, err := tdl.EncodeValues(args...)
	if err != nil {
		panic(err)
	}
	return b
}

// Outputs reads a payload sequence into ptrs, one for each value.
func Outputs(b []byte, ptrs ...any) error { return tdl.DecodeValues(b, ptrs...) }
