package msgpack

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// field is a field of a struct or tuple, or a variant of an enum.
type field struct {
	name  string // on the wire
	index []int  // path of reflect field indices through embedded structs
	codec *Codec // of an enum's variant: what the pointer points to, nil for a unit

	// Of a struct's field that is a leaf; else the functions are nil.
	leaf
	offset uintptr // from the start of the struct, in bytes
}

func (f *field) of(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		v = v.Field(i)
	}
	return v
}

// encode and decode are those of the field of v, a struct that begins at base if
// it has an address, else base is nil. Leaves are most of what structs hold, and
// reflect takes longer to find them than it takes to write them.
func (f *field) encode(dst []byte, v reflect.Value, base unsafe.Pointer, r room) ([]byte, error) {
	if base != nil && f.write != nil {
		return f.write(dst, unsafe.Add(base, f.offset))
	}
	return f.codec.encode(dst, f.of(v), r)
}

func (f *field) decode(b []byte, v reflect.Value, base unsafe.Pointer, r room) ([]byte, error) {
	if f.read != nil {
		if rest, ok := f.read(b, unsafe.Add(base, f.offset)); ok {
			return rest, nil
		}
	}
	return f.codec.decode(b, f.of(v), r) // which words the error of a leaf
}

// structShape is a struct or a tuple: an array of its fields.
type structShape struct {
	fields []field
	names  names
	tuple  bool // no map form
}

func (s *structShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	if err := openList(len(s.fields), &r); err != nil {
		return nil, err
	}
	dst = msgp.AppendArrayHeader(dst, uint32(len(s.fields)))
	var base unsafe.Pointer
	if v.CanAddr() {
		base = unsafe.Pointer(v.UnsafeAddr())
	}
	var err error
	for i := range s.fields {
		if dst, err = s.fields[i].encode(dst, v, base, r); err != nil {
			return nil, s.in(err, i)
		}
	}
	return dst, nil
}

// in places an error in field i.
func (s *structShape) in(err error, i int) error {
	if s.tuple {
		return inElement(err, i)
	}
	return inField(err, s.fields[i].name)
}

func (s *structShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	switch formOf(b) {
	case formArray:
		n, rest, err := openArray(b, &r)
		if err != nil {
			return nil, err
		}
		if n != len(s.fields) {
			return nil, wrongLength(b, len(s.fields))
		}
		base := unsafe.Pointer(v.UnsafeAddr())
		for i := range s.fields {
			if rest, err = s.fields[i].decode(rest, v, base, r); err != nil {
				return nil, s.in(err, i)
			}
		}
		return rest, nil
	case formBin:
		data, rest, err := readBin(b)
		if err != nil {
			return nil, err
		}
		if len(data) < len(s.fields) {
			return nil, wrongLength(b, len(s.fields))
		}
		for i := range s.fields { // bytes beyond the last field are ignored
			f := &s.fields[i]
			if err := f.codec.fromBin(b, data, rest, i, f.of(v), r); err != nil {
				return nil, s.in(err, i)
			}
		}
		return rest, nil
	case formMap:
		if !s.tuple {
			return s.decodeMap(b, v, r)
		}
	}
	want := fmt.Sprintf("an array of %d or a map of fields", len(s.fields))
	if s.tuple {
		want = fmt.Sprintf("an array of %d", len(s.fields))
	}
	return nil, wrong(b, want)
}

func wrongLength(b []byte, n int) error {
	return wrong(b, fmt.Sprintf("an array of %d", n))
}

// decodeMap reads the form keyed by field names or indices.
func (s *structShape) decodeMap(b []byte, v reflect.Value, r room) ([]byte, error) {
	n, rest, err := openMap(b, &r)
	if err != nil {
		return nil, err
	}
	var small [4]uint64 // one bit for each field
	seen := small[:]
	if len(s.fields) > 64*len(small) {
		seen = make([]uint64, (len(s.fields)+63)/64)
	}
	for range n {
		key := rest
		i, after, err := s.names.find(key, "a field name or index")
		if err != nil {
			return nil, err
		}
		if i < 0 {
			if rest, err = skip(after, r); err != nil {
				return nil, err
			}
			continue
		}
		if seen[i/64]&(1<<(i%64)) != 0 {
			return nil, wrongly(key, "each field once", "field "+s.fields[i].name+" again")
		}
		seen[i/64] |= 1 << (i % 64)
		f := &s.fields[i]
		if rest, err = f.codec.decode(after, f.of(v), r); err != nil {
			return nil, s.in(err, i)
		}
	}
	for i := range s.fields {
		if seen[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		f := &s.fields[i]
		if !f.codec.option {
			return nil, wrongly(b, "field "+f.name, "a map without it")
		}
		f.of(v).SetZero()
	}
	return rest, nil
}

// unitStructShape is a struct that embeds [Unit]. Only the one-byte form of the
// empty array is known to the Rust side here.
type unitStructShape struct{}

func (unitStructShape) encode(dst []byte, _ reflect.Value, r room) ([]byte, error) {
	return append(dst, markFixArray), openList(0, &r)
}

func (unitStructShape) decode(b []byte, _ reflect.Value, _ room) ([]byte, error) {
	if len(b) == 0 || b[0] != markNil && b[0] != markFixArray {
		return nil, wrong(b, "nil or an empty array")
	}
	return b[1:], nil
}
