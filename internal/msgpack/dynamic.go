package msgpack

import (
	"encoding/binary"
	"math"
	"reflect"
)

// anyShape is the type any. It is encoded as what it holds, and decodes to nil,
// bool, int64 (uint64 for what does not fit), float32 or float64 by width,
// string, []byte for bin, []any, and map[string]any, or map[any]any if one of
// the keys is not a string. An ext value is an error, and so is a key that Go
// cannot compare.
type anyShape struct{ typ reflect.Type }

func (anyShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	if v.IsNil() {
		return append(dst, markNil), nil
	}
	if r.enums == 0 {
		return nil, unencodable("more than %d nested pointers, interfaces and enums", maxEnums)
	}
	r.enums--
	v = v.Elem()
	c, err := CodecOf(v.Type())
	if err != nil {
		return nil, &EncodeError{Reason: err.Error(), Err: err}
	}
	return c.encode(dst, v, r)
}

func (s anyShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	x, rest, err := decodeAny(b, r)
	if err != nil {
		return nil, err
	}
	if x == nil {
		v.SetZero()
	} else {
		v.Set(reflect.ValueOf(x))
	}
	return rest, nil
}

func decodeAny(b []byte, r room) (x any, rest []byte, err error) {
	switch formOf(b) {
	case formNil:
		return nil, b[1:], nil
	case formBool:
		return b[0] == markTrue, b[1:], nil
	case formInt:
		if i, rest, ok := readInt(b); ok {
			return i, rest, nil
		}
		if u, rest, ok := readUint(b); ok {
			return u, rest, nil
		}
	case formFloat:
		// By hand: a float32 keeps its bits, a NaN's too.
		if b[0] == markFloat32 && len(b) >= 5 {
			return math.Float32frombits(binary.BigEndian.Uint32(b[1:])), b[5:], nil
		}
		if f, rest, ok := readFloat[float64](b); ok && b[0] == markFloat64 {
			return f, rest, nil
		}
	case formStr:
		if s, rest, ok := readString(b); ok {
			return s, rest, nil
		}
	case formBin:
		data, rest, err := readBin(b)
		if err != nil {
			return nil, nil, err
		}
		return append(make([]byte, 0, len(data)), data...), rest, nil
	case formArray:
		return decodeAnyList(b, r)
	case formMap:
		return decodeAnyMap(b, r)
	}
	return nil, nil, wrong(b, "a value")
}

func decodeAnyList(b []byte, r room) (any, []byte, error) {
	n, rest, err := openArray(b, &r)
	if err != nil {
		return nil, nil, err
	}
	list := make([]any, 0, r.first(n, 2*ptrSize))
	for i := range n {
		var x any
		if x, rest, err = decodeAny(rest, r); err != nil {
			return nil, nil, inElement(err, i)
		}
		list = append(list, x)
	}
	return list, rest, nil
}

const ptrSize = 8 // bytes, of the platforms the framework runs on

func decodeAnyMap(b []byte, r room) (any, []byte, error) {
	n, rest, err := openMap(b, &r)
	if err != nil {
		return nil, nil, err
	}
	named := make(map[string]any, r.first(n, 8*ptrSize))
	var mixed map[any]any // takes over at the first key that is no string
	for range n {
		start := rest
		var key, value any
		if key, rest, err = decodeAny(rest, r); err != nil {
			return nil, nil, within(err, "[key]")
		}
		switch key.(type) {
		case []any, []byte, map[string]any, map[any]any:
			return nil, nil, within(wrong(start, "a key that Go can compare"), "[key]")
		}
		after := rest
		if value, rest, err = decodeAny(rest, r); err != nil {
			return nil, nil, within(err, "["+keyText(start[:len(start)-len(after)])+"]")
		}
		name, isName := key.(string)
		switch {
		case mixed != nil:
			mixed[key] = value
		case isName:
			named[name] = value
		default:
			mixed = make(map[any]any, len(named)+1)
			for k, v := range named {
				mixed[k] = v
			}
			mixed[key] = value
		}
	}
	if mixed != nil {
		return mixed, rest, nil
	}
	return named, rest, nil
}
