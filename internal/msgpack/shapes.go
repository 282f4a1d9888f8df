package msgpack

import "reflect"

// Unit is Rust's (): it encodes as nil and decodes from nil alone. As *Unit it
// is the field of a variant without a value, see [Enum]. A struct that embeds
// Unit and has no other field is a Rust unit struct (struct Ping;): it encodes
// as an empty array and decodes from that or from nil.
type Unit struct{}

// Tuple, embedded in a struct, makes the struct a tuple: an array of its fields
// that decodes from an array (or from bin) and never from a map. A tuple of one
// field stays an array of one.
type Tuple struct{}

// Enum, embedded in a struct, makes the struct an externally tagged enum. Every
// other exported field is a variant, in order, and is a pointer; exactly one is
// set. *Unit is a variant without a value; a pointer to anything else is one
// with that value, where a struct that embeds [Tuple] gives a tuple variant, a
// plain struct a struct variant, and any other type a newtype variant.
//
//	type TaskID struct {
//		msgpack.Enum
//		Index  *uint64
//		Commit *msgpack.Unit
//	}
//
// A variant has the name in its tdl tag, or else the field's name as it is.
type Enum struct{}

// Variants is implemented by a named string type that is an enum of variants
// without values. EnumVariants lists the names in the order of their indices;
// it is called once, on the zero value.
type Variants interface {
	EnumVariants() []string
}

// Appender is a type with its own encoding. AppendTDL appends exactly one
// msgpack value. A struct that embeds such a type without naming it inherits
// the method, and with it that encoding, as always in Go.
type Appender interface {
	AppendTDL(dst []byte) ([]byte, error)
}

// Decoder is the other half of [Appender], implemented on the pointer.
// DecodeTDL reads one msgpack value from the front of b and returns what
// follows it. It must not keep b, and bounds its own recursion.
type Decoder interface {
	DecodeTDL(b []byte) (rest []byte, err error)
}

var (
	unitType     = reflect.TypeFor[Unit]()
	tupleType    = reflect.TypeFor[Tuple]()
	enumType     = reflect.TypeFor[Enum]()
	variantsType = reflect.TypeFor[Variants]()
	appenderType = reflect.TypeFor[Appender]()
	decoderType  = reflect.TypeFor[Decoder]()
)
