package msgpack

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime/metrics"
	"testing"
)

// Properties of the codecs of random types and random values of them. What a
// value loses on its way is told by maker.normal.

var propertySeed = flag.Uint64("seed", 0, "also test the properties with this seed, which a failure told")

func TestProperties(t *testing.T) {
	seeds := []uint64{1, 2, rand.Uint64()}
	if *propertySeed != 0 {
		seeds = append(seeds, *propertySeed)
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Logf("to repeat: -seed %d", seed)
			for i := range uint64(700) {
				m := maker{rand.New(rand.NewPCG(seed, i))}
				typ := m.typ(m.IntN(6))
				codec, err := CodecOf(typ)
				if err != nil {
					t.Fatalf("value %d: %v: %v", i, typ, err)
				}
				x := reflect.New(typ).Elem()
				m.fill(x, 5)
				if !t.Run(fmt.Sprint(i), func(t *testing.T) { m.check(t, codec, x) }) {
					t.Fatalf("of type %v", typ)
				}
			}
		})
	}
}

// check checks that x survives, and that what is no value does not.
func (m maker) check(t *testing.T, codec *Codec, x reflect.Value) {
	const before, after = "before", "\xc1after" // c1 is no value
	b, err := codec.Append([]byte(before), x)
	if err != nil || !bytes.HasPrefix(b, []byte(before)) {
		t.Fatalf("encoding: %v", err)
	}
	b = append(b[len(before):], after...)
	value := b[:len(b)-len(after)]
	shown := value[:min(len(value), 500)]
	// A value without an address, such as a function's result, is the same.
	if b, err := codec.Append(nil, unaddressed(x)); err != nil || !bytes.Equal(b, value) {
		t.Fatalf("encoded %x, without an address %x, %v", shown, b[:min(len(b), 500)], err)
	}
	decode := func(b []byte, v reflect.Value) {
		t.Helper()
		rest, err := codec.Decode(b, v)
		if err != nil {
			t.Fatalf("decoding %x: %v", shown, err)
		}
		if len(rest) != len(b)-len(value) || !bytes.HasSuffix(b, rest) {
			t.Fatalf("decoding %x and %q left %q", shown, after, rest)
		}
	}

	fresh := reflect.New(codec.typ).Elem()
	decode(b, fresh)
	want := m.normal(codec, x)
	if !reflect.DeepEqual(want.Interface(), fresh.Interface()) {
		t.Fatalf("%x\nencoded %#v\ndecoded %#v", shown, want, fresh)
	}
	if again, err := codec.Append(nil, fresh); err != nil || !bytes.Equal(again, value) {
		t.Fatalf("encoded %x, then %x, %v", shown, again[:min(len(again), 500)], err)
	}
	dirty := reflect.New(codec.typ).Elem()
	m.fill(dirty, 3)
	decode(value, dirty)
	if again := m.normal(codec, dirty); !reflect.DeepEqual(fresh.Interface(), again.Interface()) {
		t.Fatalf("%x\ndecoded %#v\ninto an old value %#v", shown, fresh, again)
	}

	if rest, err := Skip(b); err != nil || string(rest) != after {
		t.Fatalf("%x: Skip left %q, %v", shown, rest, err)
	}
	text, rest, err := AppendJSON(nil, b)
	if err != nil || string(rest) != after || !json.Valid(text) {
		t.Fatalf("%x: as JSON %s, %v, left %q", shown, text, err, rest)
	}

	for n := range m.places(len(value), 60) {
		if rest, err := codec.Decode(value[:n], reflect.New(codec.typ).Elem()); err == nil {
			t.Fatalf("%x is the start of %x, but decodes, leaving %x", value[:n], shown, rest)
		}
	}
	bad := bytes.Clone(b)
	allocated := totalAlloc()
	count := 0
	for n := range m.places(len(value), 60) {
		bad[n] ^= byte(1 + m.IntN(255))
		// Whether it is an error or another value, it must not be a panic.
		_, _ = codec.Decode(bad, dirty)
		_, _ = Skip(bad)
		bad[n] = b[n]
		count++
	}
	// The type's own size comes in for types that are large and small on the
	// wire, such as a list of enums with many variants.
	limit := uint64(count) * uint64(4<<20+1000*len(b)+100*int(codec.typ.Size()))
	if n := totalAlloc() - allocated; n > limit {
		t.Fatalf("corrupting %x allocated %d bytes", shown, n)
	}
}

