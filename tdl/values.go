package tdl

import (
	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
)

// The shapes that Go has no type for. A struct that embeds Tuple is a tuple, one
// that embeds Enum an enum with a field for each variant; a string type that
// implements Variants is an enum without values:
//
//	type Pair struct {
//		tdl.Tuple
//		Word  string
//		Count uint64
//	}
//
//	type Shape struct {
//		tdl.Enum                  // exactly one of the fields is set
//		Nothing   *tdl.Unit       // a variant without a value
//		Circle    *float64        // a variant with one
//		Rectangle *Pair           // a tuple variant; a plain struct is a struct variant
//	}
//
//	type Level string
//
//	func (Level) EnumVariants() []string { return []string{"Low", "High"} }
type (
	// Tuple, embedded in a struct, makes the struct a tuple: an array of its
	// fields that has no names on the wire and no map form.
	Tuple = msgpack.Tuple

	// Enum, embedded in a struct, makes the struct an enum. Every other exported
	// field is a variant, in order, and is a pointer; exactly one is set. The
	// field's name is the variant's, or what its tdl tag says.
	Enum = msgpack.Enum

	// Unit is the value that says nothing, Rust's (). As *Unit it is a variant
	// of an [Enum] without a value; embedded in a struct without other fields
	// it makes a unit struct.
	Unit = msgpack.Unit

	// Variants is implemented by a string type that is an enum of variants
	// without values. EnumVariants lists them in order.
	Variants = msgpack.Variants

	// ValueAppender is implemented by types with their own encoding.
	// AppendTDL appends exactly one msgpack value, for instance with
	// [AppendValue] or [github.com/tinylib/msgp/msgp].
	ValueAppender = msgpack.Appender

	// ValueDecoder is the other half of [ValueAppender], on the pointer.
	// DecodeTDL reads one msgpack value from the front of b, for instance with
	// [ReadValue], and returns what follows it. It must not keep b.
	ValueDecoder = msgpack.Decoder
)

// AppendValue appends v as one msgpack value. The error is an *[Error] of kind
// SerializationError.
func AppendValue(dst []byte, v any) ([]byte, error) {
	b, err := msgpack.Append(dst, v)
	if err != nil {
		return nil, Errorf(SerializationError, "%w", err)
	}
	return b, nil
}

// ReadValue reads one msgpack value from the front of b into what ptr points to,
// and returns what follows it. The error is an *[Error] of kind
// DeserializationError.
func ReadValue(b []byte, ptr any) (rest []byte, err error) {
	if rest, err = msgpack.Decode(b, ptr); err != nil {
		return nil, Errorf(DeserializationError, "%w", err)
	}
	return rest, nil
}

// DecodeValue reads one msgpack value, such as an element of the task graph's
// outputs, into what ptr points to. Bytes after it are ignored. The error is an
// *[Error] of kind DeserializationError.
func DecodeValue(b []byte, ptr any) error {
	_, err := ReadValue(b, ptr)
	return err
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
			return nil, Errorf(SerializationError, "value %d of %d: %w", i+1, len(values), err)
		}
	}
	return b, nil
}

// DecodeValues is for parents: it reads a task's outputs into what ptrs point to,
// one each. The error is an *[Error] of kind DeserializationError.
func DecodeValues(b []byte, ptrs ...any) error {
	values, err := wire.Parse(b)
	if err != nil {
		return Errorf(DeserializationError, "%w", err)
	}
	if values.Len() != len(ptrs) {
		return Errorf(DeserializationError, "there are %d values, not %d", values.Len(), len(ptrs))
	}
	for i, value := range values.All() {
		if _, err := msgpack.Decode(value, ptrs[i]); err != nil {
			return Errorf(DeserializationError, "value %d of %d: %w", i+1, len(ptrs), err)
		}
	}
	return nil
}
