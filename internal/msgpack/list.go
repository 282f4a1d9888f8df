package msgpack

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// Lists are arrays on the wire. Every list also decodes from bin, whose bytes
// are then its elements, each as a u8: that suits numbers and any, while an
// optional number refuses it, as in Rust.

// byteForms holds each byte x as the msgpack integer cc x at 2x, so that an
// element of a bin can be decoded like any other.
var byteForms = func() (forms [512]byte) {
	for i := range 256 {
		forms[2*i], forms[2*i+1] = markUint8, byte(i)
	}
	return forms
}()

func byteForm(x byte) []byte { return byteForms[2*int(x) : 2*int(x)+2] }

// readBin reads a bin. Its bytes are a view of b.
func readBin(b []byte) (data, rest []byte, err error) {
	data, rest, e := msgp.ReadBytesZC(b)
	if e != nil {
		return nil, nil, wrong(b, "a complete bin")
	}
	return data, rest, nil
}

// fromBin decodes data[i], an element of the bin at the front of b that ends
// where rest begins.
func (c *Codec) fromBin(b, data, rest []byte, i int, v reflect.Value, r room) error {
	if !c.fromByte {
		return wrong(b, "an array")
	}
	_, err := c.decode(byteForm(data[i]), v, r)
	if e, ok := err.(*DecodeError); ok {
		e.left = len(rest) + len(data) - i
	}
	return err
}

// openList is what encoding an array or map of n takes.
func openList(n int, r *room) error {
	if uint64(n) > math.MaxUint32 {
		return unencodable("%d elements are too many", n)
	}
	if r.nesting == 0 {
		return unencodable("nested deeper than %d arrays and maps, which no peer reads", maxNesting)
	}
	r.nesting--
	return nil
}

// sliceShape is a slice of any element type.
type sliceShape struct {
	elem *Codec
	none reflect.Value // the empty slice
}

func (s *sliceShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	return encodeElements(dst, v, s.elem, r)
}

func encodeElements(dst []byte, v reflect.Value, elem *Codec, r room) ([]byte, error) {
	n := v.Len()
	if err := openList(n, &r); err != nil {
		return nil, err
	}
	dst = msgp.AppendArrayHeader(dst, uint32(n))
	var err error
	for i := range n {
		if dst, err = elem.encode(dst, v.Index(i), r); err != nil {
			return nil, inElement(err, i)
		}
	}
	return dst, nil
}

func (s *sliceShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	v.Set(s.none)
	if formOf(b) == formBin {
		data, rest, err := readBin(b)
		if err != nil {
			return nil, err
		}
		for i := range data {
			if i == v.Len() {
				lengthen(v, len(data), &r)
			}
			if err := s.elem.fromBin(b, data, rest, i, v.Index(i), r); err != nil {
				return nil, inElement(err, i)
			}
		}
		return rest, nil
	}
	n, rest, err := openArray(b, &r)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if i == v.Len() {
			lengthen(v, n, &r)
		}
		if rest, err = s.elem.decode(rest, v.Index(i), r); err != nil {
			return nil, inElement(err, i)
		}
	}
	return rest, nil
}

// lengthen makes the slice v, all of whose elements were read, longer on its
// way to n elements. The new ones are zero.
func lengthen(v reflect.Value, n int, r *room) {
	size := 2 * v.Len()
	if size == 0 {
		size = r.first(n, v.Type().Elem().Size())
	}
	size = min(size, n)
	v.Grow(size - v.Len())
	v.SetLen(size)
}

// arrayShape is a Go array, on the wire an array of exactly that length.
type arrayShape struct {
	length int
	elem   *Codec
}

func (s *arrayShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	return encodeElements(dst, v, s.elem, r)
}

func (s *arrayShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	if formOf(b) == formBin {
		data, rest, err := readBin(b)
		if err != nil {
			return nil, err
		}
		if len(data) < s.length {
			return nil, wrongLength(b, s.length)
		}
		for i := range s.length { // bytes beyond the array are ignored
			if err := s.elem.fromBin(b, data, rest, i, v.Index(i), r); err != nil {
				return nil, inElement(err, i)
			}
		}
		return rest, nil
	}
	n, rest, err := openArray(b, &r)
	if err != nil {
		return nil, err
	}
	if n != s.length {
		return nil, wrongLength(b, s.length)
	}
	for i := range n {
		if rest, err = s.elem.decode(rest, v.Index(i), r); err != nil {
			return nil, inElement(err, i)
		}
	}
	return rest, nil
}

