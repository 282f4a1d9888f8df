package batch

import (
	"fmt"
	"hash/fnv"
	"io"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
)

// Arguments makes a task's arguments of an input.
type Arguments struct {
	// Plain has each input be one string; else it is a JSON array of arguments.
	Plain bool

	// Before and After are further arguments, the same for every input, in msgpack.
	Before, After [][]byte
}

// Encode returns the arguments as a payload sequence. Without an error there is at
// least the sequence's header.
func (a *Arguments) Encode(in *Input) ([]byte, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	if a.Plain {
		if !utf8.Valid(in.Text) {
			return nil, &NotUTF8Error{in.Text}
		}
		inputs := a.header(1, len(in.Text))
		inputs = wire.AppendPayload(inputs, msgp.AppendStringFromBytes(nil, in.Text))
		return appendAll(inputs, a.After), nil
	}
	array, err := msgpack.FromJSON(nil, in.Text)
	if err != nil {
		return nil, err
	}
	count, rest, err := msgp.ReadArrayHeaderBytes(array)
	if err != nil {
		return nil, fmt.Errorf("it is to be a JSON array of arguments, and is %s", abridge(in.Text))
	}
	inputs := a.header(int(count), len(rest)+4*int(count))
	for range count {
		next, err := msgpack.Skip(rest)
		if err != nil {
			return nil, err // FromJSON has just written it
		}
		inputs = wire.AppendPayload(inputs, rest[:len(rest)-len(next)])
		rest = next
	}
	return appendAll(inputs, a.After), nil
}

// NotUTF8Error says that an input is to be one string, and is none.
type NotUTF8Error struct{ Text []byte }

func (e *NotUTF8Error) Error() string {
	return fmt.Sprintf("%q is not UTF-8, which every string is to be", abridge(e.Text))
}

// header begins a sequence with the arguments before the input's own.
func (a *Arguments) header(own, size int) []byte {
	inputs := wire.AppendHeader(make([]byte, 0, size+64), len(a.Before)+own+len(a.After))
	return appendAll(inputs, a.Before)
}

func appendAll(inputs []byte, payloads [][]byte) []byte {
	for _, p := range payloads {
		inputs = wire.AppendPayload(inputs, p)
	}
	return inputs
}

// JSON is what Encode made, as a JSON array on one line.
func (a *Arguments) JSON(inputs []byte) []byte {
	sequence, err := wire.Parse(inputs)
	if err != nil {
		return nil
	}
	text := []byte{'['}
	for i, payload := range sequence.All() {
		if i > 0 {
			text = append(text, ',')
		}
		if text, _, err = msgpack.AppendJSON(text, payload); err != nil {
			return nil
		}
	}
	return append(text, ']')
}

// digest tells inputs apart, and what was to be done with them, from one run to the
// next. It is no protection against anything but mistakes.
type digest uint64

func (d digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// digestOf takes the text of what could not be encoded.
func digestOf(pkg, task string, in *Input, inputs []byte, err error) digest {
	h := fnv.New64a()
	for _, part := range []string{pkg, task} {
		_, _ = io.WriteString(h, part)
		_, _ = h.Write([]byte{0})
	}
	if err != nil {
		_, _ = h.Write([]byte("?"))
		inputs = in.Text
	}
	_, _ = h.Write(inputs)
	return digest(h.Sum64())
}