// unaddressed returns a copy of v that has no address.
func unaddressed(v reflect.Value) reflect.Value {
	one := reflect.MakeMapWithSize(reflect.MapOf(reflect.TypeFor[int](), v.Type()), 1)
	one.SetMapIndex(reflect.ValueOf(0), v)
	return one.MapIndex(reflect.ValueOf(0))
}

// places gives all numbers below n, or so many of them at random.
func (m maker) places(n, most int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for i := range min(n, most) {
			if n > most {
				i = m.IntN(n)
			}
			if !yield(i) {
				return
			}
		}
	}
}

// totalAlloc is how many bytes were ever allocated.
func totalAlloc() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// maker makes random types and values.
type maker struct{ *rand.Rand }

func pick[T any](m maker, list []T) T { return list[m.IntN(len(list))] }

type (
	newInt    int16
	newFloat  float32
	newString string
	newBytes  []byte
	newList   []newString
	newMap    map[newInt]newFloat
)

var (
	keyTypes = []reflect.Type{
		reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[Unit](),
		reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](),
		reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
		reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[any](),
		reflect.TypeFor[newInt](), reflect.TypeFor[newFloat](), reflect.TypeFor[newString](),
		reflect.TypeFor[zooColor](), reflect.TypeFor[zooKey](), reflect.TypeFor[zooPing](), reflect.TypeFor[zooTuple2](), reflect.TypeFor[embedAll](),
	}
	leafTypes = append([]reflect.Type{
		reflect.TypeFor[[]byte](), reflect.TypeFor[newBytes](), reflect.TypeFor[newList](), reflect.TypeFor[newMap](),
		reflect.TypeFor[zooEnum](), reflect.TypeFor[zooRec](), reflect.TypeFor[zooList](), reflect.TypeFor[zooOpts](), reflect.TypeFor[zooUnits](),
		reflect.TypeFor[vecExecutorError](), reflect.TypeFor[celsius](),
	}, keyTypes...)
)

// typ makes a type with at most so many types around another one.
func (m maker) typ(depth int) reflect.Type {
	if depth == 0 {
		return pick(m, leafTypes)
	}
	switch m.IntN(10) {
	case 0, 1:
		return reflect.SliceOf(m.typ(depth - 1))
	case 2:
		return reflect.ArrayOf(m.IntN(4), m.typ(depth-1))
	case 3:
		return reflect.MapOf(m.keyType(2), m.typ(depth-1))
	case 4, 5:
		return reflect.PointerTo(m.typ(depth - 1))
	case 6:
		return m.structType(func() reflect.Type { return m.typ(depth - 1) })
	case 7:
		return m.enumType(depth)
	case 8:
		fields := []reflect.StructField{{Name: "Tuple", Type: tupleType, Anonymous: true}}
		for i := range m.IntN(4) {
			fields = append(fields, reflect.StructField{Name: fmt.Sprint("T", i), Type: m.typ(depth - 1)})
		}
		return reflect.StructOf(fields)
	default:
		return m.typ(0)
	}
}

func (m maker) keyType(depth int) reflect.Type {
	switch {
	case depth > 0 && m.IntN(5) == 0:
		return reflect.ArrayOf(m.IntN(3), m.keyType(depth-1))
	case depth > 0 && m.IntN(5) == 0:
		return m.structType(func() reflect.Type { return m.keyType(depth - 1) })
	}
	return pick(m, keyTypes)
}

// structType makes a struct with some fields under other names, some left out and
// some from an embedded struct.
func (m maker) structType(typ func() reflect.Type) reflect.Type {
	var fields []reflect.StructField
	for i := range m.IntN(5) {
		f := reflect.StructField{Name: fmt.Sprint("F", i), Type: typ()}
		switch m.IntN(6) {
		case 0:
			f.Tag = reflect.StructTag(fmt.Sprintf(`tdl:"other %d"`, i))
		case 1:
			f.Tag = `tdl:"-"`
		}
		fields = append(fields, f)
	}
	if m.IntN(4) == 0 {
		t := pick(m, []reflect.Type{reflect.TypeFor[EmbedBase](), reflect.TypeFor[EmbedTuple]()})
		fields = append(fields, reflect.StructField{Name: t.Name(), Type: t, Anonymous: true})
		m.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	}
	return reflect.StructOf(fields)
}

