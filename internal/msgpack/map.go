package msgpack

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/tinylib/msgp/msgp"
)

// mapShape is a map. It is written in the natural order of its keys, the order
// of Rust's BTreeMap: numbers by size, strings by bytes, arrays and structs
// element by element. Keys without such an order, which are interfaces and types
// with their own encoding, are ordered by their encoded bytes.
type mapShape struct {
	typ          reflect.Type
	keys, values reflect.Type // slices of what the map holds
	key, elem    *Codec
	compare      func(a, b reflect.Value) int // nil: by encoded bytes
	dynamic      bool                         // the key has an interface in it
}

func (s *mapShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	n := v.Len()
	if err := openList(n, &r); err != nil {
		return nil, err
	}
	dst = msgp.AppendMapHeader(dst, uint32(n))
	if n == 0 {
		return dst, nil
	}
	// Two slices for all entries: reflect would allocate for each one.
	keys, values := reflect.MakeSlice(s.keys, n, n), reflect.MakeSlice(s.values, n, n)
	it := v.MapRange()
	for i := 0; i < n && it.Next(); i++ {
		keys.Index(i).SetIterKey(it)
		values.Index(i).SetIterValue(it)
	}
	order, err := s.order(keys, r)
	if err != nil {
		return nil, within(err, "[key]")
	}
	for _, i := range order {
		start := len(dst)
		if dst, err = s.key.encode(dst, keys.Index(i), r); err != nil {
			return nil, within(err, "[key]")
		}
		keyed := dst
		if dst, err = s.elem.encode(dst, values.Index(i), r); err != nil {
			return nil, within(err, "["+keyText(keyed[start:])+"]")
		}
	}
	return dst, nil
}

// order returns the indices of keys in the order in which they are written.
func (s *mapShape) order(keys reflect.Value, r room) ([]int, error) {
	order := make([]int, keys.Len())
	for i := range order {
		order[i] = i
	}
	if _, ok := s.key.shape.(stringShape); ok { // most are, and reflect is slow
		list := unsafe.Slice((*string)(keys.UnsafePointer()), keys.Len())
		slices.SortFunc(order, func(a, b int) int { return strings.Compare(list[a], list[b]) })
		return order, nil
	}
	if s.compare != nil {
		slices.SortFunc(order, func(a, b int) int { return s.compare(keys.Index(a), keys.Index(b)) })
		return order, nil
	}
	encoded := make([][]byte, len(order))
	for i := range encoded {
		var err error
		if encoded[i], err = s.key.encode(nil, keys.Index(i), r); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(encoded[a], encoded[b]) })
	return order, nil
}

func (s *mapShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	n, rest, err := openMap(b, &r)
	if err != nil {
		return nil, err
	}
	// A map's own structure costs about as much again as its entries.
	size := 2 * (s.typ.Key().Size() + s.typ.Elem().Size() + 1)
	m := reflect.MakeMapWithSize(s.typ, r.first(n, size))
	key := reflect.New(s.typ.Key()).Elem()
	value := reflect.New(s.typ.Elem()).Elem()
	for range n {
		start := rest
		key.SetZero()
		if rest, err = s.key.decode(rest, key, r); err != nil {
			return nil, within(err, "[key]")
		}
		if s.dynamic && !key.Comparable() {
			return nil, within(wrong(start, "a key that Go can compare"), "[key]")
		}
		after := rest
		value.SetZero()
		if rest, err = s.elem.decode(rest, value, r); err != nil {
			return nil, within(err, "["+keyText(start[:len(start)-len(after)])+"]")
		}
		m.SetMapIndex(key, value)
	}
	v.Set(m)
	return rest, nil
}

// keyText is an encoded key, for an error's path.
func keyText(b []byte) string {
	return strings.TrimPrefix(strings.TrimPrefix(describe(b), "string "), "integer ")
}

// comparer returns the natural order of keys of a codec, or nil.
func comparer(c *Codec) func(a, b reflect.Value) int {
	switch s := c.shape.(type) {
	case intShape:
		return func(a, b reflect.Value) int { return cmp.Compare(a.Int(), b.Int()) }
	case uintShape:
		return func(a, b reflect.Value) int { return cmp.Compare(a.Uint(), b.Uint()) }
	case float32Shape, float64Shape:
		return func(a, b reflect.Value) int { return cmp.Compare(a.Float(), b.Float()) }
	case stringShape:
		return func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }
	case boolShape:
		return func(a, b reflect.Value) int {
			return cmp.Compare(boolRank(a), boolRank(b))
		}
	case *stringEnumShape:
		return func(a, b reflect.Value) int {
			return cmp.Compare(s.names.index[a.String()], s.names.index[b.String()])
		}
	case unitShape, unitStructShape:
		return func(a, b reflect.Value) int { return 0 }
	case *arrayShape:
		elem := comparer(s.elem)
		if elem == nil {
			return nil
		}
		return func(a, b reflect.Value) int {
			for i := range s.length {
				if c := elem(a.Index(i), b.Index(i)); c != 0 {
					return c
				}
			}
			return 0
		}
	case *structShape:
		fields := make([]func(a, b reflect.Value) int, len(s.fields))
		for i := range s.fields {
			if fields[i] = comparer(s.fields[i].codec); fields[i] == nil {
				return nil
			}
		}
		return func(a, b reflect.Value) int {
			for i := range s.fields {
				f := &s.fields[i]
				if c := fields[i](f.of(a), f.of(b)); c != 0 {
					return c
				}
			}
			return 0
		}
	}
	return nil
}

func boolRank(v reflect.Value) int {
	if v.Bool() {
		return 1
	}
	return 0
}