// numbers is a slice of numbers or strings, read and written without reflect:
// the memory of a []T is the same whatever the names of its types.
type numbers[T any] struct {
	want  string
	write func([]byte, T) ([]byte, error)
	read  func([]byte) (T, []byte, bool)
	bytes bool // decodes from bin
}

func (s *numbers[T]) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	list := unsafe.Slice((*T)(v.UnsafePointer()), v.Len())
	if err := openList(len(list), &r); err != nil {
		return nil, err
	}
	dst = msgp.AppendArrayHeader(dst, uint32(len(list)))
	var err error
	for i, x := range list {
		if dst, err = s.write(dst, x); err != nil {
			return nil, inElement(err, i)
		}
	}
	return dst, nil
}

func (s *numbers[T]) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	target := (*[]T)(unsafe.Pointer(v.UnsafeAddr()))
	if formOf(b) == formBin {
		data, rest, err := readBin(b)
		if err != nil {
			return nil, err
		}
		if !s.bytes && len(data) > 0 {
			return nil, inElement(wrong(b, "an array"), 0)
		}
		list := make([]T, 0, r.first(len(data), unsafe.Sizeof(*new(T))))
		for i, x := range data {
			y, _, ok := s.read(byteForm(x))
			if !ok {
				err := &DecodeError{Want: s.want, Got: describe(byteForm(x)), left: len(rest) + len(data) - i}
				return nil, inElement(err, i)
			}
			list = append(list, y)
		}
		*target = list
		return rest, nil
	}
	n, rest, err := openArray(b, &r)
	if err != nil {
		return nil, err
	}
	list := make([]T, 0, r.first(n, unsafe.Sizeof(*new(T))))
	for i := range n {
		x, after, ok := s.read(rest)
		if !ok {
			return nil, inElement(wrong(rest, s.want), i)
		}
		list = append(list, x)
		rest = after
	}
	*target = list
	return rest, nil
}

// leaf reads and writes a number, string or bool in memory, without reflect.
type leaf struct {
	write func(dst []byte, p unsafe.Pointer) ([]byte, error)
	read  func(b []byte, p unsafe.Pointer) (rest []byte, ok bool)
}

func (s *numbers[T]) leaf() leaf {
	return leaf{
		write: func(dst []byte, p unsafe.Pointer) ([]byte, error) { return s.write(dst, *(*T)(p)) },
		read: func(b []byte, p unsafe.Pointer) ([]byte, bool) {
			x, rest, ok := s.read(b)
			if ok {
				*(*T)(p) = x
			}
			return rest, ok
		},
	}
}

// leafOf returns the leaf of c, or a zero one if c is no leaf.
func leafOf(c *Codec) leaf {
	switch c.shape.(type) {
	case boolShape, intShape, uintShape, float32Shape, float64Shape, stringShape:
		if c.typ.Kind() == reflect.Uint8 {
			return unsignedList[uint8](reflect.Uint8).leaf()
		}
		return numbersOf(c.typ.Kind()).(interface{ leaf() leaf }).leaf()
	}
	return leaf{}
}

// numbersOf returns the list of elements of kind k, or nil if there is none.
func numbersOf(k reflect.Kind) shape {
	switch k {
	case reflect.Int:
		return signedList[int](k)
	case reflect.Int8:
		return signedList[int8](k)
	case reflect.Int16:
		return signedList[int16](k)
	case reflect.Int32:
		return signedList[int32](k)
	case reflect.Int64:
		return signedList[int64](k)
	case reflect.Uint:
		return unsignedList[uint](k)
	case reflect.Uint8:
		return bytesShape{}
	case reflect.Uint16:
		return unsignedList[uint16](k)
	case reflect.Uint32:
		return unsignedList[uint32](k)
	case reflect.Uint64:
		return unsignedList[uint64](k)
	case reflect.Float32:
		return &numbers[float32]{"float", func(dst []byte, f float32) ([]byte, error) {
			return msgp.AppendFloat32(dst, f), nil
		}, readFloat[float32], true}
	case reflect.Float64:
		return &numbers[float64]{"float", func(dst []byte, f float64) ([]byte, error) {
			return msgp.AppendFloat64(dst, f), nil
		}, readFloat[float64], true}
	case reflect.Bool:
		return &numbers[bool]{"bool", func(dst []byte, x bool) ([]byte, error) {
			return msgp.AppendBool(dst, x), nil
		}, readBool, false}
	case reflect.String:
		return &numbers[string]{"string", appendString, readString, false}
	}
	return nil
}

