package msgpack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// maker makes random types and values from a fixed seed.
type maker struct{ *rand.Rand }

var leafTypes = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[Unit](),
	reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
	reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[zooColor](), reflect.TypeFor[zooEnum](), reflect.TypeFor[zooPing](), reflect.TypeFor[zooTuple2](),
	reflect.TypeFor[zooRec](), reflect.TypeFor[vecExecutorError](), reflect.TypeFor[embedAll](),
}

func (m maker) typ(depth int) reflect.Type {
	if depth == 0 {
		return leafTypes[m.IntN(len(leafTypes))]
	}
	switch m.IntN(7) {
	case 0, 1:
		return reflect.SliceOf(m.typ(depth - 1))
	case 2:
		return reflect.ArrayOf(m.IntN(4), m.typ(depth-1))
	case 3:
		keys := []reflect.Type{
			reflect.TypeFor[string](), reflect.TypeFor[int16](), reflect.TypeFor[uint64](), reflect.TypeFor[bool](),
			reflect.TypeFor[zooColor](), reflect.TypeFor[zooKey](), reflect.TypeFor[[2]int8](), reflect.TypeFor[float64](),
		}
		return reflect.MapOf(keys[m.IntN(len(keys))], m.typ(depth-1))
	case 4:
		elem := m.typ(depth - 1)
		if elem.Kind() == reflect.Pointer || elem == unitType {
			return elem // an option of an option, or of nil, collapses
		}
		return reflect.PointerTo(elem)
	case 5:
		fields := make([]reflect.StructField, m.IntN(5))
		for i := range fields {
			fields[i] = reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: m.typ(depth - 1)}
		}
		return reflect.StructOf(fields)
	default:
		return m.typ(0)
	}
}

func (m maker) bits() uint64 { return m.Uint64() >> m.IntN(64) }

// fill sets all of v that has a place on the wire.
func (m maker) fill(v reflect.Value, depth int) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(m.IntN(2) == 0)
	case reflect.String:
		if names, ok := v.Interface().(Variants); ok {
			list := names.EnumVariants()
			v.SetString(list[m.IntN(len(list))])
			return
		}
		runes := make([]rune, m.IntN(40))
		for i := range runes {
			runes[i] = rune(m.IntN(0xd800) >> m.IntN(16))
		}
		v.SetString(string(runes))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(m.bits()) << (64 - t.Bits()) >> (64 - t.Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(m.bits() << (64 - t.Bits()) >> (64 - t.Bits()))
	case reflect.Float32:
		v.SetFloat(float64(math.Float32frombits(uint32(m.bits()))))
	case reflect.Float64:
		v.SetFloat(math.Float64frombits(m.bits()))
	case reflect.Slice:
		n := m.IntN(6)
		if m.IntN(20) == 0 {
			n = m.IntN(70_000 / (1 + 10*depth*depth*depth*depth))
		}
		if depth <= 0 {
			n = 0
		}
		v.Set(reflect.MakeSlice(t, n, n))
		for i := range n {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		for range m.IntN(20) {
			key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			m.fill(key, 1)
			m.fill(value, depth-1)
			if key.Kind() != reflect.Float64 || !math.IsNaN(key.Float()) {
				v.SetMapIndex(key, value)
			}
		}
	case reflect.Pointer:
		if m.IntN(3) > 0 && depth > 0 {
			v.Set(reflect.New(t.Elem()))
			m.fill(v.Elem(), depth-1)
		}
	case reflect.Struct:
		c, err := CodecOf(t)
		if err != nil {
			panic(err)
		}
		if enum, ok := c.shape.(*enumShape); ok {
			last := len(enum.fields)
			if depth <= 0 {
				last = 1 // not recursive
			}
			f := enum.fields[m.IntN(last)].of(v)
			f.Set(reflect.New(f.Type().Elem()))
			m.fill(f.Elem(), max(depth-1, 1))
			return
		}
		if s, ok := c.shape.(*structShape); ok {
			for i := range s.fields {
				m.fill(s.fields[i].of(v), depth-1)
			}
		}
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	m := maker{rand.New(rand.NewPCG(1, 2))}
	for range 3000 {
		typ := m.typ(m.IntN(4))
		x := reflect.New(typ)
		m.fill(x.Elem(), 4)
		b, err := Append([]byte{0xaa}, x.Elem().Interface())
		if err != nil {
			t.Fatalf("%v: %v", typ, err)
		}
		b = append(b[1:], 0xbb)
		if rest, err := Skip(b); err != nil || len(rest) != 1 {
			t.Fatalf("%v: Skip left %d, %v", typ, len(rest), err)
		}
		back := reflect.New(typ)
		m.fill(back.Elem(), 2) // what was there before does not matter
		rest, err := Decode(b, back.Interface())
		if err != nil || len(rest) != 1 {
			t.Fatalf("%v: %x: %v, %d left", typ, b, err, len(rest))
		}
		again, err := Append(nil, back.Interface())
		if err != nil || string(again) != string(b[:len(b)-1]) {
			t.Fatalf("%v: encoded %x, then %x, %v", typ, b, again, err)
		}
		opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateNaNs(), cmp.AllowUnexported(embedAll{})}
		if len(b) < 5000 && !cmp.Equal(x.Interface(), back.Interface(), opts) {
			t.Fatalf("%v (-want +got):\n%s", typ, cmp.Diff(x.Interface(), back.Interface(), opts))
		}
		if text, _, err := AppendJSON(nil, b); err != nil {
			t.Fatalf("%v: %s: %v", typ, text, err)
		}
	}
}

func TestMapOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   any
		want string
	}{
		{map[int]int{1: 0, -1: 0, 300: 0, -300: 0}, `{"-300":0,"-1":0,"1":0,"300":0}`},
		{map[uint8]int{200: 0, 3: 0}, `{"3":0,"200":0}`},
		{map[string]int{"b": 0, "aa": 0, "é": 0, "": 0, "B": 0}, `{"":0,"B":0,"aa":0,"b":0,"é":0}`},
		{map[bool]int{true: 0, false: 0}, `{"false":0,"true":0}`},
		{map[float64]int{1.5: 0, -2: 0}, `{"-2.0":0,"1.5":0}`},
		{map[zooColor]int{"Blue": 0, "Red": 0}, `{"Red":0,"Blue":0}`},
		{map[zooKey]int{{1, "b"}: 0, {1, "a"}: 0, {0, "z"}: 0}, `{"[0,\"z\"]":0,"[1,\"a\"]":0,"[1,\"b\"]":0}`},
		{map[[2]int8]int{{-1, 5}: 0, {-1, -5}: 0, {-2, 9}: 0}, `{"[-2,9]":0,"[-1,-5]":0,"[-1,5]":0}`},
	} {
		for range 5 {
			b, err := Append(nil, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if text, _, err := AppendJSON(nil, b); err != nil || string(text) != c.want {
				t.Errorf("got %s, %v; want %s", text, err, c.want)
			}
		}
	}
}

// TestFlatValuesDoNotAllocate covers what tasks pass around most.
func TestFlatValuesDoNotAllocate(t *testing.T) {
	type flat struct {
		A uint64
		B int32
		C float32
		D float64
		E bool
		F [4]uint16
	}
	x := flat{1, -2, 3, 4, true, [4]uint16{1, 2, 3, 4}}
	numbers := make([]uint64, 1000)
	for _, c := range []struct {
		what   string
		value  any
		target any
		want   float64 // allocations of decoding
	}{
		{"struct", &x, new(flat), 0},
		{"[]uint64", &numbers, new([]uint64), 1},
		{"[]string", &[]string{"a", "bc"}, new([]string), 3},
		{"[]byte", &[]byte{1, 200}, new([]byte), 1},
		{"unit enum", ptr(zooColor("Red")), new(zooColor), 0},
		{"[]flat", &[]flat{x, x}, new([]flat), 2},
	} {
		var b []byte
		if n := testing.AllocsPerRun(100, func() { b, _ = Append(b[:0], c.value) }); n != 0 {
			t.Errorf("encoding %s: %v allocations", c.what, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Decode(b, c.target); err != nil {
				t.Fatal(err)
			}
		}); n > c.want {
			t.Errorf("decoding %s: %v allocations, want %v", c.what, n, c.want)
		}
	}
}
