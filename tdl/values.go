package tdl

import (
	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
)

// DecodeValue reads one msgpack value, such as an element of the task graph's
// outputs, into what ptr points to. The error is an *[Error] of kind
// DeserializationError.
func DecodeValue(b []byte, ptr any) error {
	if _, err := msgpack.Decode(b, ptr); err != nil {
		return Errorf(DeserializationError, "%v", err)
	}
	return nil
}

// EncodeValues is for parents: it encodes a task's arguments as they travel, a
// payload sequence with one msgpack value each. The error is an *[Error] of kind
// SerializationError.
func EncodeValues(values ...any) ([]byte, error) {
	b := wire.AppendHeader(nil, len(values))
	for i, value := range values {
		var mark int
		var err error
		b, mark = wire.BeginPayload(b)
		if b, err = msgpack.Append(b, value); err == nil {
			b, err = wire.EndPayload(b, mark)
		}
		if err != nil {
			return nil, Errorf(SerializationError, "value %d of %d: %v", i+1, len(values), err)
		}
	}
	return b, nil
}

// DecodeValues is for parents: it reads a task's outputs into what ptrs point to,
// one each. The error is an *[Error] of kind DeserializationError.
func DecodeValues(b []byte, ptrs ...any) error {
	values, err := wire.Parse(b)
	if err != nil {
		return Errorf(DeserializationError, "%v", err)
	}
	if values.Len() != len(ptrs) {
		return Errorf(DeserializationError, "there are %d values, not %d", values.Len(), len(ptrs))
	}
	for i, value := range values.All() {
		if _, err := msgpack.Decode(value, ptrs[i]); err != nil {
			return Errorf(DeserializationError, "value %d of %d: %v", i+1, len(ptrs), err)
		}
	}
	return nil
}