func (m maker) enumType(depth int) reflect.Type {
	fields := []reflect.StructField{{Name: "Enum", Type: enumType, Anonymous: true}}
	for i := range 1 + m.IntN(4) {
		f := reflect.StructField{Name: fmt.Sprint("V", i), Type: reflect.PointerTo(m.typ(depth - 1))}
		if m.IntN(4) == 0 {
			f.Tag = reflect.StructTag(fmt.Sprintf(`tdl:"other %d"`, i))
		}
		fields = append(fields, f)
	}
	return reflect.StructOf(fields)
}

var (
	edgeInts = []int64{
		0, 1, -1, -32, -33, 127, 128, -128, -129, 255, 256, math.MaxInt16, math.MinInt16, math.MaxUint16, math.MinInt16 - 1, math.MaxUint16 + 1,
		math.MaxInt32, math.MinInt32, math.MaxUint32, math.MinInt32 - 1, math.MaxUint32 + 1, math.MaxInt64, math.MinInt64,
	}
	edgeFloats = []float64{
		0, math.Copysign(0, -1), 1, -1.5, 0.1, 1e21, 1e-7, math.Inf(1), math.Inf(-1),
		math.MaxFloat64, math.SmallestNonzeroFloat64, math.MaxFloat32, math.SmallestNonzeroFloat32, 1 << 53, 1<<53 + 1, 1 << 63,
	}
	edgeRunes   = []rune{0, '\n', '"', '\\', 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff, '☃', 0x1f600}
	edgeLengths = []int{15, 16, 31, 32, 255, 256, 65535, 65536}
)

// bits makes numbers of all sizes.
func (m maker) bits() uint64 {
	if m.IntN(3) == 0 {
		return uint64(pick(m, edgeInts))
	}
	return m.Uint64() >> m.IntN(64)
}

func (m maker) float() float64 {
	if m.IntN(3) == 0 {
		return pick(m, edgeFloats)
	}
	if f := math.Float64frombits(m.bits()); f == f {
		return f // NaN has a test of its own
	}
	return m.NormFloat64()
}

func (m maker) text() string {
	if m.IntN(100) == 0 {
		return string(bytes.Repeat([]byte{'a'}, pick(m, edgeLengths)))
	}
	runes := make([]rune, m.IntN(12))
	for i := range runes {
		runes[i] = rune(' ' + m.IntN(95))
		if m.IntN(4) == 0 {
			runes[i] = pick(m, edgeRunes)
		}
	}
	return string(runes)
}

// any makes what decoding an any gives.
func (m maker) any(depth int, key bool) any {
	kinds := 9
	if key || depth <= 0 {
		kinds = 6
	}
	switch m.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return m.IntN(2) == 0
	case 2:
		if u := m.bits(); u > math.MaxInt64 && m.IntN(2) == 0 {
			return u
		}
		return int64(m.bits())
	case 3:
		return m.float()
	case 4:
		return float32(m.float())
	case 5:
		return m.text()
	case 6:
		list := make([]any, m.IntN(4))
		for i := range list {
			list[i] = m.any(depth-1, false)
		}
		return list
	case 7:
		named := map[string]any{}
		for range m.IntN(4) {
			named[m.text()] = m.any(depth-1, false)
		}
		return named
	default:
		mixed := map[any]any{true: nil} // without it it might be a map[string]any
		for range m.IntN(4) {
			mixed[m.any(0, true)] = m.any(depth-1, false)
		}
		return mixed
	}
}

// length is that of a list or map, whose element is of type t.
func (m maker) length(t reflect.Type, depth int) int {
	switch {
	case depth <= 0:
		return 0
	case m.IntN(20) == 0 && t.Kind() < reflect.Array && depth > 3: // scalars
		return pick(m, edgeLengths)
	case m.IntN(30) == 0:
		return 16
	}
	return m.IntN(5)
}

