package msgpack

import (
	"encoding/binary"
	"math"
	"reflect"
	"unicode/utf8"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// The leaves: integers, floats, bool, string and Unit. The read functions
// report failure by ok; the caller, who knows the type, words the error.

// appendInt takes the unsigned forms for what is not negative, as serde does;
// msgp's own signed append would not.
func appendInt(dst []byte, i int64) []byte {
	if i >= 0 {
		return msgp.AppendUint64(dst, uint64(i))
	}
	return msgp.AppendInt64(dst, i)
}

func readUint(b []byte) (u uint64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < markFixMap {
		return uint64(b[0]), b[1:], true
	}
	u, rest, err := msgp.ReadUint64Bytes(b)
	return u, rest, err == nil
}

func readInt(b []byte) (i int64, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < markFixMap {
		return int64(b[0]), b[1:], true
	}
	i, rest, err := msgp.ReadInt64Bytes(b)
	return i, rest, err == nil
}

// readFloat reads a float of either width or an integer. Conversions go
// straight to T: by way of another width they would round twice.
func readFloat[T ~float32 | ~float64](b []byte) (f T, rest []byte, ok bool) {
	switch formOf(b) {
	case formFloat:
		if b[0] == markFloat64 && len(b) >= 9 {
			return T(math.Float64frombits(binary.BigEndian.Uint64(b[1:]))), b[9:], true
		}
		if b[0] == markFloat32 && len(b) >= 5 {
			return T(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), b[5:], true
		}
	case formInt:
		if u, rest, ok := readUint(b); ok {
			return T(u), rest, true
		}
		if i, rest, ok := readInt(b); ok {
			return T(i), rest, true
		}
	}
	return 0, nil, false
}

func readBool(b []byte) (v bool, rest []byte, ok bool) {
	if formOf(b) != formBool {
		return false, nil, false
	}
	return b[0] == markTrue, b[1:], true
}

// readString reads a str or a bin that is UTF-8. The result is a copy.
func readString(b []byte) (s string, rest []byte, ok bool) {
	var text []byte
	var err error
	if formOf(b) == formBin {
		text, rest, err = msgp.ReadBytesZC(b)
	} else {
		text, rest, err = msgp.ReadStringZC(b)
	}
	if err != nil || !utf8.Valid(text) {
		return "", nil, false
	}
	return string(text), rest, true
}

func appendString(dst []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, unencodable("the string %s is not UTF-8", quote([]byte(s)))
	}
	if uint64(len(s)) > math.MaxUint32 {
		return nil, unencodable("a string of %d bytes is too long", len(s))
	}
	return msgp.AppendString(dst, s), nil
}

type intShape struct{ want string }

func (intShape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	return appendInt(dst, v.Int()), nil
}

func (s intShape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	i, rest, ok := readInt(b)
	if !ok || v.OverflowInt(i) {
		return nil, wrong(b, s.want)
	}
	v.SetInt(i)
	return rest, nil
}

type uintShape struct{ want string }

func (uintShape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	return msgp.AppendUint64(dst, v.Uint()), nil
}

func (s uintShape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	u, rest, ok := readUint(b)
	if !ok || v.OverflowUint(u) {
		return nil, wrong(b, s.want)
	}
	v.SetUint(u)
	return rest, nil
}

type float64Shape struct{}

func (float64Shape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	return msgp.AppendFloat64(dst, v.Float()), nil
}

func (float64Shape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	f, rest, ok := readFloat[float64](b)
	if !ok {
		return nil, wrong(b, "float")
	}
	v.SetFloat(f)
	return rest, nil
}

// float32Shape goes around reflect's float64: a signaling NaN would come out
// of it as a quiet one, where Rust keeps the bits.
type float32Shape struct{}

func (float32Shape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	if f := float32(v.Float()); f == f {
		return msgp.AppendFloat32(dst, f), nil
	}
	if !v.CanAddr() {
		n := reflect.New(v.Type()).Elem()
		n.Set(v)
		v = n
	}
	return msgp.AppendFloat32(dst, *(*float32)(unsafe.Pointer(v.UnsafeAddr()))), nil
}

func (float32Shape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	f, rest, ok := readFloat[float32](b)
	if !ok {
		return nil, wrong(b, "float")
	}
	*(*float32)(unsafe.Pointer(v.UnsafeAddr())) = f
	return rest, nil
}

type boolShape struct{}

func (boolShape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	return msgp.AppendBool(dst, v.Bool()), nil
}

func (boolShape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	x, rest, ok := readBool(b)
	if !ok {
		return nil, wrong(b, "bool")
	}
	v.SetBool(x)
	return rest, nil
}

type stringShape struct{}

func (stringShape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	return appendString(dst, v.String())
}

func (stringShape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	s, rest, ok := readString(b)
	if !ok {
		return nil, wrong(b, "string")
	}
	v.SetString(s)
	return rest, nil
}

// unitShape is [Unit], Rust's ().
type unitShape struct{}

func (unitShape) encode(dst []byte, _ reflect.Value, _ room) ([]byte, error) {
	return append(dst, markNil), nil
}

func (unitShape) decode(b []byte, _ reflect.Value, _ room) ([]byte, error) {
	if formOf(b) != formNil {
		return nil, wrong(b, "nil")
	}
	return b[1:], nil
}