func signedList[T int | int8 | int16 | int32 | int64](k reflect.Kind) *numbers[T] {
	return &numbers[T]{k.String(), func(dst []byte, i T) ([]byte, error) {
		return appendInt(dst, int64(i)), nil
	}, func(b []byte) (T, []byte, bool) {
		i, rest, ok := readInt(b)
		return T(i), rest, ok && int64(T(i)) == i
	}, true}
}

func unsignedList[T uint | uint8 | uint16 | uint32 | uint64](k reflect.Kind) *numbers[T] {
	return &numbers[T]{k.String(), func(dst []byte, u T) ([]byte, error) {
		return msgp.AppendUint64(dst, uint64(u)), nil
	}, func(b []byte) (T, []byte, bool) {
		u, rest, ok := readUint(b)
		return T(u), rest, ok && uint64(T(u)) == u
	}, true}
}

// bytesShape is a byte slice: an array of integers on the wire, one byte for
// each below 128 and two for the others. It is the form bulk data travels in.
type bytesShape struct{}

// highBits has the top bit of each of eight bytes.
const highBits = 0x8080808080808080

func (bytesShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	list := unsafe.Slice((*byte)(v.UnsafePointer()), v.Len())
	if err := openList(len(list), &r); err != nil {
		return nil, err
	}
	size := len(list)
	for _, x := range list {
		size += int(x >> 7)
	}
	dst = msgp.AppendArrayHeader(slices.Grow(dst, 5+size), uint32(len(list)))
	at := len(dst)
	dst = dst[:at+size]
	for len(list) >= 8 {
		if binary.LittleEndian.Uint64(list)&highBits == 0 {
			at += copy(dst[at:], list[:8])
		} else {
			at = putBytes(dst, at, list[:8])
		}
		list = list[8:]
	}
	return dst[:putBytes(dst, at, list)], nil
}

// putBytes writes list to dst[at:] and returns where it ends. The mark is
// written before every byte and stays only before a high one: there is no telling
// which ones are high, so a branch would be a wrong guess half of the time.
func putBytes(dst []byte, at int, list []byte) int {
	for _, x := range list {
		dst[at] = markUint8
		at += int(x >> 7)
		dst[at] = x
		at++
	}
	return at
}

// fourBytes reads the next four elements from the eight bytes w and returns how
// many of those they take, or 0 if one has a form of its own. As in putBytes
// there is no branch for high bytes.
func fourBytes(list []byte, w uint64) (used int) {
	_ = list[3]
	var other byte
	for i := range 4 {
		x := byte(w)
		marked := x >> 7
		list[i] = byte(w >> (8 * marked & 63))
		w >>= (8 + 8*marked) & 63
		used += 1 + int(marked)
		other |= ((x ^ markUint8) + 0x7f) & x // has its top bit unless x is the mark or an element
	}
	if other >= markFixMap {
		return 0
	}
	return used
}

func (bytesShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	target := (*[]byte)(unsafe.Pointer(v.UnsafeAddr()))
	if formOf(b) == formBin {
		data, rest, err := readBin(b)
		if err != nil {
			return nil, err
		}
		*target = append(make([]byte, 0, len(data)), data...)
		return rest, nil
	}
	n, rest, err := openArray(b, &r)
	if err != nil {
		return nil, err
	}
	list := make([]byte, n) // n bytes are there, so this is bounded
	for i := 0; i < n; {
		if n-i >= 8 && len(rest) >= 8 {
			w := binary.LittleEndian.Uint64(rest)
			if w&highBits == 0 {
				copy(list[i:i+8], rest)
				i, rest = i+8, rest[8:]
				continue
			}
			if used := fourBytes(list[i:], w); used > 0 {
				i, rest = i+4, rest[used:]
				continue
			}
		}
		u, after, ok := readUint(rest)
		if !ok || u > math.MaxUint8 {
			return nil, inElement(wrong(rest, "uint8"), i)
		}
		list[i], rest = byte(u), after
		i++
	}
	*target = list
	return rest, nil
}