// fill sets v, of at most so many levels, to anything.
func (m maker) fill(v reflect.Value, depth int) {
	t := v.Type()
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(m.IntN(2) == 0)
	case reflect.String:
		if names, ok := v.Interface().(Variants); ok {
			v.SetString(pick(m, names.EnumVariants()))
			return
		}
		v.SetString(m.text())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(m.bits()) << (64 - t.Bits()) >> (64 - t.Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(m.bits() << (64 - t.Bits()) >> (64 - t.Bits()))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(m.float())
	case reflect.Interface:
		if x := m.any(depth-1, false); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Slice:
		if m.IntN(8) == 0 {
			v.SetZero()
			return
		}
		n := m.length(t.Elem(), depth)
		v.Set(reflect.MakeSlice(t, n, n))
		for i := range n {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Array:
		for i := range v.Len() {
			m.fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		if m.IntN(8) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.MakeMap(t))
		for range min(m.length(t.Elem(), depth), 300) {
			key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
			m.fillKey(key)
			m.fill(value, depth-1)
			v.SetMapIndex(key, value)
		}
	case reflect.Pointer:
		if m.IntN(3) > 0 && depth > 0 {
			v.Set(reflect.New(t.Elem()))
			m.fill(v.Elem(), depth-1)
		}
	case reflect.Struct:
		m.fillStruct(v, depth)
	}
}

func (m maker) fillStruct(v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[celsius]() {
		v.Set(reflect.ValueOf(celsius{float64(m.IntN(10_000)) / 10}))
		return
	}
	codec, err := CodecOf(v.Type())
	if err != nil {
		panic(err)
	}
	enum, ok := codec.shape.(*enumShape)
	if !ok {
		for i := range v.NumField() {
			switch f := v.Field(i); {
			case f.CanSet():
				m.fill(f, depth-1) // the ones without a place on the wire too
			case f.Kind() == reflect.Struct: // embedded
				m.fillStruct(f, depth)
			}
		}
		return
	}
	n := len(enum.fields)
	if depth <= 0 && enum.fields[0].codec == nil {
		n = 1 // ends the recursive ones
	}
	for i := range enum.fields {
		enum.fields[i].of(v).SetZero()
	}
	f := enum.fields[m.IntN(n)].of(v)
	f.Set(reflect.New(f.Type().Elem()))
	m.fill(f.Elem(), depth-1)
}

// fillKey is fill without values that are no keys, and without those whose
// parts off the wire would make two keys of one.
func (m maker) fillKey(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if x := m.any(0, true); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Array:
		for i := range v.Len() {
			m.fillKey(v.Index(i))
		}
	case reflect.Struct:
		codec, err := CodecOf(v.Type())
		if err != nil {
			panic(err)
		}
		if s, ok := codec.shape.(*structShape); ok {
			for i := range s.fields {
				m.fillKey(s.fields[i].of(v))
			}
		}
	default:
		m.fill(v, 1)
	}
}

// normal is what x comes back as. Nil lists and maps are empty ones then, a
// pointer to what is written as nil is nil, and what has no place on the wire is
// zero.
func (m maker) normal(codec *Codec, x reflect.Value) reflect.Value {
	y := reflect.New(codec.typ).Elem()
	switch s := codec.shape.(type) {
	case *optionShape:
		if x.IsNil() {
			break
		}
		elem := m.normal(s.elem, x.Elem())
		if b, err := s.elem.Append(nil, elem); err != nil || b[0] == markNil {
			break
		}
		y.Set(reflect.New(s.typ))
		y.Elem().Set(elem)
	case *sliceShape:
		y.Set(reflect.MakeSlice(codec.typ, x.Len(), x.Len()))
		for i := range x.Len() {
			y.Index(i).Set(m.normal(s.elem, x.Index(i)))
		}
	case *arrayShape:
		for i := range x.Len() {
			y.Index(i).Set(m.normal(s.elem, x.Index(i)))
		}
	case *mapShape:
		y.Set(reflect.MakeMap(codec.typ))
		for it := x.MapRange(); it.Next(); {
			y.SetMapIndex(m.normal(s.key, it.Key()), m.normal(s.elem, it.Value()))
		}
	case *structShape:
		for i := range s.fields {
			f := &s.fields[i]
			f.of(y).Set(m.normal(f.codec, f.of(x)))
		}
	case *enumShape:
		for i := range s.fields {
			f := &s.fields[i]
			if f.of(x).IsNil() {
				continue
			}
			f.of(y).Set(reflect.New(f.of(x).Type().Elem()))
			if f.codec != nil {
				f.of(y).Elem().Set(m.normal(f.codec, f.of(x).Elem()))
			}
		}
	default:
		y.Set(x)
		if x.Kind() == reflect.Slice && x.IsNil() {
			y.Set(reflect.MakeSlice(codec.typ, 0, 0))
		}
	}
	return y
}

