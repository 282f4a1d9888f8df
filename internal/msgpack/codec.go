package msgpack

import (
	"reflect"
	"sync"
)

const (
	// maxNesting is how many arrays and maps may be open at once: the Rust
	// decoder passes 1,023 and refuses 1,024.
	maxNesting = 1023

	// maxEnums bounds what maxNesting does not count: enum maps, and when
	// encoding pointers and interfaces too, which could form a cycle. Rust
	// recurses over enum maps until its stack ends.
	maxEnums = 20_000

	// minAhead is what a list or map may always allocate for elements that
	// have not been seen yet, in bytes.
	minAhead = 512
)

// room is what is left of the bounds at one point of a value. It is passed by
// value: siblings get the same room, children less.
type room struct {
	nesting int // arrays and maps that may still be opened
	enums   int // enum maps that may still be opened
	ahead   int // bytes that may be allocated before their elements were seen
}

// newRoom is the room of a value in an input of so many bytes. Allocating ahead
// of elements is worth a bounded multiple of the input, for many of a value's
// elements are smaller on the wire than in memory.
func newRoom(input int) room {
	return room{nesting: maxNesting, enums: maxEnums, ahead: input + min(16*input, 1<<20)}
}

// shape is how one kind of type is written, read and described. decode gets a
// settable v and overwrites all of it but the fields that are no part of the
// value. notation gets the codec's type, see [Notation].
type shape interface {
	encode(dst []byte, v reflect.Value, r room) ([]byte, error)
	decode(b []byte, v reflect.Value, r room) ([]byte, error)
	notation(n *Notation, t reflect.Type) string
}

// Codec encodes and decodes the values of one type. It is immutable and safe
// for concurrent use.
type Codec struct {
	typ reflect.Type
	shape

	// option: a missing struct field of this type is None.
	option bool
	// fromByte: the type may be an element of a list that is given as bin.
	fromByte bool
}

var codecs sync.Map // reflect.Type -> *Codec

// CodecOf returns the codec of t. Each type is compiled once; recursive types
// are fine. The error is a [*TypeError] that lists every field in t that has no
// msgpack form.
func CodecOf(t reflect.Type) (*Codec, error) {
	if c, ok := codecs.Load(t); ok {
		return c.(*Codec), nil
	}
	if t == nil {
		return nil, &TypeError{Fields: []string{"an untyped nil has no msgpack form"}}
	}
	return compile(t)
}

// Append appends v, of the codec's type, to dst. A value that need not be
// copied to be read, such as reflect.ValueOf(&x).Elem(), costs no allocation
// beyond dst's growth. On error dst is returned as it was.
func (c *Codec) Append(dst []byte, v reflect.Value) ([]byte, error) {
	c.check(v)
	out, err := c.encode(dst, v, newRoom(0))
	if err != nil {
		return dst, finishEncode(err)
	}
	return out, nil
}

// Decode reads one value from the front of b into v, which is settable and of
// the codec's type, and returns the bytes after it. Nothing in v refers to b
// or to what v held before. On error v may be partly written.
func (c *Codec) Decode(b []byte, v reflect.Value) (rest []byte, err error) {
	c.check(v)
	rest, err = c.decode(b, v, newRoom(len(b)))
	if err != nil {
		return nil, finishDecode(err, len(b))
	}
	return rest, nil
}

// check panics on a v of another type, which the codec would take for one of
// its own without looking.
func (c *Codec) check(v reflect.Value) {
	if v.Type() != c.typ {
		panic("msgpack: the codec of " + c.typ.String() + " was given a " + v.Type().String())
	}
}

// Append appends v to dst as msgpack. A pointer is an Option, so Append(dst, &x)
// gives the bytes of x without copying it first; a nil v is nil.
func Append(dst []byte, v any) ([]byte, error) {
	if v == nil {
		return append(dst, markNil), nil
	}
	return AppendValue(dst, reflect.ValueOf(v))
}

// AppendValue appends v to dst as msgpack.
func AppendValue(dst []byte, v reflect.Value) ([]byte, error) {
	c, err := CodecOf(v.Type())
	if err != nil {
		return dst, err
	}
	return c.Append(dst, v)
}

// Decode reads one value from the front of b into what ptr, a non-nil pointer,
// points to, and returns the bytes after it.
func Decode(b []byte, ptr any) (rest []byte, err error) {
	v := reflect.ValueOf(ptr)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return nil, &TypeError{Type: reflect.TypeOf(ptr), Fields: []string{"Decode needs a non-nil pointer"}}
	}
	return DecodeValue(b, v.Elem())
}

// DecodeValue is [Decode] into a settable v.
func DecodeValue(b []byte, v reflect.Value) (rest []byte, err error) {
	c, err := CodecOf(v.Type())
	if err != nil {
		return nil, err
	}
	return c.Decode(b, v)
}