// TestNaN keeps the bits of every NaN, also of signaling ones.
func TestNaN(t *testing.T) {
	t.Parallel()
	type floats struct {
		F float32
		D float64
		L []float32
		M []float64
		A any
		B any
	}
	for _, bits := range []uint64{0x7ff8 << 48, 0x7ff0<<48 | 1, 0xfff8<<48 | 12345, 0xffff<<48 | 5<<29, 0x7ff4 << 48} {
		f, d := math.Float32frombits(uint32(bits>>32)|1), math.Float64frombits(bits)
		once, err := Append(nil, floats{f, d, []float32{f}, []float64{d}, f, d})
		if err != nil {
			t.Fatal(err)
		}
		var back floats
		if _, err := Decode(once, &back); err != nil {
			t.Fatal(err)
		}
		if twice, err := Append(nil, &back); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%x: encoded %x, then %x, %v", bits, once, twice, err)
		}
		if math.Float32bits(back.F) != math.Float32bits(f) || math.Float64bits(back.D) != bits {
			t.Errorf("%x: decoded %x and %x", bits, math.Float32bits(back.F), math.Float64bits(back.D))
		}
	}
}

// TestBytesAreNumbers compares the fast way through byte slices with the plain one,
// which other numbers take, on elements in all forms and on none.
func TestBytesAreNumbers(t *testing.T) {
	t.Parallel()
	m := maker{rand.New(rand.NewPCG(5, 6))}
	plain := unsignedList[uint8](reflect.Uint8)
	forms := []string{"\xcc\x05", "\xcc\xcc", "\xcd\x00\xff", "\xd0\x7f", "\xd1\x00\x80", "\xcf\x00\x00\x00\x00\x00\x00\x00\x80"}
	bad := []string{"\xcd\x01\x00", "\xd0\xff", "\xff", "\xc0", "\x80", "\x90", "\xcb", "\xcc"}
	for range 20_000 {
		n := m.IntN(30)
		b := []byte{markArray16, 0, byte(n)}
		for range n - m.IntN(2) {
			switch m.IntN(12) {
			case 0:
				b = append(b, pick(m, forms)...)
			case 1, 2, 3:
				b = append(b, markUint8, byte(m.Uint32()))
			default:
				b = append(b, byte(m.IntN(128)))
			}
		}
		if m.IntN(4) == 0 {
			at := m.IntN(len(b) + 1)
			b = append(b[:at:at], pick(m, bad)...)
		}
		var x, y []byte
		rest, err := bytesShape{}.decode(b, reflect.ValueOf(&x).Elem(), newRoom(len(b)))
		rest2, err2 := plain.decode(b, reflect.ValueOf(&y).Elem(), newRoom(len(b)))
		if !reflect.DeepEqual(err, err2) || !bytes.Equal(rest, rest2) || !bytes.Equal(x, y) {
			t.Fatalf("%x:\n%x, %v, leaving %x\n%x, %v, leaving %x", b, x, err, rest, y, err2, rest2)
		}
		if err != nil {
			continue
		}
		out, _ := bytesShape{}.encode(nil, reflect.ValueOf(x), newRoom(0))
		out2, _ := plain.encode(nil, reflect.ValueOf(x), newRoom(0))
		if !bytes.Equal(out, out2) {
			t.Fatalf("%x encoded as %x and %x", x, out, out2)
		}
	}
}
